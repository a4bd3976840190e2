"""Loads and unloads from the kernel's side band, on the real kernel."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bpf import syscall
from core.bpf.load_events import LoadEvent, LoadEvents, LoadKind, parse
from tests.core.bpf.running_agent import load


@pytest.fixture
def events() -> Iterator[LoadEvents]:
    try:
        opened = LoadEvents()
    except OSError as error:
        pytest.skip(f"no side band here: {error}")
    yield opened
    opened.close()


@pytest.fixture
def one_cpu() -> Iterator[None]:
    """One ring of 16 pages has room for 1,638 records of 40 bytes."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def collect(events: LoadEvents, number: int, kind: LoadKind) -> LoadEvent:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        events.wait(0.2)
        for event in events.read():
            if (event.id, event.kind) == (number, kind):
                return event
    raise AssertionError(f"no {kind} of program {number}")


def test_a_load_has_its_loader_and_its_name(events: LoadEvents) -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    fd = load()
    try:
        raw = syscall.info("program", fd)
        (number,) = struct.unpack_from("=I", raw, 4)
        event = collect(events, number, LoadKind.LOAD)
        assert (event.pid, event.name, event.type) == (os.getpid(), b"short_lived", "socket_filter")
        assert event.tag == bytes(raw[8:16]).hex()
        assert before <= event.ts_ns <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    finally:
        os.close(fd)
    gone = collect(events, number, LoadKind.UNLOAD)
    assert gone.ts_ns >= event.ts_ns


def test_a_ring_that_wraps_loses_nothing_that_was_read(events: LoadEvents, one_cpu: None) -> None:
    wanted = set()
    seen: set[int] = set()
    for _ in range(1200):
        fd = load()
        (number,) = struct.unpack_from("=I", syscall.info("program", fd), 4)
        os.close(fd)
        wanted.add(number)
        if len(wanted) % 200 == 0:
            seen |= {event.id for event in events.read() if event.kind is LoadKind.LOAD}
    seen |= {event.id for event in events.read() if event.kind is LoadKind.LOAD}
    assert wanted <= seen


def test_events_that_found_no_room_are_counted(events: LoadEvents, one_cpu: None) -> None:
    for _ in range(1800):
        os.close(load())
    first = events.read()
    os.close(load())
    assert sum(event.count for event in [*first, *events.read()]) > 0


@given(st.integers(0, 20), st.binary(max_size=80))
def test_records_may_be_anything(kind: int, record: bytes) -> None:
    parse(kind, record)
