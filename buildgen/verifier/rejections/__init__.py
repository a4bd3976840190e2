"""The table of rejections: what the verifier writes -> the cause in words of C, and what to change."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache

from buildgen.objects.section_names import MAP_TYPES
from buildgen.verifier.context_fields import context_field
from buildgen.verifier.log import Log
from buildgen.verifier.model import NOT_EXPLAINED, Explanation
from buildgen.verifier.rejections import (
    flow,
    helpers,
    limits,
    maps,
    memory,
    packets,
    pointers,
    references,
    types,
)
from buildgen.verifier.rejections.row import Row
from core.text.safe import safe_text

_THEMES = (limits, packets, helpers, references, flow, maps, memory, pointers, types)
_BROAD_THEMES = (memory, pointers, helpers, references, types, flow, limits, maps)
ROWS: tuple[Row, ...] = (
    *(row for theme in _THEMES for row in theme.ROWS),
    *(row for theme in _BROAD_THEMES for row in theme.BROAD),
)
"""In the order in which they are tried."""

_CALL = re.compile(r"call (?P<name>[a-zA-Z_]\w*)#-?\d+")
_RANGE = re.compile(r"should have been in (?P<range>\[-?\d+, -?\d+\]|\S+)")
_VALUE = re.compile(r"R0 (?:has|is not a known value) ?(?P<value>[^\n]*?) ?(?:should have|$)")
_BUSY = 1000
_MOST_TEXT = 4096
_TYPE_WORDS = {
    "scalar": "a plain number",
    "inv": "a plain number",
    "ctx": "the context",
    "fp": "a pointer to the stack",
    "pkt": "a pointer into the packet",
    "pkt_end": "the end of the packet",
    "map_ptr": "a map",
    "map_value": "a pointer into a map's value or a global variable",
    "map_value_or_null": "the result of a map lookup, which may be NULL",
    "mem": "a pointer to memory",
    "ringbuf_mem": "a record of a ring buffer",
}


def explain(log: Log, program_type: str) -> Explanation:
    """Return what the decisive lines of a log mean, NOT_EXPLAINED when no row matches them."""
    text = "\n".join(log.decisive)[:_MOST_TEXT]
    for row, says in _compiled():
        if found := says.search(text):
            words = _words(found, text, log, program_type)
            cause, fix = row.cause.format_map(words), row.fix.format_map(words)
            return Explanation(cause, fix, row.before, row.after)
    return NOT_EXPLAINED


def packets_moved(helper: str) -> Explanation:
    """Return what it means that a packet pointer from before a call of `helper` is used behind it."""
    row = packets.MOVED
    words = {"helper": helper}
    return Explanation(row.cause.format_map(words), row.fix.format_map(words), row.before, row.after)


@cache
def _compiled() -> tuple[tuple[Row, re.Pattern[str]], ...]:
    return tuple((row, re.compile(row.says)) for row in ROWS)


class _Words(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return "?"


def _words(found: re.Match[str], text: str, log: Log, program_type: str) -> _Words:
    groups = {name: safe_text(value, 120) for name, value in found.groupdict().items() if value}
    for name in ("func", "type", "op"):
        groups.setdefault(
            name, next((groups[f"{name}{n}"] for n in range(2, 6) if f"{name}{n}" in groups), "?")
        )
    words = _Words(groups)
    words["program_type"] = program_type
    words["helper"] = _called(log) or (groups["func"] if groups["func"] != "?" else "this function")
    words["argument"] = groups.get("reg", "?")
    words["type_words"] = _type_words(groups["type"])
    words["acquired"] = _acquired(groups.get("insn", ""), log)
    words["unset"] = _unset(groups.get("reg", ""), log)
    words["busiest"] = _busiest(log)
    words["depths"] = f" ({' + '.join(map(str, log.depths))})" if len(log.depths) > 1 else ""
    number = groups.get("map_type", "")
    if number.isdigit() and int(number) < len(MAP_TYPES):
        words["map_name"] = MAP_TYPES[int(number)]
    else:
        words["map_name"] = number
    if groups.get("off", "").lstrip("-").isdigit() and groups.get("len", "").isdigit():
        words["last"] = str(int(groups["off"][:12]) + int(groups["len"][:12]) - 1)
        words["field"] = context_field(program_type, int(groups["off"][:12])) or "this"
    if limits_ := _RANGE.search(text):
        words["range_words"] = safe_text(limits_["range"], 80)
    if value := _VALUE.search(text):
        words["r0"] = _values(value["value"])
    return words


def _called(log: Log) -> str:
    """Return the helper or kernel function that the last instruction calls, empty when it calls none."""
    found = _CALL.search(log.steps[-1].text) if log.steps else None
    return f"{safe_text(found['name'], 80)}()" if found else ""


def _type_words(name: str) -> str:
    plain = name.rstrip("_,")
    if plain in _TYPE_WORDS:
        return _TYPE_WORDS[plain]
    if plain.startswith(("trusted_ptr", "ptr", "rcu_ptr", "untrusted_ptr")):
        return "a pointer to a kernel object"
    return f"of type {plain}"


def _acquired(insn: str, log: Log) -> str:
    calls = [step for step in log.steps if insn.isdigit() and step.insn == int(insn)]
    found = _CALL.search(calls[-1].text) if calls else None
    return f"{safe_text(found['name'], 80)}()" if found else "an acquiring function"


def _unset(register: str, log: Log) -> str:
    """Say why a register has no value, judged by which register it is and what runs."""
    last = log.steps[-1].text if log.steps else ""
    if register == "0" and "exit" in last:
        return "the function can end without a return value"
    if register in ("1", "2", "3", "4", "5"):
        return (
            "a variable is used that has no value here: it was not set on this path, or it was in a "
            f"register that a call before has overwritten (R{register})"
        )
    return f"a variable is used that was not set on this path (R{register or '?'})"


def _busiest(log: Log) -> str:
    """Name the source line that was looked at most often: it is in the loop that costs most."""
    counts = Counter((step.source, step.line) for step in log.steps if step.source)
    if not counts:
        return ""
    ((source, line), count) = counts.most_common(1)[0]
    if count < _BUSY:
        return ""
    place = f" (line {line})" if line else ""
    return f"; in the part of the log that is kept, most time goes to `{safe_text(source, 120)}`{place}"


def _values(text: str) -> str:
    lowest, highest = re.search(r"smin=(-?\d+)", text), re.search(r"smax=(-?\d+)", text)
    if lowest and highest:
        return lowest[1] if lowest[1] == highest[1] else f"any value from {lowest[1]} to {highest[1]}"
    if exact := re.search(r"value \((0x[0-9a-f]+); 0x0\)", text):
        return str(int(exact[1], 16))
    return "a value that the verifier does not know"
