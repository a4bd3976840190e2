"""The filter language: `src:procfs ctr:web !kthread user:root cpu>5 nginx`.

Words are separated by blanks, and all of them must match; `"two words"` is one word; `!` in front negates a
word. Letter case does not matter. A filter has at most 4,096 characters and 64 words, because each word is
tested on each process.

    src:cache        the tier that answered: cache, maps, procfs, none
    src:event        how the entry came in: event, snapshot; or both as on the screen: cache‹procfs
    ctr:web          part of a container's name, image or runtime, or the start of its id, and everything
                     nested in it; `ctr:` matches any container
    pod:shop         part of the pod's name, namespace or uid; `pod:` matches any pod
    user:root        the user's name or uid
    pid:1,300-399    pids and ranges
    state:RD         state letters of /proc/PID/stat; X is ended
    cpu>5 mem<100M   CPU percent of one core; resident memory in K, M, G (also >= and <=)
    kthread          kernel threads
    anything else    part of what the TREE column shows
"""

from __future__ import annotations

import re
import shlex
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import accumulate

from core.model.entities import ContainerContext, Origin, Tier
from core.model.view import ProcessView


class FilterError(ValueError):
    """The filter is not valid; the text says what is wrong and what is expected."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a filter tests: a process, and two texts that only the tree has."""

    view: ProcessView
    user: str
    text: Callable[[], str]


Test = Callable[[Subject], bool]
Filter = Callable[[Subject], bool]

_COMPARISON = re.compile(r"(cpu|mem)(>=|<=|>|<)(.*)", re.IGNORECASE | re.DOTALL)
_LONGEST = 4096
_MOST_WORDS = 64
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_ORIGINS = (Origin.EVENT, Origin.SNAPSHOT)
_SOURCES = "cache, maps, procfs, none, event, snapshot"


def parse_filter(text: str) -> Filter | None:
    """Return a filter, or None when `text` is blank. Raises FilterError."""
    if len(text) > _LONGEST:
        raise FilterError(f"a filter can have at most {_LONGEST:,} characters")
    words = _words(text)
    if len(words) > _MOST_WORDS:
        raise FilterError(f"a filter can have at most {_MOST_WORDS} words")
    tests = [_term(word) for word in words]
    if not tests:
        return None
    return lambda subject: all(test(subject) for test in tests)


def _words(text: str) -> list[str]:
    """Split at blanks outside double quotes. The end of the text closes an open quote."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split = True
    lexer.commenters = ""
    lexer.quotes = '"'
    lexer.escape = ""
    try:
        return list(lexer)
    except ValueError:
        return _words(text + '"')


def _term(word: str) -> Test:
    plain = word.lstrip("!")
    if plain == word:
        return _plain_term(word)
    if not plain:
        raise FilterError("! needs a word after it")
    test = _plain_term(plain)
    return test if (len(word) - len(plain)) % 2 == 0 else lambda subject: not test(subject)


def _plain_term(word: str) -> Test:
    comparison = _COMPARISON.fullmatch(word)
    if comparison:
        return _compare(*comparison.groups())
    name, colon, value = word.partition(":")
    make = _FIELDS.get(name.lower()) if colon else None
    if make is not None:
        return make(value.lower())
    if word.lower() == "kthread":
        return lambda subject: subject.view.entry.kthread
    needle = word.lower()
    return lambda subject: needle in subject.text().lower()


def _compare(name: str, operator: str, value: str) -> Test:
    if name.lower() == "cpu":
        limit = _number(name, value.rstrip("%"), {"": 1})
    else:
        limit = _number(name, value.lower().removesuffix("ib").removesuffix("b"), _SIZES)

    def amount(subject: Subject) -> float | None:
        usage = subject.view.usage
        if usage is None:
            return None
        return usage.cpu_percent if name.lower() == "cpu" else usage.rss_bytes

    def test(subject: Subject) -> bool:
        measured = amount(subject)
        if measured is None:  # without a measurement no comparison holds
            return False
        if measured == limit:
            return operator in (">=", "<=")
        return (measured > limit) == (operator[0] == ">")

    return test


def _number(name: str, value: str, units: dict[str, int]) -> float:
    match = re.fullmatch(r"(\d{1,18}(?:\.\d{1,9})?)([a-z]?)", value, re.ASCII)
    if match is None or match[2] not in units:
        example = "cpu>5" if name.lower() == "cpu" else "mem>100M"
        raise FilterError(f"{name} needs a number, as in {example}")
    return float(match[1]) * units[match[2]]


def _source(value: str) -> Test:
    tier, mark, origin = value.replace("<", "‹").partition("‹")
    if mark:
        if tier not in list(Tier) or origin not in list(Origin):
            raise FilterError("src: needs a tier and an origin, as in cache‹event")
        return lambda subject: subject.view.source == tier and subject.view.origin == origin
    if tier == "none":
        return lambda subject: subject.view.source is None
    if tier in list(Tier):
        return lambda subject: subject.view.source == tier
    if tier in _ORIGINS:
        return lambda subject: subject.view.origin == tier
    raise FilterError(f"src: needs one of {_SOURCES}")


def _container(value: str) -> Test:
    def names(container: ContainerContext) -> bool:
        if (container.id or "").lower().startswith(value):
            return True
        return any(
            value in (field or "").lower() for field in (container.name, container.image, container.runtime)
        )

    return lambda subject: any(container.id and names(container) for container in _levels(subject))


def _pod(value: str) -> Test:
    def test(container: ContainerContext) -> bool:
        if not (container.pod or container.pod_uid):
            return False
        names = (container.pod, container.namespace, container.pod_uid)
        return any(value in (name or "").lower() for name in names)

    return lambda subject: any(map(test, _levels(subject)))


def _levels(subject: Subject) -> Iterable[ContainerContext]:
    """Return the container of a process and the containers around it, innermost first."""
    container = subject.view.container
    return () if container is None else container.levels()


def _user(value: str) -> Test:
    if not value:
        raise FilterError("user: needs a name or a uid")
    return lambda subject: subject.user.lower() == value or str(subject.view.entry.credentials.euid) == value


def _pid(value: str) -> Test:
    ranges: list[tuple[int, int]] = []
    for part in value.split(","):
        match = re.fullmatch(r"(\d{1,10})(?:-(\d{1,10}))?", part, re.ASCII)
        if match is None:
            raise FilterError("pid: needs numbers, as in pid:1 or pid:1,300-399")
        ranges.append((int(match[1]), int(match[2] or match[1])))
    # `ends` are running maxima: a pid is in a range if the last range that begins at or before it reaches it.
    ranges.sort()
    starts = [low for low, _ in ranges]
    ends = list(accumulate((high for _, high in ranges), max))

    def test(subject: Subject) -> bool:
        pid = subject.view.entry.pid
        at = bisect_right(starts, pid)
        return at > 0 and pid <= ends[at - 1]

    return test


def _state(value: str) -> Test:
    letters = value.upper()
    if not letters or not set(letters) <= set("RSDZTIX?"):
        raise FilterError("state: needs one or more of the letters R S D Z T I X")
    return lambda subject: state_of(subject.view).upper() in letters


def state_of(view: ProcessView) -> str:
    """Return the state letter that the screen shows: X for ended, ? when not known."""
    if view.ended_ns is not None:
        return "X"
    return view.usage.state if view.usage is not None else "?"


_FIELDS: dict[str, Callable[[str], Test]] = {
    "src": _source,
    "ctr": _container,
    "pod": _pod,
    "user": _user,
    "pid": _pid,
    "state": _state,
}
