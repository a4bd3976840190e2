"""Every fact that the kernel tier tells, beside how the outside knows it: /proc read by hand, ps, stat, wait.

Real little processes, each strange in one respect, are looked at three times: in the cache, as events and
sweeps have made it; in a snapshot of the task iterator; and in the probe's maps.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from core.model.entities import ProcessEntry
from core.model.events import Exec
from core.probe import layout
from core.probe.loader import Probe
from core.probe.maps import ProbeMaps
from core.resolve.engine import Engine
from core.sources.patient_facts import CMDLINE_LIMIT
from tests.core.probe.events import events_of
from tests.core.probe.outside import FACTS, cgroup, differing, ids, ps, status
from tests.core.probe.strange import PRELUDE, forked, running
from tests.world import open_engine, settle


@dataclass(frozen=True)
class Case:
    """One strange process: how it becomes so, and what shows from outside that it did."""

    code: str
    shows: dict[str, object] = field(default_factory=dict)
    unknown: dict[str, set[str]] = field(default_factory=dict)
    """Facts that a source cannot know, by source: what changes without an event."""


NOT_YET_IN_MAPS = {"maps": {"argv"}}

CASES = {
    "an ordinary process": Case("execute()", {"login": None, "tty": "?"}),
    "other ids": Case(
        "os.setgroups([]); os.setresgid(11, 12, 13); os.setresuid(21, 22, 23); execute()",
        {"uids": (21, 22, 22), "gids": (11, 12, 12), "effective": 0},
    ),
    "a setuid program": Case("execute(path=sys.argv[2])", {"uids": (0, 65534, 65534), "effective": 0}),
    "setuid without exec": Case(
        "os.setgroups([]); os.setgid(12); os.setuid(22); stay()", {"uids": (22, 22, 22), "gids": (12, 12, 12)}
    ),
    "other fs ids": Case(
        "libc.setfsgid(32); libc.setfsuid(31); stay()", {"uids": (0, 0, 31), "gids": (0, 0, 32)}
    ),
    "a child of one with other fs ids": Case(
        "libc.setfsuid(31); libc.setfsgid(32); fork(); stay()", {"uids": (0, 0, 31)}
    ),
    "fewer effective than permitted capabilities": Case(
        "capabilities(1 << 7, 1 << 7 | 1 << 38); stay()",
        {"effective": 1 << 7, "permitted": 1 << 7 | 1 << 38},
    ),
    "a child with fewer capabilities": Case(
        "capabilities(0, 1 << 38); fork(); stay()", {"effective": 0, "permitted": 1 << 38}
    ),
    "a smaller bounding set": Case(
        "call('prctl', 24, 7, 0, 0, 0); call('prctl', 24, 38, 0, 0, 0); execute()",
    ),
    "somebody logged in": Case(
        "open('/proc/self/loginuid', 'w').write('4242'); execute()", {"login": 4242}
    ),
    "a terminal": Case(
        "top, end = pty.openpty(); os.set_inheritable(top, True);"
        "fcntl.ioctl(end, termios.TIOCSCTTY, 0); execute()",
    ),
    "renamed": Case("call('prctl', 15, b') \\xff x\\n(y', 0, 0, 0); stay()", {"comm": b") \xff x\n(y\n"}),
    "a title over argv": Case(
        "at, size = argv_area(); ctypes.memset(at, 0, size); ctypes.memmove(at, b'a title', 7); stay()",
        unknown=NOT_YET_IN_MAPS,
    ),
    "a title beyond argv": Case(
        "at, size = argv_area(); ctypes.memset(at, 65, size + 9); stay()", unknown=NOT_YET_IN_MAPS
    ),
    "bytes as argv": Case(
        "execute(b'-\\xff\\n\\x1b[31m', b'600', b'0')",
        {"argv": b"-\xff\n\x1b[31m\x00600\x000\x00"},
    ),
    "100 KB of argv": Case("execute('sleep', '600', '0' * 100_000)"),
    "a script": Case("execute(sys.argv[3], path=sys.argv[3])"),
    "no argv at all": Case(
        "os.write(1, b'ready\\n'); call('execve', sys.argv[4].encode(), None, None)", {"argv": b"\0"}
    ),
    "a chroot": Case("os.chroot('/usr'); os.chdir('/'); execute(path='/bin/sleep')"),
    "a mount namespace": Case("call('unshare', 0x20000); execute()"),
    "a pid namespace": Case("call('unshare', 0x20000000); fork(); execute()", {"inner_pid": 1}),
    "a time namespace": Case(
        "call('unshare', 0x80); open('/proc/self/timens_offsets', 'w').write('boottime 1000000 0');"
        "fork(); execute()"
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = open_engine()
    try:
        if not made.feed.exact:
            pytest.skip(f"no events here: {made.feed.tiers.maps.reason}")
        yield made
    finally:
        made.feed.close()


@pytest.fixture(scope="module")
def programs() -> Iterator[list[str]]:
    """A sleeper, one that is setuid with a time of its own, a script, and one that needs no argv.

    Where everybody may execute them, which pytest's own folders do not allow.
    """
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    paths = [folder / name for name in ("sleeper", "of nobody", "script", "waits")]
    for path in paths[:2]:
        path.write_bytes(Path("/bin/sleep").read_bytes())
        path.chmod(0o755)
    os.chown(paths[1], 65534, 65534)
    paths[1].chmod(0o4755)
    os.utime(paths[1], ns=(0, 1_234_567_890_123_456_789))
    paths[2].write_text("#!/bin/sh\nread x\n")
    paths[2].chmod(0o755)
    paths[3].write_bytes(Path("/bin/cat").read_bytes())
    paths[3].chmod(0o755)
    yield [str(path) for path in paths]
    shutil.rmtree(folder)


def three_times(engine: Engine, pid: int) -> dict[str, ProcessEntry]:
    """What the cache, a snapshot and the maps say, after the sweep and the audit that a session makes."""
    engine.sweep()
    engine.audit.whole(lambda: settle(engine, 0.05))
    cached = engine.cache.get(pid)
    assert cached is not None
    assert cached.origin == "event"
    maps = engine.feed.maps
    assert maps is not None
    found = next(found.entry for found in engine.feed.snapshot() if found.entry.pid == pid)
    return {"cache": cached.entry, "iterator": found, "maps": maps.lookup(pid)}


@pytest.mark.parametrize("name", CASES)
def test_what_the_probe_says_is_so(engine: Engine, programs: list[str], name: str) -> None:
    case = CASES[name]
    if name == "a setuid program" and os.statvfs(programs[1]).f_flag & os.ST_NOSUID:
        pytest.skip("temporary files are on a file system mounted nosuid")
    arguments = [sys.executable, "-c", PRELUDE + case.code, *programs]
    with running(engine, arguments, "stay()" not in case.code) as pid:
        for fact, value in case.shows.items():
            assert FACTS[fact][1](pid) == value, "the case is not what it says"
        if name == "a terminal":
            assert ps(pid, "tty").startswith("pts/")
        assert differing(three_times(engine, pid), pid, case.unknown) == []


def test_rights_lent_for_one_system_call_are_not_taken_for_its_own(
    engine: Engine, scenario: Callable[[str], Path]
) -> None:
    """The kernel tier asks for `real_cred`, as /proc does."""
    with running(engine, [str(scenario("borrowed_rights"))], False) as pid:
        assert ids(pid, "Uid") == (0, 65534, 65534)
        assert int(status(pid, "CapEff")[0], 16) == 0
        assert differing(three_times(engine, pid), pid, {}) == []


def test_what_a_process_gives_up_is_known_after_the_next_sweep_and_in_the_maps_too(engine: Engine) -> None:
    """No event tells of setfsuid and capset, and the effective uid that a sweep shows stays the same."""
    code = PRELUDE + (
        "os.write(1, b'ready\\n'); os.read(0, 1); libc.setfsuid(31); capabilities(0, 1 << 38); stay()"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        settle(engine)
        engine.sweep()
        child.stdin.write(b"\n")
        child.stdin.flush()
        assert child.stdout.readline() == b"ready\n"
        engine.sweep()
        cached = engine.cache.get(child.pid)
        assert cached is not None
        assert engine.feed.maps is not None
        seen = engine.feed.procfs.entry(child.pid)[0].credentials
        assert (seen.euid, seen.fsuid, seen.cap_effective, seen.cap_permitted) == (0, 31, 0, 1 << 38)
        assert cached.entry.credentials == seen
        assert engine.feed.maps.lookup(child.pid).credentials == seen
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("size", [511, 512, 513, 8191, 8192, 8193, 16384, 16385])
def test_an_argv_of_the_size_of_a_buffer_is_whole_or_says_that_it_is_not(probe: Probe, size: int) -> None:
    arguments = ["/bin/sleep", "600", "0" * (size - len("/bin/sleep\x00600\x00\x00"))]
    child = subprocess.Popen(arguments)
    try:
        execution = events_of(probe, child.pid, Exec)[-1]
        assert isinstance(execution, Exec)
        found = next(found.entry for found in probe.snapshot() if found.entry.pid == child.pid)
        outside = Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert len(outside) == size
        assert (found.cmdline, found.cmdline_truncated) == (b"", True)  # for user space to read
        for entry, limit in (
            (execution.entry, 8192),
            (ProbeMaps(probe).lookup(child.pid), layout.STORED_ARGS),
        ):
            assert entry.cmdline_truncated == (size > limit)
            assert entry.cmdline == outside[:limit]
    finally:
        child.kill()
        child.wait()


def test_an_argv_longer_than_what_is_read_of_proc_says_so(engine: Engine) -> None:
    """3 MB, which takes a stack without limit."""
    code = PRELUDE + (
        "resource.setrlimit(resource.RLIMIT_STACK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY));"
        "execute('sleep', '600', *['0' * 100_000] * 30, path='/bin/sleep')"
    )
    with running(engine, [sys.executable, "-c", code], True) as pid:
        outside = Path(f"/proc/{pid}/cmdline").read_bytes()
        assert len(outside) > 3_000_000
        for entry in (*three_times(engine, pid).values(), engine.feed.procfs.entry(pid)[0]):
            assert entry.cmdline_truncated
            assert outside.startswith(entry.cmdline)
        cached = engine.cache.get(pid)
        assert cached is not None
        assert len(cached.entry.cmdline) == CMDLINE_LIMIT


@pytest.mark.parametrize("hierarchy", ["v1", "v2"])
def test_the_cgroup_is_that_of_the_hierarchy_that_tells_containers_apart(
    engine: Engine, hierarchy: str
) -> None:
    """Of a process in no container: the named one, or the v2 one where it is at the root of that."""
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    kinds = {"v2": ("cgroup2", ""), "v1": ("cgroup", "name=systemd")}
    kind, controller = kinds[hierarchy]
    where = next(
        (m[1] for m in mounts if m[2] == kind and (not controller or controller in m[3].split(","))), ""
    )
    if not where:
        pytest.skip(f"no {hierarchy} hierarchy here")
    folder = Path(where) / f"ebpf-tui-facts-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        pytest.skip(f"cannot make a cgroup: {error}")
    try:
        move = f"open('{folder}/cgroup.procs', 'w').write('0');"
        for ending in ("stay()", "execute(path='/bin/sleep')", "fork(); stay()"):
            arguments = [sys.executable, "-c", PRELUDE + move + ending]
            with running(engine, arguments, "stay" not in ending) as pid:
                assert cgroup(pid)[1] == folder.stat().st_ino
                assert differing(three_times(engine, pid), pid, {}) == []
    finally:
        deadline = time.monotonic() + 30
        while folder.exists():  # it is busy until who was in it is reaped
            with contextlib.suppress(OSError):
                folder.rmdir()
            assert time.monotonic() < deadline


def test_as_many_pid_namespaces_as_there_can_be(engine: Engine) -> None:
    """32 levels below the first one, which has the number 0."""
    code = PRELUDE + "[(call('unshare', 0x20000000), fork()) for _ in range(32)]; execute(path='/bin/sleep')"
    top = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert top.stdout is not None
    try:
        if top.stdout.readline() != b"ready\n":
            pytest.skip("no pid namespaces here")
        pids = [top.pid]
        while child := forked(pids[-1]):
            pids.append(child)
        assert len(status(pids[-1], "NSpid")) == 33
        settle(engine)
        found = {found.entry.pid: found.entry for found in engine.feed.snapshot()}
        for pid in pids[-3:]:
            for name in ("pid_ns", "inner_pid"):
                ours, outside = FACTS[name]
                cached = engine.cache.get(pid)
                assert cached is not None
                assert ours(found[pid]) == ours(cached.entry) == outside(pid)
    finally:
        os.killpg(top.pid, signal.SIGKILL)
        top.communicate()
