"""Agents: who keeps what loaded. By process or container that has it open, then by pin directory, then by
maps and BTF shared with an agent; last what is attached for nobody, and what waits to be freed.

Each program, map and link belongs to one agent: the process with the lowest pid that holds it, so a child
that inherited descriptors does not become an agent of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from core.bpf.records import Hold, HoldKind, HostSnapshot, Kind

HolderName = Callable[[int], "HolderProcess"]
"""Asks who a pid is; never raises."""


class AgentKind(StrEnum):
    """How we know that objects belong together."""

    CONTAINER = "container"
    PROCESS = "process"
    PINS = "pins"
    NOBODY = "nobody"
    """Attached or pinned to nothing we know of: it outlived whoever loaded it."""
    WAITING = "waiting to be freed"
    """Nothing holds it: the kernel frees it after a grace period, or a socket that cannot be found has it."""


class HolderProcess(msgspec.Struct, frozen=True):
    """A process that holds objects, and its container where it is in one."""

    pid: int
    comm: bytes = b""
    container_id: str = ""
    container: str = ""
    runtime: str = ""


class Agent(msgspec.Struct, frozen=True):
    """Who keeps objects loaded. `pids` are all its processes that do, ascending; ids are ascending."""

    kind: AgentKind
    name: bytes
    pids: tuple[int, ...] = ()
    container_id: str = ""
    runtime: str = ""
    programs: tuple[int, ...] = ()
    maps: tuple[int, ...] = ()
    links: tuple[int, ...] = ()
    btfs: tuple[int, ...] = ()
    memory: int = 0
    """Bytes of its programs and maps; what two agents use is counted once, for whom it belongs to."""
    ours: bool = False


Owner = tuple[AgentKind, bytes | int | str]
"""Kind and pid, container id or directory."""

_NOBODY: Owner = (AgentKind.NOBODY, b"")
_WAITING: Owner = (AgentKind.WAITING, b"")


@dataclass(slots=True)
class _Belongings:
    """What was given to each owner so far."""

    owner_of: dict[tuple[Kind, int], Owner] = field(default_factory=dict)

    def give(self, kind: Kind, number: int, owner: Owner | None) -> bool:
        """Return True when the object had no owner and has one now."""
        if owner is None or (kind, number) in self.owner_of:
            return False
        self.owner_of[kind, number] = owner
        return True

    def of(self, kind: Kind, number: int) -> Owner | None:
        return self.owner_of.get((kind, number))


def agents(snapshot: HostSnapshot, who: HolderName) -> tuple[Agent, ...]:
    """Group a snapshot. Our own agent is last but for nobody's and what waits to be freed."""
    processes: dict[int, HolderProcess] = {}
    belongings = _Belongings()
    holds = sorted(snapshot.holds, key=lambda hold: (_RANK.get(hold.kind, 9), hold.pid, hold.place))
    for hold in holds:
        if hold.kind in (HoldKind.DESCRIPTOR, HoldKind.PERF_EVENT):
            if hold.pid not in processes:
                processes[hold.pid] = who(hold.pid)
            belongings.give(hold.object, hold.id, _owner(processes[hold.pid]))
    _spread(snapshot, belongings)
    for hold in holds:
        if hold.kind is HoldKind.PIN:
            belongings.give(hold.object, hold.id, (AgentKind.PINS, hold.place.rpartition(b"/")[0] or b"/"))
    _spread(snapshot, belongings)
    _share(snapshot, belongings)
    _leave(snapshot, belongings)
    return _made(snapshot, belongings, processes)


_RANK = {HoldKind.DESCRIPTOR: 0, HoldKind.PERF_EVENT: 1, HoldKind.PIN: 2}


def _owner(process: HolderProcess) -> Owner:
    if process.container_id:
        return AgentKind.CONTAINER, process.container_id
    return AgentKind.PROCESS, process.pid


def _spread(snapshot: HostSnapshot, belongings: _Belongings) -> None:
    """Give what an object keeps loaded to the owner of the object, until nothing changes."""
    changed = True
    while changed:
        changed = False
        for hold in snapshot.holds:
            by = _HOLDER.get(hold.kind)
            if by is not None:
                changed |= belongings.give(hold.object, hold.id, belongings.of(by, hold.by))


_HOLDER = {
    HoldKind.LINK: Kind.LINK,
    HoldKind.PROGRAM: Kind.PROGRAM,
    HoldKind.MAP: Kind.MAP,
    HoldKind.TAIL_CALL: Kind.MAP,
    HoldKind.INNER_MAP: Kind.MAP,
    HoldKind.STRUCT_OPS: Kind.MAP,
}


def _share(snapshot: HostSnapshot, belongings: _Belongings) -> None:
    """Give programs that only a device or cgroup holds to whom their maps or their BTF belong."""
    for program in snapshot.programs:
        shared = [belongings.of(Kind.MAP, number) for number in program.map_ids]
        if program.btf_id:
            shared.append(belongings.of(Kind.BTF, program.btf_id))
        belongings.give(Kind.PROGRAM, program.id, next((owner for owner in shared if owner), None))
    _spread(snapshot, belongings)


def _leave(snapshot: HostSnapshot, belongings: _Belongings) -> None:
    """What is left is nobody's when something holds it, and else waits to be freed."""
    held = {(hold.object, hold.id) for hold in snapshot.holds}
    for kind, objects in (
        (Kind.PROGRAM, snapshot.programs),
        (Kind.LINK, snapshot.links),
        (Kind.MAP, snapshot.maps),
        (Kind.BTF, tuple(found for found in snapshot.btfs if not found.kernel)),
    ):
        for found in objects:
            belongings.give(kind, found.id, _NOBODY if (kind, found.id) in held else _WAITING)


def _made(
    snapshot: HostSnapshot, belongings: _Belongings, processes: dict[int, HolderProcess]
) -> tuple[Agent, ...]:
    ids: dict[Owner, dict[Kind, list[int]]] = defaultdict(lambda: {kind: [] for kind in Kind})
    memory: dict[Owner, int] = defaultdict(int)
    foreign: set[Owner] = set()
    for kind, number, size, ours in _all(snapshot):
        owner = belongings.of(kind, number)
        if owner is not None:
            ids[owner][kind].append(number)
            memory[owner] += size
            if not ours:
                foreign.add(owner)
    pids = _pids(snapshot.holds, belongings)
    order = list(AgentKind)
    made = []
    for owner, numbers in ids.items():
        name, container_id, runtime = _name(owner, processes)
        agent = Agent(
            kind=owner[0], name=name, pids=tuple(sorted(pids.get(owner, ()))), container_id=container_id,
            runtime=runtime, programs=tuple(numbers[Kind.PROGRAM]), maps=tuple(numbers[Kind.MAP]),
            links=tuple(numbers[Kind.LINK]), btfs=tuple(numbers[Kind.BTF]), memory=memory[owner],
            ours=owner not in foreign,
        )  # fmt: skip
        made.append(agent)
    return tuple(
        sorted(made, key=lambda made: (max(2, order.index(made.kind)), made.ours, made.name, made.pids))
    )


def _all(snapshot: HostSnapshot) -> Iterator[tuple[Kind, int, int, bool]]:
    """Yield (kind, id, bytes, ours) of every object."""
    for program in snapshot.programs:
        yield Kind.PROGRAM, program.id, program.memory or 0, program.ours
    for found in snapshot.maps:
        yield Kind.MAP, found.id, found.memory or 0, found.ours
    for link in snapshot.links:
        yield Kind.LINK, link.id, 0, link.ours
    for btf in snapshot.btfs:
        yield Kind.BTF, btf.id, 0, btf.ours


def _pids(holds: tuple[Hold, ...], belongings: _Belongings) -> dict[Owner, set[int]]:
    found: dict[Owner, set[int]] = defaultdict(set)
    for hold in holds:
        owner = belongings.of(hold.object, hold.id) if hold.pid else None
        if owner is not None:
            found[owner].add(hold.pid)
    return found


def _name(owner: Owner, processes: dict[int, HolderProcess]) -> tuple[bytes, str, str]:
    """Return name, container id and runtime."""
    kind, key = owner
    if kind is AgentKind.CONTAINER:
        process = next(process for process in processes.values() if process.container_id == key)
        name = process.container or process.container_id[:12]
        return name.encode(), process.container_id, process.runtime
    if isinstance(key, int):
        return processes[key].comm, "", ""
    return (key if isinstance(key, bytes) else b""), "", ""


def holder_names(snapshot: HostSnapshot) -> HolderName:
    """Return names by what the iterator itself saw: pids and comms, without containers."""
    comms = {hold.pid: hold.comm for hold in snapshot.holds if hold.pid}
    return lambda pid: HolderProcess(pid, comms.get(pid, b""))
