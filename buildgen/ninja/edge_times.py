"""How long the edges of a build took last time, and an estimate of the remaining time from that."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from core.system.files import read_regular

_BIGGEST_LOG = 8 * 1024 * 1024
"""Bytes of ninja's log that are read, from its end; ninja compacts its log itself."""


def edge_seconds(out: Path) -> dict[str, float]:
    """Return the latest duration of every output in ninja's log, in seconds; empty without a log.

    A line is `start end mtime output hash`, separated by tabs, with times in milliseconds of that build.
    """
    text = read_regular(out / ".ninja_log", _BIGGEST_LOG, from_end=True)
    if text is None:
        return {}
    seconds = {}
    for line in text.splitlines():
        fields = line.split(b"\t")
        if len(fields) == 5 and fields[0].isdigit() and fields[1].isdigit():
            output = fields[3].decode("utf-8", "surrogateescape")
            seconds[output] = max(0.0, (int(fields[1]) - int(fields[0])) / 1000)
    return seconds


def seconds_left(earlier: Mapping[str, float], running: Mapping[str, float], waiting: int) -> float | None:
    """Return an estimate of the seconds that a build still takes; None without earlier durations.

    `earlier` has the last durations of edges, `running` the seconds since each running edge started, and
    `waiting` is the number of edges not started yet. Each of these is assumed to take the mean of `earlier`,
    and to run with the current parallelism.
    """
    if not earlier or not (running or waiting):
        return None
    mean = sum(earlier.values()) / len(earlier)
    left = sum(max(0.0, earlier.get(output, mean) - so_far) for output, so_far in running.items())
    return (left + waiting * mean) / max(1, len(running))


def of_outputs(earlier: Mapping[str, float], outputs: Collection[str]) -> dict[str, float]:
    """Return the durations of these objects and of their bitcode."""
    wanted = {*outputs, *(output.removesuffix(".o") + ".bc" for output in outputs)}
    return {output: seconds for output, seconds in earlier.items() if output in wanted}
