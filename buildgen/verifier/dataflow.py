"""Where a register's value came from, along the steps that the verifier looked at.

A path is a list of steps, the last one first; a place is an index of it: what ran before has a greater one.
"""

from __future__ import annotations

import re
from functools import lru_cache

from buildgen.verifier.log import Step

COPY = re.compile(r"^\([bf][cf]\) [rw](?P<to>\d+) = (?:\(s\d+\))?[rw](?P<source>\d+)$")
CONSTANT = re.compile(r"^\([0-9a-f]{2}\) [rw](?P<to>\d+) = (?P<value>-?(?:0x)?[0-9a-f]+)(?:\s+ll)?$")
LOAD = re.compile(r"^\([0-9a-f]{2}\) [rw](?P<to>\d+) = \*\(\w+ \*\)\(r(?P<base>\d+) (?P<off>[+-]\d+)\)$")
_STORE = re.compile(
    r"^\([0-9a-f]{2}\) \*\(\w+ \*\)\(r(?P<base>\d+) (?P<off>[+-]\d+)\) = (?:[rw](?P<source>\d+)|\S+)$"
)
CHANGE = re.compile(
    r"^\([0-9a-f]{2}\) [rw](?P<to>\d+) (?P<op>s?[^\s=]{1,3})= (?:[rw](?P<source>\d+)|(?P<value>\S+))$"
)
CALL = re.compile(r"^\(85\) call (?P<name>[a-zA-Z_]\w*)#")
"""Forms of instructions, as the verifier writes them."""
_LAST_ARGUMENT, _BY_CALL = 5, 100


def setter_of(path: list[Step], register: int, at: int) -> int | None:
    """Return the place before `at` on the path (a greater number) where `register` was set last.

    A function that was called has r6 to r9 of its own, and leaves its result in r0.
    """
    frame = path[at].frame
    for place in range(at + 1, len(path)):
        step = path[place]
        if step.frame > frame and register:
            continue
        if step.frame < frame and register > _LAST_ARGUMENT:
            return None
        number = _set_by(step.text)
        if number == register or (number == _BY_CALL and register <= _LAST_ARGUMENT):
            return place
    return None


@lru_cache(maxsize=1 << 16)
def _set_by(text: str) -> int:
    """Return the register that an instruction sets: -1 for none, _BY_CALL for r0 to r5."""
    for pattern in (COPY, CONSTANT, LOAD, CHANGE):
        if found := pattern.match(text):
            return int(found["to"])
    return _BY_CALL if CALL.match(text) else -1


def stored_at(path: list[Step], load: re.Match[str], at: int) -> tuple[int, int] | None:
    """Return (place, register) of what was saved in a stack slot; register -1 for a constant."""
    if load["base"] != "10":
        return None
    for place in range(at + 1, len(path)):
        store = _STORE.match(path[place].text)
        if (
            store
            and store["base"] == "10"
            and store["off"] == load["off"]
            and path[place].frame == path[at].frame
        ):
            return place, int(store["source"]) if store["source"] else -1
    return None


def origin_of(path: list[Step], register: int, at: int) -> int | None:
    """Return the place where the value in `register` was made, through copies and arithmetic."""
    for _ in range(len(path)):
        setter = setter_of(path, register, at)
        if setter is None:
            return None
        at = setter
        text = path[at].text
        if copy := COPY.match(text):
            register = int(copy["source"])
        elif load := LOAD.match(text):
            stored = stored_at(path, load, at)
            if stored is None or stored[1] < 0:
                return at
            at, register = stored
        elif not CHANGE.match(text):
            return at
    return None
