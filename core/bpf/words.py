"""Holds and attachments in words, the same on screens and on the command line. The texts are safe to show."""

from __future__ import annotations

from collections import defaultdict

from core.bpf.records import Attachment, Hold, HoldKind, HostSnapshot, Kind, Program
from core.text.safe import safe_text

_LONGEST = 200


class HoldWords:
    """Who holds what in a snapshot, by object."""

    def __init__(self, snapshot: HostSnapshot) -> None:
        self._holds: dict[tuple[Kind, int], list[Hold]] = defaultdict(list)
        for hold in snapshot.holds:
            self._holds[hold.object, hold.id].append(hold)
        self._places: dict[int, list[Attachment]] = defaultdict(list)
        for attachment in snapshot.attachments:
            self._places[attachment.program_id].append(attachment)

    def holds(self, kind: Kind, number: int) -> list[Hold]:
        return self._holds.get((kind, number), [])

    def attachments(self, program: int) -> list[Attachment]:
        return self._places.get(program, [])

    def held_by(self, kind: Kind, number: int) -> list[str]:
        """Return every reason why an object stays loaded; for a link's program who holds the link."""
        return [self._words(hold) for hold in self.holds(kind, number)]

    def attached_to(self, program: Program) -> list[str]:
        """Return where a program runs; what it is made for when it runs nowhere."""
        places = [attachment_words(attachment) for attachment in self.attachments(program.id)]
        if not places and program.attach_to:
            return [f"{safe_text(program.attach_to, _LONGEST)} (not attached)"]
        return places

    def _words(self, hold: Hold) -> str:
        if hold.kind is HoldKind.LINK:
            keepers = [self._words(other) for other in self.holds(Kind.LINK, hold.by)]
            return f"link {hold.by}" + (f" of {', '.join(keepers)}" if keepers else "")
        return hold_words(hold)


def hold_words(hold: Hold) -> str:
    """Return one hold in words: `nginx (4121)`, `pin /sys/fs/bpf/x`, `slot 2 of map 7`…"""
    place = safe_text(hold.place, _LONGEST)
    if hold.kind is HoldKind.DESCRIPTOR:
        return f"{safe_text(hold.comm, 32) or 'process'} ({hold.pid})"
    if hold.kind is HoldKind.PERF_EVENT:
        return f"perf event of {safe_text(hold.comm, 32) or 'process'} ({hold.pid})"
    if hold.kind in (HoldKind.NETDEV, HoldKind.CGROUP, HoldKind.NETNS):
        where = place if hold.kind is HoldKind.NETNS else f"{_PLACE[hold.kind]} {place}"
        return f"{where} ({safe_text(hold.detail, 64)})"
    if hold.kind is HoldKind.STRUCT_OPS and hold.object is Kind.MAP:
        return "registered in the kernel"
    words = {
        HoldKind.PIN: f"pin {place}",
        HoldKind.TAIL_CALL: f"slot {place} of map {hold.by}",
        HoldKind.INNER_MAP: f"element {place} of map {hold.by}",
        HoldKind.STRUCT_OPS: f"{place} of map {hold.by}",
        HoldKind.LINK: f"link {hold.by}",
        HoldKind.PROGRAM: f"program {hold.by}",
        HoldKind.MAP: f"map {hold.by}",
    }
    return words[hold.kind]


_PLACE = {HoldKind.NETDEV: "device", HoldKind.CGROUP: "cgroup"}


def attachment_words(attachment: Attachment) -> str:
    """Return one place in words: `xdp generic eth0`, `tracepoint sched_switch`."""
    kind, where = safe_text(attachment.kind, 64), safe_text(attachment.where, _LONGEST)
    return f"{kind} {where}" if where else kind
