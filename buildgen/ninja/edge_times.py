"""How long the edges of a build took the last time, and how long it will therefore take now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from core.system.files import read_regular

_BIGGEST_LOG = 8 * 1024 * 1024
"""ninja compacts its log by itself; a bigger one is read from its end."""


def edge_seconds(out: Path) -> dict[str, float]:
    """Return the latest duration of every output in ninja's log; empty when there is none.

    A line is `start end mtime output hash`, separated by tabs, with times in milliseconds of that build.
    """
    text = read_regular(out / ".ninja_log", _BIGGEST_LOG, from_end=True)
    if text is None:
        return {}
    found = {}
    for line in text.splitlines():
        fields = line.split(b"\t")
        if len(fields) == 5 and fields[0].isdigit() and fields[1].isdigit():
            output = fields[3].decode("utf-8", "surrogateescape")
            found[output] = max(0.0, (int(fields[1]) - int(fields[0])) / 1000)
    return found


def seconds_left(known: Mapping[str, float], running: Mapping[str, float], waiting: int) -> float | None:
    """Return about how many seconds a build still takes; None when nothing is known of it.

    `known` is how long edges took before, `running` for how long each running edge has, `waiting` how many
    have not started: these take as long as the mean of those known, as many at a time as are running now.
    """
    took = [known[output] for output in known]
    if not took or not (running or waiting):
        return None
    mean = sum(took) / len(took)
    left = sum(max(0.0, known.get(output, mean) - so_far) for output, so_far in running.items())
    return (left + waiting * mean) / max(1, len(running))


def of_outputs(known: Mapping[str, float], outputs: Collection[str]) -> dict[str, float]:
    """Return what is known of these objects and of the bitcode in front of them."""
    wanted = {*outputs, *(output.removesuffix(".o") + ".bc" for output in outputs)}
    return {output: seconds for output, seconds in known.items() if output in wanted}
