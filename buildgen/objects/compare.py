"""Two builds of an object: what was added, what is gone, what changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar

from buildgen.objects.model import CoreRelocation, MapDef, ObjectFile, Program

_T = TypeVar("_T")
Change = Literal["added", "gone", "changed"]


@dataclass(frozen=True, slots=True)
class ProgramChange:
    """`insns` are None where there is no such program; equal numbers with `changed`: other instructions."""

    name: str
    change: Change
    insns_before: int | None
    insns_after: int | None


@dataclass(frozen=True, slots=True)
class MapChange:
    """`what` lists the changed fields as `max_entries 128 -> 256`."""

    name: str
    change: Change
    what: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RelocationChange:
    """So many more (or fewer) CO-RE relocations of this kind for this field in this section."""

    section: str
    kind: str
    type: str
    access: str
    change: Literal["added", "gone"]
    count: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs; things that are the same are left out. `about`: `license GPL -> MIT`."""

    about: tuple[str, ...]
    size_before: int
    size_after: int
    insns_before: int
    insns_after: int
    programs: tuple[ProgramChange, ...]
    maps: tuple[MapChange, ...]
    core_relocations: tuple[RelocationChange, ...]

    @property
    def same(self) -> bool:
        """True when licence, byte order, programs, maps and relocations are; debug information may differ."""
        return not (self.about or self.programs or self.maps or self.core_relocations)


def compare(before: ObjectFile, after: ObjectFile) -> Comparison:
    """Compare two objects; the order is that of `after`, then what is gone."""
    return Comparison(
        about=tuple(_about(before, after)),
        size_before=before.size,
        size_after=after.size,
        insns_before=sum(one.insns for one in before.programs),
        insns_after=sum(one.insns for one in after.programs),
        programs=tuple(_programs(before.programs, after.programs)),
        maps=tuple(_maps(before.maps, after.maps)),
        core_relocations=tuple(_relocations(before.core_relocations, after.core_relocations)),
    )


def _about(before: ObjectFile, after: ObjectFile) -> Iterable[str]:
    pairs = (
        ("license", before.license or "none", after.license or "none"),
        ("byte order", before.endian, after.endian),
    )
    return (f"{what} {was} -> {now}" for what, was, now in pairs if was != now)


def _programs(before: Iterable[Program], after: Iterable[Program]) -> Iterable[ProgramChange]:
    old = dict(_numbered(before, lambda one: (one.section, one.name)))
    for key, one in _numbered(after, lambda one: (one.section, one.name)):
        was = old.pop(key, None)
        if was is None:
            yield ProgramChange(one.name, "added", None, one.insns)
        elif was.digest != one.digest:
            yield ProgramChange(one.name, "changed", was.insns, one.insns)
    yield from (ProgramChange(one.name, "gone", one.insns, None) for one in old.values())


def _maps(before: Iterable[MapDef], after: Iterable[MapDef]) -> Iterable[MapChange]:
    old = dict(_numbered(before, lambda one: one.name))
    for key, one in _numbered(after, lambda one: one.name):
        was = old.pop(key, None)
        if was is None:
            yield MapChange(one.name, "added")
        elif was != one:
            pairs = [
                (field.name, getattr(was, field.name), getattr(one, field.name)) for field in fields(one)
            ]
            yield MapChange(
                one.name, "changed", tuple(f"{name} {a} -> {b}" for name, a, b in pairs if a != b)
            )
    yield from (MapChange(one.name, "gone") for one in old.values())


def _numbered(things: Iterable[_T], name: Callable[[_T], Hashable]) -> Iterable[tuple[Hashable, _T]]:
    """Yield each thing with its name and how many came before it under that name: none hides another."""
    before: Counter[Hashable] = Counter()
    for one in things:
        key = name(one)
        yield (key, before[key]), one
        before[key] += 1


def _relocations(
    before: Iterable[CoreRelocation], after: Iterable[CoreRelocation]
) -> Iterable[RelocationChange]:
    old, new = (
        Counter((one.section, one.kind, one.type, one.access) for one in side) for side in (before, after)
    )
    for what, count in (new - old).items():
        yield RelocationChange(*what, "added", count)
    for what, count in (old - new).items():
        yield RelocationChange(*what, "gone", count)


def comparison_json(one: Comparison) -> dict[str, Any]:
    """Return `difference` of `inspect --compare --json`."""
    return {
        "same": one.same,
        "about": list(one.about),
        "size": {"before": one.size_before, "after": one.size_after},
        "insns": {"before": one.insns_before, "after": one.insns_after},
        "programs": [
            {"name": p.name, "change": p.change, "insns_before": p.insns_before, "insns_after": p.insns_after}
            for p in one.programs
        ],
        "maps": [{"name": m.name, "change": m.change, "what": list(m.what)} for m in one.maps],
        "core_relocations": [
            {
                "section": r.section,
                "kind": r.kind,
                "type": r.type,
                "access": r.access,
                "change": r.change,
                "count": r.count,
            }
            for r in one.core_relocations
        ],
    }
