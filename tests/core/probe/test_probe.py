"""The real probe on the real kernel, compared with /proc."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.model.entities import same_start
from core.model.events import Exec, Exit, Fork, Reaped
from core.probe import layout
from core.probe.loader import Probe, ProbeOptions
from core.probe.maps import MapsMiss, ProbeMaps
from core.probe.refusals import ProbeUnavailable
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.core.probe.events import entry_of, events_of, run_until_named
from tests.loaded_probe import load_probe
from tests.places import ROOT
from tests.world import Seen, look, look_at_all


def test_the_life_of_a_process(probe: Probe) -> None:
    child = subprocess.Popen(["/bin/sh", "-c", "exit 3"])
    child.wait()
    fork, execution, end, gone = events_of(probe, child.pid, Reaped)
    assert isinstance(fork, Fork)
    assert (fork.ppid, fork.creator) == (os.getpid(), os.getpid())
    assert isinstance(execution, Exec)
    assert execution.entry.args == (b"/bin/sh", b"-c", b"exit 3")
    assert execution.entry.exe == os.fsencode(os.path.realpath("/bin/sh"))
    assert execution.entry.exec_id == fork.exec_id + 1
    assert isinstance(end, Exit)
    assert end.exit_code >> 8 == 3
    assert {e.start_ns for e in (fork, end, gone)} == {execution.entry.start_ns}  # type: ignore[union-attr]
    assert fork.ts_ns < execution.ts_ns < end.ts_ns < gone.ts_ns


def test_the_snapshot_is_proc(probe: Probe) -> None:
    before = look_at_all()
    found = {record.entry.pid: record.entry for record in probe.snapshot()}
    procfs = Procfs(LOCAL)
    compared = 0
    for pid, entry in found.items():
        seen = look(pid)
        if seen is None or entry.kthread or (seen.cmdline, seen.ppid) != _argv_and_parent(before.get(pid)):
            continue  # it has just come, is gone, or becomes another right now
        assert (entry.comm, entry.ppid) == (seen.comm, seen.ppid)
        assert entry.exe == seen.exe
        assert entry.cmdline_truncated == bool(seen.cmdline)  # argv is for user space to read
        by_hand, usage = procfs.entry(pid)
        if usage.state == "Z":
            continue
        assert same_start(entry.start_ns, by_hand.start_ns)
        assert entry.credentials == by_hand.credentials
        assert (entry.pid_ns & 0xFFFFFFFF, entry.mnt_ns & 0xFFFFFFFF) == (by_hand.pid_ns, by_hand.mnt_ns)
        if by_hand.exe:
            assert (entry.inode, entry.mode, entry.mtime_ns) == (
                by_hand.inode,
                by_hand.mode,
                by_hand.mtime_ns,
            )
        assert entry.tty == by_hand.tty
        compared += 1
    assert compared > 2
    assert os.getpid() in found


def test_the_sweep_agrees_with_stat(probe: Probe) -> None:
    procfs = Procfs(LOCAL)
    mine = next(sample for sample in probe.sweep() if sample.pid == os.getpid())
    stat = procfs.stat(os.getpid())
    assert (mine.comm, mine.ppid, mine.usage.threads) == (stat.comm, stat.ppid, stat.threads)
    assert same_start(mine.start_ns, stat.start_ns)
    assert abs(mine.usage.cpu_ns - stat.cpu_ns) < 200_000_000
    # The kernel's counters of pages are kept per CPU and added up only now and then.
    assert abs(mine.usage.rss_bytes - stat.rss_bytes) < 0.2 * stat.rss_bytes


def _argv_and_parent(seen: Seen | None) -> tuple[bytes, int] | None:
    return (seen.cmdline, seen.ppid) if seen else None


@pytest.mark.parametrize("depth", [1, 30])
def test_paths_are_those_of_readlink(probe: Probe, tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["a long name of a directory"[: 5 + n % 20] for n in range(depth)])
    folder.mkdir(parents=True)
    program = folder / "sleep er"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    child = run_until_named([program, "60"], "sleep er")
    try:
        assert entry_of(probe, child.pid).exe == os.fsencode(os.readlink(f"/proc/{child.pid}/exe"))
        program.unlink()
        gone = entry_of(probe, child.pid).exe
        assert gone == os.fsencode(os.readlink(f"/proc/{child.pid}/exe"))
        assert gone.endswith(b" (deleted)")
        (execution,) = [e for e in events_of(probe, child.pid, Exec) if isinstance(e, Exec)]
        assert execution.entry.exe == os.fsencode(program)
    finally:
        child.kill()
        child.wait()


def test_a_program_that_never_had_a_path(probe: Probe) -> None:
    code = (
        "import os; fd = os.memfd_create('ghost'); os.write(fd, open('/bin/sleep', 'rb').read());"
        "os.execve(fd, ['ghost', '60'], {})"
    )
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        while "memfd" not in os.readlink(f"/proc/{child.pid}/exe"):
            time.sleep(0.01)
        assert entry_of(probe, child.pid).exe == os.fsencode(os.readlink(f"/proc/{child.pid}/exe"))
    finally:
        child.kill()
        child.wait()


def test_a_script_is_told_from_its_interpreter(probe: Probe, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 0\n")
    script.chmod(0o755)
    child = subprocess.Popen([script])
    child.wait()
    (execution,) = [e for e in events_of(probe, child.pid, Exit) if isinstance(e, Exec)]
    assert execution.entry.script == os.fsencode(script)
    assert execution.entry.exe == os.fsencode(os.path.realpath("/bin/sh"))
    assert execution.entry.args == (b"/bin/sh", os.fsencode(script))


def test_in_a_pid_namespace_both_pids_are_known(probe: Probe, as_root: None) -> None:
    child = subprocess.Popen(["unshare", "--pid", "--fork", "sleep", "60"])
    try:
        sleeping = None
        while sleeping is None:
            found = [record.entry for record in probe.snapshot()]
            sleeping = next((e for e in found if e.ppid == child.pid and e.comm == b"sleep"), None)
        assert sleeping.inner_pid == 1
        by_hand = Procfs(LOCAL).entry(sleeping.pid)[0]
        assert (by_hand.inner_pid, by_hand.pid_ns) == (1, sleeping.pid_ns & 0xFFFFFFFF)
        assert sleeping.pid_ns != Procfs(LOCAL).entry(os.getpid())[0].pid_ns
    finally:
        child.kill()
        child.wait()


def test_an_argv_longer_than_a_record_is_marked_and_completed(probe: Probe) -> None:
    from core.resolve.engine import Engine
    from core.sources.feed import open_feed

    child = run_until_named(["/bin/sleep", "60", "0" * 100_000], "sleep")
    engine = Engine(open_feed(LOCAL))
    try:
        entry = entry_of(probe, child.pid)
        assert entry.cmdline_truncated
        whole = engine.resolver.completed(entry)
        assert len(whole.cmdline) > 100_000
        assert whole.cmdline == Path(f"/proc/{child.pid}/cmdline").read_bytes()
        assert not whole.cmdline_truncated
    finally:
        engine.feed.close()
        child.kill()
        child.wait()


def test_the_maps_answer_for_processes_older_than_the_probe(probe: Probe) -> None:
    maps = ProbeMaps(probe)
    with pytest.raises(MapsMiss):
        maps.lookup(os.getpid())
    probe.snapshot()
    entry = maps.lookup(os.getpid())
    seen = look(os.getpid())
    assert seen is not None
    assert (entry.ppid, entry.comm, entry.exe) == (seen.ppid, seen.comm, seen.exe)
    assert seen.cmdline.startswith(entry.cmdline[: layout.STORED_ARGS])
    assert entry.cmdline_truncated or entry.cmdline == seen.cmdline


def test_the_maps_follow_events_without_user_space(probe: Probe) -> None:
    maps = ProbeMaps(probe)
    child = subprocess.Popen(["/bin/sleep", "60"])
    try:
        events_of(probe, child.pid, Exec)
        assert maps.lookup(child.pid).args == (b"/bin/sleep", b"60")
    finally:
        child.kill()
        child.wait()
    with pytest.raises(MapsMiss, match="exited"):
        maps.lookup(child.pid)


def test_a_fork_shares_its_parents_image_in_the_maps(probe: Probe) -> None:
    probe.snapshot()
    maps = ProbeMaps(probe)
    pid = os.fork()
    if pid == 0:
        time.sleep(60)
        os._exit(0)
    try:
        assert maps.lookup(pid).cookie == maps.lookup(os.getpid()).cookie
        assert maps.lookup(pid).ppid == os.getpid()
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def test_a_child_of_an_unknown_parent_gets_an_image_of_its_own(probe: Probe) -> None:
    """Forked after the probe was attached and before the snapshot: nobody's image can be shared."""
    pids = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        pids.append(pid)
    try:
        probe.snapshot()
        entries = [ProbeMaps(probe).lookup(pid) for pid in pids]
        assert len({entry.cookie for entry in entries} - {0}) == 2
        assert entries[0].exe == os.fsencode(os.readlink("/proc/self/exe"))
    finally:
        for pid in pids:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def test_what_procfs_brought_in_is_pushed_to_the_maps(probe: Probe) -> None:
    maps = ProbeMaps(probe)
    entry, _ = Procfs(LOCAL).entry(os.getpid())
    maps.push(entry)
    back = maps.lookup(os.getpid())
    assert (back.exe, back.comm, back.ppid, back.start_ns) == (
        entry.exe,
        entry.comm,
        entry.ppid,
        entry.start_ns,
    )
    assert back.credentials == entry.credentials


def test_a_pushed_process_lives_on_in_the_maps_and_ends_there() -> None:
    """/proc knows its start only by the tick; the kernel knows it again all the same."""
    shell = subprocess.Popen(["sh", "-c", "read x; exec sleep 60"], stdin=subprocess.PIPE)
    assert shell.stdin is not None
    probe = load_probe()
    try:
        maps = ProbeMaps(probe)
        pushed, _ = Procfs(LOCAL).entry(shell.pid)
        maps.push(pushed)
        assert maps.lookup(shell.pid).start_ns == pushed.start_ns
        shell.stdin.write(b"\n")
        shell.stdin.flush()
        (execution,) = [e for e in events_of(probe, shell.pid, Exec) if isinstance(e, Exec)]
        assert execution.previous_inode == pushed.inode
        assert maps.lookup(shell.pid).start_ns == execution.entry.start_ns
        maps.push(pushed)  # too late: the kernel has newer facts
        assert maps.lookup(shell.pid).args == (b"sleep", b"60")
    finally:
        probe.close()
        shell.kill()
        shell.wait()


def test_a_pushed_process_that_ends_is_no_answer() -> None:
    child = subprocess.Popen(["sleep", "60"])
    probe = load_probe()
    try:
        maps = ProbeMaps(probe)
        maps.push(Procfs(LOCAL).entry(child.pid)[0])
        maps.lookup(child.pid)
        child.kill()
        child.wait()
        with pytest.raises(MapsMiss, match="exited"):
            maps.lookup(child.pid)
    finally:
        probe.close()
        child.kill()
        child.wait()


def test_a_full_ring_is_counted() -> None:
    probe = load_probe(ProbeOptions(ring_bytes=4096))
    try:
        for _ in range(60):
            os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
        assert probe.lost() > 0
        assert probe.consume()
    finally:
        probe.close()


SIGNALLED = """
import os, signal, time
from core.system.host import LOCAL
from core.probe.loader import Probe, ProbeOptions

class Stop(Exception):
    pass

def stop(number, frame):
    raise Stop

signal.signal(signal.SIGALRM, stop)
probe = Probe(LOCAL, ProbeOptions(ring_bytes=64 << 20))  # whatever else this host does meanwhile
stopped = reports = 0
for delay in range(20):
    for _ in range(60):
        os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    try:
        signal.setitimer(signal.ITIMER_REAL, 20e-6 + 20e-6 * delay)
        reports += len(probe.consume())
        time.sleep(1)
    except Stop:
        stopped += 1
reports += len(probe.consume())
print(stopped, reports >= 20 * 60 * 3, probe.lost())
"""


def test_a_signal_is_not_swallowed_while_records_are_read(probe: Probe) -> None:
    """Its handler raises, as that of ctrl+c does; in a callback from C that would be lost.

    In a process of its own, with one thread, as `watch` and `record` are: beside other threads Python
    may run the handler in the callback all the same, and there the reader is not the main thread.
    """
    done = subprocess.run(
        [sys.executable, "-c", SIGNALLED],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout.split() == ["20", "True", "0"]
    assert done.stderr == ""


def test_entries_bound_the_maps() -> None:
    probe = load_probe(ProbeOptions(entries=256))
    try:
        assert (
            probe._bpf.value(
                "bpf_map__max_entries",
                probe._bpf.pointer("bpf_object__find_map_by_name", probe._object, b"pid_cache"),
            )
            == 256
        )
    finally:
        probe.close()


def test_a_damaged_object_is_one_clear_line(tmp_path: Path, probe: Probe) -> None:
    broken = tmp_path / "broken.o"
    broken.write_bytes(b"\x7fELF not an object")
    with pytest.raises(ProbeUnavailable) as caught:
        Probe(LOCAL, ProbeOptions(object_file=broken))
    assert "\n" not in str(caught.value)


def test_without_capabilities_the_reason_names_them(as_root: None) -> None:
    code = (
        "from core.system.host import LOCAL\nfrom core.probe.loader import Probe\n"
        "from core.probe.refusals import ProbeUnavailable\n"
        "try:\n    Probe(LOCAL)\nexcept ProbeUnavailable as why:\n    print(why)\n"
    )
    out = subprocess.run(
        ["setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin", sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    ).stdout
    assert "CAP_BPF" in out
    assert "CAP_PERFMON" in out


@pytest.mark.parametrize("name", ["thread_exec", "leader_exits_first"])
def test_threads(probe: Probe, scenario: Callable[[str], Path], name: str) -> None:
    child = subprocess.Popen([scenario(name)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    try:
        found = events_of(probe, child.pid, Exec)
        time.sleep(0.1)
        found += [layout.decode_event(record) for record in probe.consume()]
        ended = [e for e in found if isinstance(e, Exit) and e.pid == child.pid]
        assert not ended, "the process lives on"
        assert look(child.pid) is not None
    finally:
        child.kill()
        child.wait()


def test_the_kernel_counts_the_entries_of_its_maps() -> None:
    """As many as a walk over the keys finds, in maps too small for everybody too."""
    for entries in (0, 256):
        options = ProbeOptions(entries=entries)
        probe = load_probe(options)
        try:
            probe.snapshot()
            for _ in range(300 if entries else 0):
                os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
            before, filled, after = keys_of(probe), probe.fill(), keys_of(probe)
            assert [fill.name for fill in filled] == ["pid_cache", "proc_cache"]
            assert {fill.capacity for fill in filled} == {options.map_entries()}
            for fill, low, high in zip(filled, before, after, strict=True):
                assert min(low, high) <= fill.entries <= max(low, high)
                assert 0 < fill.entries <= fill.capacity
        finally:
            probe.close()


def keys_of(probe: Probe) -> list[int]:
    """How many keys pid_cache and proc_cache have, one by one through the system call."""
    libbpf = ctypes.CDLL("libbpf.so.1")
    libbpf.bpf_map_get_next_key.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    numbers = []
    for name in ("pid_cache", "proc_cache"):
        key, number = None, 0
        following = ctypes.c_uint64()
        while libbpf.bpf_map_get_next_key(probe.map_fd(name), key, ctypes.byref(following)) == 0:
            key, number = ctypes.byref(ctypes.c_uint64(following.value)), number + 1
        numbers.append(number)
    return numbers
