"""Formats numbers with units, short and the same everywhere."""

from __future__ import annotations

_UNITS = "BKMGTPE"


def size(count: int | None) -> str:
    """Format bytes in at most five characters: `812K`, `3.1M`, `12G`."""
    if count is None:
        return "–"
    if count < 1024:
        return f"{count}B" if count else "0"
    value = float(count)
    unit = 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.1f}{_UNITS[unit]}" if value < 9.95 else f"{value:.0f}{_UNITS[unit]}"


def percent(value: float | None) -> str:
    """Format CPU percent of one core: `0.4`, `97.0`, `1204`."""
    if value is None:
        return "–"
    return f"{value:.1f}" if value < 999.95 else f"{value:.0f}"


def age(ns: int) -> str:
    """Format a duration in ns in at most four characters: `7s`, `59m`, `23h`, `400d`."""
    seconds = max(0, ns) // 1_000_000_000
    for limit, unit, name in ((60, 1, "s"), (3600, 60, "m"), (86_400, 3600, "h")):
        if seconds < limit:
            return f"{seconds // unit}{name}"
    days = seconds // 86_400
    return f"{days}d" if days < 1000 else f"{days // 365}y"
