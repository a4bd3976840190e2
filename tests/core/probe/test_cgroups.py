"""Cgroups of several hierarchies: every tier chooses by one rule, and an id counts in its own only."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.containers.cgroup_file import choose_cgroup
from core.model.entities import Origin, ProcessEntry
from core.model.events import CgroupMove, Exec, Fork
from core.probe import layout
from core.probe.loader import Probe
from core.probe.maps import ProbeMaps
from core.resolve.metrics import Counters
from core.resolve.process_cache import ProcessCache
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.core.probe.events import entry_of, events_of, run_until_named

CONTAINER = "c0ffee00" * 8
OTHER = "0badcafe" * 8


class Hierarchies:
    """Directories of this test in every mounted cgroup hierarchy, by `v2`, `name=…` or the controllers."""

    def __init__(self) -> None:
        self.mounts: dict[str, Path] = {}
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            if kind in ("cgroup", "cgroup2"):
                names = set(options.split(",")) - {"rw", "relatime", "nosuid", "nodev", "noexec", "xattr"}
                name = "v2" if kind == "cgroup2" else next(iter(sorted(names)), "")
                self.mounts.setdefault(name, Path(where))
        self._made: list[tuple[str, list[str]]] = []

    @property
    def controllers(self) -> list[str]:
        return [name for name in ("pids", "freezer", "devices") if name in self.mounts]

    @property
    def named(self) -> str:
        return next((name for name in self.mounts if name.startswith("name=")), "")

    def put(self, pid: int, hierarchy: str, path: str) -> int:
        """Move a process there, through directories that may be deeper than any path; return the id."""
        folder = os.open(self.mounts[hierarchy], os.O_RDONLY)
        names = path.split("/")
        for number, name in enumerate(names):
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, dir_fd=folder)
                self._made.append((hierarchy, names[: number + 1]))
            above, folder = folder, os.open(name, os.O_RDONLY, dir_fd=folder)
            os.close(above)
        procs = os.open("cgroup.procs", os.O_WRONLY, dir_fd=folder)
        os.write(procs, str(pid).encode())
        number = os.fstat(folder).st_ino
        os.close(procs)
        os.close(folder)
        return number

    def remove(self) -> None:
        for hierarchy, names in reversed(self._made):
            folder = os.open(self.mounts[hierarchy], os.O_RDONLY)
            for name in names[:-1]:
                above, folder = folder, os.open(name, os.O_RDONLY, dir_fd=folder)
                os.close(above)
            for _ in range(100):
                try:
                    os.rmdir(names[-1], dir_fd=folder)
                    break
                except OSError:  # the process that was in it is not reaped yet
                    time.sleep(0.05)
            os.close(folder)


@pytest.fixture
def hierarchies(as_root: None) -> Iterator[Hierarchies]:
    made = Hierarchies()
    if "v2" not in made.mounts or not os.access(made.mounts["v2"], os.W_OK):
        pytest.skip("no cgroup v2 that can be written")
    yield made
    made.remove()


@pytest.fixture
def sleeper() -> Iterator[int]:
    child = run_until_named(["/bin/sleep", "60"], "sleep")
    yield child.pid
    child.kill()
    child.wait()


def three_tiers(probe: Probe, pid: int) -> dict[str, ProcessEntry]:
    snapshot = entry_of(probe, pid)
    return {"iterator": snapshot, "maps": ProbeMaps(probe).lookup(pid), "procfs": Procfs(LOCAL).entry(pid)[0]}


SHIM = f"ebpf-tui-{os.getpid()}/docker.service"
INSIDE = f"ebpf-tui-{os.getpid()}/{CONTAINER}"
NESTED = f"{INSIDE}/{OTHER}"

PLACES = {
    "v1 only, as runc before 1.1": ({"v2": SHIM, "controllers": INSIDE, "named": INSIDE}, INSIDE),
    "controllers only": ({"v2": SHIM, "controllers": INSIDE}, INSIDE),
    "v2 only": ({"v2": INSIDE}, INSIDE),
    "v2 before a controller that names another one": ({"v2": INSIDE, "controllers": f"x/{OTHER}"}, INSIDE),
    "a controller that goes further in": ({"v2": INSIDE, "controllers": NESTED}, NESTED),
    "no container: named before v2": ({"v2": SHIM, "named": "ebpf-tui-a.service"}, "ebpf-tui-a.service"),
    "no container: v2 before controllers": ({"v2": SHIM, "controllers": "ebpf-tui-b"}, SHIM),
}


@pytest.mark.parametrize("name", PLACES)
def test_every_tier_names_the_same_cgroup(
    probe: Probe, hierarchies: Hierarchies, sleeper: int, name: str
) -> None:
    places, expected = PLACES[name]
    if "controllers" in places and not hierarchies.controllers:
        pytest.skip("no cgroup v1 controllers here")
    if "named" in places and not hierarchies.named:
        pytest.skip("no named cgroup hierarchy here")
    for kind, path in places.items():
        for hierarchy in {"controllers": hierarchies.controllers, "named": [hierarchies.named]}.get(
            kind, [kind]
        ):
            hierarchies.put(sleeper, hierarchy, path)
    moves = [event for event in events_of(probe, sleeper, CgroupMove) if isinstance(event, CgroupMove)]
    found = {tier: entry.cgroup for tier, entry in three_tiers(probe, sleeper).items()}
    assert found == dict.fromkeys(("iterator", "maps", "procfs"), b"/" + expected.encode())
    assert moves[-1].cgroup == b"/" + expected.encode()


def test_a_move_between_cgroups_is_reported(probe: Probe, hierarchies: Hierarchies, sleeper: int) -> None:
    name = f"ebpf-tui-{os.getpid()}"
    number = hierarchies.put(sleeper, "v2", name)
    moves = [e for e in events_of(probe, sleeper, CgroupMove) if isinstance(e, CgroupMove)]
    assert (moves[-1].cgroup, moves[-1].hierarchy) == (f"/{name}".encode(), 0)
    assert moves[-1].cgroup_id == number
    assert ProbeMaps(probe).lookup(sleeper).cgroup == moves[-1].cgroup


def with_equal_ids(hierarchies: Hierarchies) -> tuple[str, str]:
    """Make two cgroups with one id, of v2 and of the named hierarchy; return their names.

    Each hierarchy counts by itself, a directory and its files. A directory is made where the count is behind.
    """
    latest = {"v2": 0, hierarchies.named: 0}
    names = dict.fromkeys(latest, "")
    for number in range(20_000):
        hierarchy = min(latest, key=lambda one: latest[one])
        if names[hierarchy]:
            (hierarchies.mounts[hierarchy] / names[hierarchy]).rmdir()
        names[hierarchy] = f"ebpf-tui-{os.getpid()}-{number}"
        folder = hierarchies.mounts[hierarchy] / names[hierarchy]
        folder.mkdir()
        latest[hierarchy] = folder.stat().st_ino
        if len(set(latest.values())) == 1:
            break
    for hierarchy, name in names.items():
        hierarchies._made.append((hierarchy, [name]))
    if len(set(latest.values())) == 2:
        pytest.skip("no two directories with the same id")
    return names["v2"], names[hierarchies.named]


def test_equal_ids_in_two_hierarchies_are_two_cgroups(
    probe: Probe, hierarchies: Hierarchies, sleeper: int
) -> None:
    if not hierarchies.named:
        pytest.skip("no named cgroup hierarchy here")
    unified, named = with_equal_ids(hierarchies)
    maps = ProbeMaps(probe)
    cache = ProcessCache(Counters())
    cache.insert(entry_of(probe, sleeper), Origin.SNAPSHOT)
    first = hierarchies.put(sleeper, "v2", unified)
    assert maps.lookup(sleeper).cgroup == f"/{unified}".encode()
    second = hierarchies.put(sleeper, hierarchies.named, named)
    assert first == second
    assert maps.lookup(sleeper).cgroup == f"/{named}".encode()
    moves = [event for event in events_of(probe, sleeper, CgroupMove) if isinstance(event, CgroupMove)]
    assert [(move.cgroup_id, move.cgroup) for move in moves[-2:]] == [
        (first, f"/{unified}".encode()),
        (first, f"/{named}".encode()),
    ]
    for move in moves:
        assert cache.move(move) is not None
        assert cache.move(move) is None  # it is there already


def test_a_cgroup_deeper_than_any_record_is_whole_or_left_to_proc(
    probe: Probe, hierarchies: Hierarchies, sleeper: int
) -> None:
    for levels, size in ((60, 3), (12, 240), (60, 180)):
        path = "/".join([f"ebpf-tui-{os.getpid()}", CONTAINER, *["n" * size] * levels])
        hierarchies.put(sleeper, "v2", path)
        for tier, entry in three_tiers(probe, sleeper).items():
            if tier == "procfs":
                assert (b"/" + path.encode()).startswith(entry.cgroup)  # /proc cuts it, too
            else:
                assert entry.cgroup in (b"/" + path.encode(), b""), (tier, levels, size)
            if len(path) < 4095:
                assert entry.cgroup or tier == "maps"


def test_the_whole_path_of_a_process_is_in_its_events(probe: Probe, hierarchies: Hierarchies) -> None:
    path = f"ebpf-tui-{os.getpid()}/{CONTAINER}"
    shell = subprocess.Popen(["sh", "-c", "read x; /bin/true; exit 0"], stdin=subprocess.PIPE)
    try:
        hierarchies.put(shell.pid, "v2", path)
        shell.communicate(b"\n")
        events = [layout.decode_event(record) for record in probe.consume()]
        forks = [e for e in events if isinstance(e, Fork) and e.ppid == shell.pid]
        execs = [e for e in events if isinstance(e, Exec) and e.entry.ppid == shell.pid]
        assert [e.cgroup for e in forks] == [b"/" + path.encode()]
        assert [e.entry.cgroup for e in execs] == [b"/" + path.encode()]
    finally:
        shell.kill()
        shell.wait()


def test_the_rule_does_not_depend_on_the_order_of_the_lines() -> None:
    lines = [b"9:name=systemd:/", b"8:pids:/docker/" + CONTAINER.encode(), b"4:memory:/x", b"0::/y.service"]
    for turn in range(4):
        data = b"\n".join(lines[turn:] + lines[:turn])
        assert choose_cgroup(data) == b"/docker/" + CONTAINER.encode()
