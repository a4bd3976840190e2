"""Run times, counted only while somebody asks: 70 to 110 ns for each run of every program meanwhile.

`kernel.bpf_stats_enabled` stays 0 while a descriptor has counting on, so it does not say whether others
count. The kernel stops with the last descriptor; what was counted stays.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Iterator

import msgspec

from core.bpf import syscall
from core.bpf.records import Program


class Rate(msgspec.Struct, frozen=True):
    """What a program did in a span of time. `cpu` is in CPUs; what is tail-called counts for its caller.

    `ns_per_run` None: it did not run. `misses` are runs that did not happen, in that time.
    """

    program_id: int
    seconds: float
    runs: int
    run_ns: int
    misses: int

    @property
    def cpu(self) -> float:
        return self.run_ns / (self.seconds * 1e9)

    @property
    def runs_per_second(self) -> float:
        return self.runs / self.seconds

    @property
    def ns_per_run(self) -> float | None:
        return self.run_ns / self.runs if self.runs else None


@contextlib.contextmanager
def counting() -> Iterator[None]:
    """Have run times counted for as long as the block runs. Raises PermissionError without CAP_SYS_ADMIN."""
    fd = syscall.enable_stats()
    try:
        yield
    finally:
        os.close(fd)


class Counters(msgspec.Struct, frozen=True):
    """The counters of programs at one time: id -> (runs, run ns, misses)."""

    taken_ns: int
    programs: dict[int, tuple[int, int, int]]


def read_counters(ids: Iterable[int]) -> Counters:
    """Read the counters of programs; those that are gone are left out. `taken_ns` is CLOCK_MONOTONIC."""
    taken = time.monotonic_ns()
    found = {}
    for number in ids:
        counters = syscall.run_counters(number)
        if counters is not None:
            found[number] = counters
    return Counters(taken, found)


def rates(before: Counters, after: Counters) -> dict[int, Rate]:
    """Return what ran between two readings, for the programs that are in both."""
    seconds = max(1, after.taken_ns - before.taken_ns) / 1e9
    answer = {}
    for number, (runs, run_ns, misses) in after.programs.items():
        if number in before.programs:
            old_runs, old_ns, old_misses = before.programs[number]
            spent, ran, missed = run_ns - old_ns, runs - old_runs, misses - old_misses
            answer[number] = Rate(number, seconds, max(0, ran), max(0, spent), max(0, missed))
    return answer


def measure(programs: Iterable[Program], seconds: float) -> dict[int, Rate]:
    """Count for some seconds and return the rates. Raises PermissionError without CAP_SYS_ADMIN."""
    ids = [program.id for program in programs]
    with counting():
        before = read_counters(ids)
        time.sleep(seconds)
        after = read_counters(ids)
    return rates(before, after)
