"""What a person types or pastes into the filter line."""

from __future__ import annotations

from core.model.entities import Origin, ProcessEntry
from core.model.view import ProcessView
from core.tree.filter import FilterError, Subject, parse_filter
from tests.fuzz.harness import corpus, fuzz, mutator

TOKENS = b'! " pid: src: ctr: pod: user: state: cpu> mem<= - , k \xc2\xb2 \xd9\xa1'.split()
VIEW = ProcessView(entry=ProcessEntry(pid=9, start_ns=1), source=None, origin=Origin.EVENT)


def _target(data: bytes) -> None:
    chosen = parse_filter(data.decode("utf-8", "surrogateescape"))
    if chosen is not None:
        chosen(Subject(VIEW, "root", lambda: "nginx"))


def test_filter() -> None:
    fuzz(_target, corpus("filter"), (FilterError,), name="filter", mutate=mutator(TOKENS))
