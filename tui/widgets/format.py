"""Numbers as short texts, with a unit where they have one."""

from __future__ import annotations

from core.text.units import age, percent, size

__all__ = ["age", "clock", "count", "duration", "percent", "size"]


def clock(ns: int) -> str:
    """Return a span of time in seconds resolution: `0:07`, `12:30`, `1:00:05`."""
    seconds = max(0, ns) // 1_000_000_000
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours}:{minutes:02}:{seconds % 60:02}" if hours else f"{minutes}:{seconds % 60:02}"


def duration(ns: int) -> str:
    """Return a duration: `0.4 µs`, `6.3 ms`, `1.20 s`."""
    if ns < 1_000_000:
        return f"{ns / 1000:.1f} µs"
    if ns < 1_000_000_000:
        return f"{ns / 1_000_000:.1f} ms"
    return f"{ns / 1_000_000_000:.2f} s"


def count(number: int) -> str:
    """Return a count with a space between thousands: `1 204`."""
    return f"{number:,}".replace(",", " ")
