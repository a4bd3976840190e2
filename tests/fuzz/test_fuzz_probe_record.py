"""Records of the probe's ring buffer and of its iterator. The kernel writes them, after our own layout."""

from __future__ import annotations

from core.probe import layout
from tests.fuzz.harness import fuzz, mutator


def _event(data: bytes) -> None:
    layout.decode_event(data)


def _found(data: bytes) -> None:
    layout.decode_snapshot(data)


def _seeds() -> list[bytes]:
    return [kind.to_bytes(4, "little") + bytes(layout.FACTS.size + 60) for kind in range(8)]


def test_event() -> None:
    fuzz(_event, _seeds(), (ValueError,), name="probe_event", mutate=mutator([b"\xff\xff\xff\xff", b"\0"]))


def test_found() -> None:
    fuzz(_found, _seeds(), (ValueError,), name="probe_found", mutate=mutator([b"\xff\xff\xff\xff", b"\0"]))
