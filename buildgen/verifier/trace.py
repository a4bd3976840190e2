"""The way back: from the refused instruction to where its value came from, and where its bound was lost.

Follows one register through the steps of the verifier's log, from the last one backwards: copies, the stack,
arithmetic, calls. What is found is a place in the source with a sentence, in the order in which it runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from buildgen.objects.model import LineInfo, Program
from buildgen.verifier.dataflow import CALL, CHANGE, CONSTANT, COPY, LOAD, origin_of, setter_of, stored_at
from buildgen.verifier.log import Log, Step
from buildgen.verifier.model import TracePoint
from buildgen.verifier.places import Places
from core.text.safe import safe_text

_REGISTER = re.compile(r"\bR(?P<number>\d{1,2})\b")
_REFERENCE = re.compile(r"alloc_insn=(?P<insn>\d{1,9})")
_UNBOUNDED = re.compile(
    r"unbounded|min value|max value|outside of the|out of bounds|invalid access to (?:map|memory)|"
    r"zero-sized|variable-offset|math between"
)
_OWN_CALL = re.compile(r"^\(85\) call pc[+-]")
_TEST = re.compile(r"^\([0-9a-f]{2}\) if (?P<left>[rw]\d+) (?P<op>\S+) (?P<right>\S+) goto")
_MOVES_PACKET = re.compile(
    r"bpf_(?:skb_(?:store_bytes|change_\w+|vlan_\w+|pull_data|adjust_room|set_tunnel|ecn_\w+|"
    r"cgroup_classid)|l[34]_csum_replace|clone_redirect|"
    r"xdp_adjust_\w+|msg_\w+_data|lwt_\w+|sk_storage\w*|store_hdr_opt)"
)
_MOST_POINTS = 12
_MOST_CHECKS = 3
_MOST_CHANGES = 3
_MOST_STEPS = 20_000
_MOST_TESTS = 100
"""Comparisons that are followed back to their values, the latest ones: each costs the length of the path."""


@dataclass(frozen=True, slots=True)
class _Point:
    """Something that happened at a step, `at` its place on the path (0 the last)."""

    at: int
    step: Step
    what: str


@dataclass(frozen=True, slots=True)
class Trace:
    """The places that explain a rejection, first what runs first; empty for none.

    `moved_by` is the helper that ended the life of the packet pointers that are used, empty for none.
    """

    points: tuple[TracePoint, ...]
    moved_by: str = ""


def trace_back(places: Places, program: Program | None, log: Log) -> Trace:
    """Follow the register that the verifier refused back to where its value came from."""
    path = []
    for step in log.path():
        path.append(step)
        if len(path) == _MOST_STEPS:
            break
    if not path:
        return Trace(())
    moved_by = ""
    text = "\n".join(log.decisive)
    if reference := _REFERENCE.search(text):
        points, register = list(_reference(path, int(reference["insn"]))), None
    else:
        register = _register(text, path[0])
        points = list(_value(path, register, bool(_UNBOUNDED.search(text)))) if register is not None else []
    if register is not None and (died := _packet_died(path, register)):
        moved_by = safe_text(died[1], 80)
    return Trace(tuple(_shown(places, program, points)), moved_by)


def _register(text: str, last: Step) -> int | None:
    """Return the register to follow: the one that the message names."""
    found = _REGISTER.search(text)
    if found and int(found["number"]) < 10:
        number = int(found["number"])
    elif change := CHANGE.match(last.text):
        number = int(change["to"])
    else:
        return None
    change = CHANGE.match(last.text)
    if change and change["source"] and change["op"] in ("+", "-") and "math between" in text:
        return int(change["source"])
    return number


def _shown(places: Places, program: Program | None, points: list[_Point]) -> Iterator[TracePoint]:
    """Yield the points with their lines; what has none is left out, as is what repeats the one before."""
    seen: set[tuple[str, int, str]] = set()
    chosen = sorted(points, key=lambda one: -one.at)[-_MOST_POINTS:]
    for point in chosen:
        line: LineInfo | None = places.of_step(program, point.step)
        if line is None or (line.file, line.line, point.what) in seen:
            continue
        seen.add((line.file, line.line, point.what))
        yield TracePoint(line.file, line.line, safe_text(point.what, 200))


# --- one value -------------------------------------------------------------------------------------


def _value(path: list[Step], register: int, unbounded: bool) -> Iterator[_Point]:
    """Yield where a register's value came from, what was done to it, and where a copy of it was checked."""
    if (pointer := _added(path, register)) is not None and unbounded:
        at, offset = pointer
        yield _Point(at, path[at], f"added to a pointer here (r{offset})")
        yield from _chain(path, offset, at)
        yield from _checks(path, offset, at)
    else:
        if (died := _packet_died(path, register)) is not None:
            at, helper = died
            yield _Point(
                at,
                path[at],
                f"{helper}() may move the packet: data and data_end from before are no longer valid",
            )
        yield from _chain(path, register, 0)
        if unbounded:
            yield from _checks(path, register, 0)
    yield _Point(0, path[0], f"used here (r{register})")


def _added(path: list[Step], register: int) -> tuple[int, int] | None:
    """Return (place, register) of the number that was added to the pointer in `register`, if one was."""
    at, follow = 0, register
    for _ in range(len(path)):
        setter = setter_of(path, follow, at)
        if setter is None:
            return None
        at = setter
        text = path[at].text
        change = CHANGE.match(text)
        if change and change["op"] in ("+", "-") and change["source"]:
            source = int(change["source"])
            shown = path[at].after.get(source, "")
            if not shown.startswith(("map_value", "pkt", "fp", "mem")):
                return at, source
            return at, follow
        copy = COPY.match(text)
        if copy:
            follow = int(copy["source"])
        elif not change:
            return None
    return None


def _chain(path: list[Step], register: int, at: int) -> Iterator[_Point]:
    """Yield the origin of a value, and the changes on the way that matter."""
    changes = _MOST_CHANGES
    for _ in range(len(path)):
        setter = setter_of(path, register, at)
        if setter is None:
            return
        at, step = setter, path[setter]
        if copy := COPY.match(step.text):
            if step.text.startswith("(bc)") or "(s" in step.text:
                yield _Point(
                    at,
                    step,
                    f"copied as 32 bits from r{copy['source']} to r{register}: limits of one do not count "
                    "for the other",
                )
            register = int(copy["source"])
        elif load := LOAD.match(step.text):
            stored = stored_at(path, load, at)
            if stored is None:
                yield _Point(at, step, f"the value is read here (r{register}){_state(step, register)}")
                return
            at, register = stored
            if register < 0:
                return
        elif call := CALL.match(step.text):
            if register == 0:
                null = ", which returns NULL when there is none" if "or_null" in step.after.get(0, "") else ""
                yield _Point(at, step, f"{call['name']}() returned it{null}")
            else:
                yield _Point(at, step, f"{call['name']}() overwrote r{register} here")
            return
        elif CONSTANT.match(step.text):
            yield _Point(at, step, "it is a constant that is set here")
            return
        elif (change := CHANGE.match(step.text)) and change["source"] and change["op"] == "+" and changes:
            changes -= 1
            yield _Point(at, step, f"r{change['source']} is added to it here{_state(step, register)}")


def _state(step: Step, register: int) -> str:
    shown = step.after.get(register, "")
    if shown in ("scalar()", "inv(id=0)", "inv"):
        return ": it may be anything"
    if highest := re.search(r"\bumax(?:=\w+)*=(0x[0-9a-f]+|\d+)", shown):
        return f": it may be up to {int(highest[1], 0):,}"
    return ""


def _checks(path: list[Step], register: int, at: int) -> Iterator[_Point]:
    """Yield the comparisons of the same value, also of copies in other registers, before `at`."""
    origin = origin_of(path, register, at)
    if origin is None:
        return
    found = 0
    tests = (place for place in range(at + 1, len(path)) if _TEST.match(path[place].text))
    for place in islice(tests, _MOST_TESTS):
        test = _TEST.match(path[place].text)
        for side in ("left", "right") if test else ():
            assert test is not None
            compared = _number(test[side])
            if compared is None:
                continue
            other = origin_of(path, compared, place)
            again = other is not None and _read_again(path[other], path[origin])
            if other == origin or again:
                yield _Point(place, path[place], _check_words(test, compared, register, again))
                found += 1
        if found >= _MOST_CHECKS:
            return


def _number(operand: str) -> int | None:
    """Return the number of a register, None for what is none."""
    return int(operand[1:]) if re.fullmatch(r"[rw]\d{1,2}", operand) else None


def _read_again(one: Step, other: Step) -> bool:
    """Whether two instructions read the same place in memory: what was checked is not what is used."""
    first, second = LOAD.match(one.text), LOAD.match(other.text)
    if one.insn == other.insn or not first or not second:
        return False
    return first["base"] == second["base"] and first["off"] == second["off"] and one.source == other.source


def _check_words(test: re.Match[str], left: int, register: int, again: bool) -> str:
    narrow = " as 32 bits" if test["left"].startswith("w") else ""
    signed = (
        ", as a signed number: it may still be negative" if test["op"] in ("s>", "s>=", "s<", "s<=") else ""
    )
    if again:
        return (
            f"checked here (r{left}){narrow}{signed}, but the value was read from memory once more: read it "
            "once, into a variable"
        )
    if left != register:
        return f"checked here in r{left}{narrow}{signed}; what is used is r{register}, a copy"
    return f"checked here (r{left}){narrow}{signed}"


# --- packets and references ------------------------------------------------------------------------


def _packet_died(path: list[Step], register: int) -> tuple[int, str] | None:
    """Return (place, helper) of the call that made a packet pointer in `register` worthless."""
    setter, follow, at = None, register, 0
    for _ in range(len(path)):
        setter = setter_of(path, follow, at)
        if setter is None:
            break
        at = setter
        copy = COPY.match(path[at].text)
        load = LOAD.match(path[at].text)
        change = CHANGE.match(path[at].text)
        stored = stored_at(path, load, at) if load else None
        if copy:
            follow = int(copy["source"])
        elif stored and stored[1] >= 0:
            at, follow = stored
        elif not (change and change["value"]) and not (change and change["op"] == "+"):
            break
        if path[at].after.get(follow, "").startswith("pkt"):
            break
    start = at
    if not any(value.startswith("pkt") for value in path[start].after.values()):
        return None
    for place in range(1, start):
        call = CALL.match(path[place].text)
        if call and _MOVES_PACKET.match(call["name"]):
            return place, call["name"]
        if _OWN_CALL.match(path[place].text) and path[place].frame == path[0].frame:
            return place, "the called function"
    return None


def _reference(path: list[Step], insn: int) -> Iterator[_Point]:
    """Yield where something was acquired, the branches behind it that left without a release, and the end."""
    acquired = next((at for at, step in enumerate(path) if step.insn == insn), None)
    if acquired is None:
        return
    call = CALL.match(path[acquired].text)
    yield _Point(
        acquired, path[acquired], f"{call['name'] if call else 'a call'}() reserved or acquired it here"
    )
    tests = (at for at in range(1, acquired - 1) if _TEST.match(path[at].text))
    for at in islice(tests, _MOST_TESTS):
        if not _is_null_check(path, at, acquired):
            yield _Point(at, path[at], "the path through this branch does not release it")
            break
    yield _Point(0, path[0], "the program returns here, and still holds it")


def _is_null_check(path: list[Step], at: int, acquired: int) -> bool:
    """Whether a branch compares what was acquired itself."""
    test = _TEST.match(path[at].text)
    return test is not None and origin_of(path, int(test["left"][1:]), at) == acquired
