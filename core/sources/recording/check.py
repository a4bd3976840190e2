"""Checks of the messages of a recording, which may come from anybody and be crafted to do harm.

The decoder checks the types. These checks cover what the program relies on beyond types: times since boot,
numbers within the kernel's ranges, and a number of records that lets a replay end.
"""

from __future__ import annotations

from core.model.entities import ProcessEntry, Usage
from core.model.events import CgroupMove, Event, Exec, Exit, Fork, Lost, Reaped, Sample

MOST_RECORDS = 131_072
"""Limit of records in one message: the number of processes that a cache holds."""

MAX_RECORDS = 1 << 22
"""Limit of records in one recording. Real records reach the limit in bytes first; fifty million tiny ones
would fit into it."""

LAST_NS = 1 << 62
"""Upper bound of times since boot: 146 years."""

_LAST_PID = 1 << 31
_LAST_NUMBER = 1 << 64
_LAST_PERCENT = 1e9


class Unfit(ValueError):
    """A message that our recorder cannot have written; the text says what is wrong."""


def check_time(ts_ns: int) -> None:
    """Raise Unfit unless `ts_ns` is a time since boot."""
    if not 0 <= ts_ns < LAST_NS:
        raise Unfit(f"a time of {ts_ns} ns since boot")


def check_entry(entry: ProcessEntry) -> None:
    """Raise Unfit unless the numbers of an entry are possible."""
    _check_pid(entry.pid)
    _check_pid(entry.ppid)
    for ns in (entry.start_ns, entry.parent_start_ns, entry.fork_ns, entry.exec_ns):
        _check_ns(ns)
    for number in (entry.exec_id, entry.inode, entry.device, entry.mode, entry.cgroup_id, entry.inner_pid):
        _check_number(number)


def check_usage(usage: Usage) -> None:
    """Raise Unfit unless the numbers of a usage are possible; NaN and infinity are not."""
    _check_ns(usage.cpu_ns)
    if not (0 <= usage.rss_bytes < LAST_NS and 0 <= usage.threads < _LAST_PID):
        raise Unfit(f"{usage.rss_bytes} bytes of memory, {usage.threads} threads")
    percent = usage.cpu_percent
    if percent is not None and not 0 <= percent < _LAST_PERCENT:  # also true for NaN
        raise Unfit(f"a CPU share of {percent}")


def check_sample(sample: Sample) -> None:
    """Raise Unfit unless the numbers of a sample are possible."""
    _check_pid(sample.pid)
    _check_pid(sample.ppid)
    _check_ns(sample.start_ns)
    _check_number(sample.exec_id)
    check_usage(sample.usage)


def check_event(event: Event) -> None:
    """Raise Unfit unless the numbers of an event are possible."""
    check_time(event.ts_ns)
    match event:
        case Fork():
            for pid in (event.pid, event.ppid, event.creator):
                _check_pid(pid)
            _check_ns(event.start_ns)
            _check_ns(event.parent_start_ns)
            _check_number(event.exec_id)
        case Exec():
            check_entry(event.entry)
        case Exit() | Reaped() | CgroupMove():
            _check_pid(event.pid)
            _check_ns(event.start_ns)
        case Lost():
            _check_ns(event.count)


def _check_pid(pid: int) -> None:
    if not 0 <= pid < _LAST_PID:
        raise Unfit(f"a pid of {pid}")


def _check_ns(ns: int) -> None:
    if not 0 <= ns < LAST_NS:
        raise Unfit(f"a number of {ns}")


def _check_number(number: int) -> None:
    if not 0 <= number < _LAST_NUMBER:
        raise Unfit(f"a number of {number}")
