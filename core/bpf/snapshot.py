"""The whole host at one time: lists, holds and attachments, read by what this process is allowed to use.

The ladder: CAP_SYS_ADMIN reads everything; CAP_BPF and CAP_PERFMON load our iterators, which list objects,
count elements and name holders, but without what only a descriptor gives; less reads nothing.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from core.bpf import names
from core.bpf.cgroups import cgroup_attachments
from core.bpf.devices import device_attachments
from core.bpf.fill import fill
from core.bpf.holders import descriptors, holds_of, perf_attachments
from core.bpf.iterators import HostIterators, IteratorsUnavailable
from core.bpf.listing import Lister, NotPermitted
from core.bpf.namespaces import find_namespaces
from core.bpf.pins import pins
from core.bpf.records import (
    Attachment,
    BtfObject,
    Hold,
    HoldKind,
    HostSnapshot,
    Kind,
    Link,
    Map,
    Program,
    Refused,
)  # fmt: skip
from core.bpf.references import references
from core.system.host import Host


def is_this_kernel(host: Host) -> bool:
    """True when the host that is looked at runs on the kernel that answers us: bpf(2) has no --host-root."""
    if host.is_local:
        return True
    try:
        ours = Path("/proc/sys/kernel/random/boot_id").read_text()
        return (host.proc / "sys/kernel/random/boot_id").read_text() == ours
    except OSError:
        return False


class HostBpf:
    """Takes snapshots. Owned by one thread; `close()` frees the iterators, nothing else is kept loaded."""

    def __init__(self, host: Host, *, load: bool = True) -> None:
        """`load` False: nothing of ours is loaded, holders come from /proc and maps are walked."""
        self.host = host
        self.lister = Lister()
        self.iterators: HostIterators | None = None
        self._without: str = ""
        if not load:
            return
        try:
            self.iterators = HostIterators()
        except IteratorsUnavailable as error:
            self._without = str(error)

    def close(self) -> None:
        if self.iterators is not None:
            self.iterators.close()
            self.iterators = None

    def snapshot(self, *, counting: bool = False, holds: bool = True, with_fill: bool = True) -> HostSnapshot:
        """Read everything. Raises NotPermitted when neither ids nor iterators are allowed.

        `counting`: run times are counted now, so 0 runs means none. `holds` False leaves out who holds
        what and what is attached without a link, `with_fill` False how full maps are.
        """
        refused: list[Refused] = []
        taken = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        try:
            programs = self.lister.programs(refused, counting)
            maps, links = self.lister.maps(refused), self.lister.links(refused)
            btfs = self.lister.btfs(refused)
        except NotPermitted:
            if self.iterators is None or not self.iterators.has("list_programs"):
                raise
            programs, maps, links = _by_iterators(self.iterators)
            btfs = ()
            refused.append(Refused("code, contents, run times and BTF", "only listed here", "CAP_SYS_ADMIN"))
        if self.iterators is None and self._without:
            refused.append(Refused("our own iterators", self._without))
        if with_fill:
            maps = fill(maps, self.iterators)
        found_holds: list[Hold] = []
        attachments: list[Attachment] = []
        if holds:
            found_holds, attachments = self._holds(programs, maps, links, refused)
            own = _own(found_holds)
            programs = _marked(programs, own[Kind.PROGRAM])
            maps = _marked(maps, own[Kind.MAP])
            links = _marked(links, own[Kind.LINK])
            btfs = _marked(btfs, own[Kind.BTF])
        return HostSnapshot(
            taken,
            programs,
            maps,
            links,
            btfs,
            tuple(found_holds),
            tuple(attachments),
            tuple(refused),
            counting,
        )

    def _holds(
        self,
        programs: tuple[Program, ...],
        maps: tuple[Map, ...],
        links: tuple[Link, ...],
        refused: list[Refused],
    ) -> tuple[list[Hold], list[Attachment]]:
        namespaces = find_namespaces(self.host)
        rows = descriptors(self.host, self.iterators, refused)
        attachments = device_attachments(self.host, namespaces, links, refused)
        attachments += cgroup_attachments(self.host, namespaces, programs, links, refused)
        held = holds_of(rows)
        held += pins(self.host, namespaces, refused)
        held += [_as_hold(one) for one in attachments if not one.link_id]
        attachments += perf_attachments(rows)
        held += references(programs, maps, links, self.lister.types, refused)
        attachments += _of_links(programs, links)
        return held, attachments


_LISTED_WITH_DEVICES = frozenset(("xdp", "tcx", "netkit", "cgroup", "netns"))
"""Link types whose attachments are found at the device, cgroup or namespace, by name."""


def _of_links(programs: tuple[Program, ...], links: tuple[Link, ...]) -> list[Attachment]:
    """Return what links say themselves. libbpf attaches tp_btf programs with raw_tracepoint links."""
    tracing = {program.id for program in programs if program.type == "tracing"}
    found = []
    for link in links:
        if link.program_id and link.type not in _LISTED_WITH_DEVICES:
            tp_btf = link.type == "raw_tracepoint" and link.program_id in tracing
            kind = "tp_btf" if tp_btf else link.attach or link.type
            found.append(Attachment(link.program_id, kind, link.target, link_id=link.id))
    return found


def _as_hold(attachment: Attachment) -> Hold:
    """An attachment without a link keeps its program loaded."""
    if attachment.kind.startswith(("cgroup", "lsm_cgroup")):
        kind = HoldKind.CGROUP
    elif attachment.where.startswith(b"network namespace "):
        kind = HoldKind.NETNS
    else:
        kind = HoldKind.NETDEV
    detail = attachment.kind.encode()
    return Hold(
        Kind.PROGRAM, attachment.program_id, kind, place=attachment.where, namespace=attachment.namespace,
        detail=detail,
    )  # fmt: skip


def _own(holds: list[Hold]) -> dict[Kind, set[int]]:
    """Return the ids of what only this very process has open."""
    holders: dict[tuple[Kind, int], set[int]] = {}
    for hold in holds:
        if hold.kind is HoldKind.DESCRIPTOR:
            holders.setdefault((hold.object, hold.id), set()).add(hold.pid)
    own: dict[Kind, set[int]] = {kind: set() for kind in Kind}
    for (kind, number), pids in holders.items():
        if pids == {os.getpid()}:
            own[kind].add(number)
    return own


_Object = TypeVar("_Object", Program, Map, Link, BtfObject)


def _marked(objects: tuple[_Object, ...], own: set[int]) -> tuple[_Object, ...]:
    return tuple(replace(one, ours=True) if one.id in own else one for one in objects)


def _by_iterators(
    iterators: HostIterators,
) -> tuple[tuple[Program, ...], tuple[Map, ...], tuple[Link, ...]]:
    """Return what our iterators list; what only a descriptor gives is None, 0 or empty."""
    programs = tuple(
        Program(
            id=number, type=names.program_type(type_), name=name, tag=tag.hex(), loaded_ns=loaded, uid=-1,
            gpl=False, run_ns=None, run_count=None, misses=None, verified_insns=verified or None,
            xlated_bytes=insns * 8, jited_bytes=jited, memory=None, map_ids=(), btf_id=0, attach_to=b"",
        )
        for number, type_, insns, jited, loaded, verified, tag, name in iterators.programs()
    )  # fmt: skip
    maps = tuple(
        Map(
            id=number, type=names.map_type(type_), name=name, key_size=key, value_size=value,
            max_entries=entries, flags=flags, extra=0, memory=None, frozen=None, btf_id=0, key_type=0,
            value_type=0,
        )
        for number, type_, key, value, entries, flags, name in iterators.maps()
    )  # fmt: skip
    links = tuple(
        Link(id=number, type=names.link_type(type_), program_id=program, attach="", target=b"")
        for number, type_, program in iterators.links()
    )
    return programs, maps, links
