"""Whether a map that answers for a number really is keyed by processes: live numbers against dead ones.

A map of ports or of small dense ids answers for many pids, and for as many numbers that are no process. Only
a difference of three standard deviations counts. Names count little; what the value itself repeats, more.
"""

from __future__ import annotations

import math
import os
from enum import StrEnum

from core.system.host import Host

SAMPLE = 16
"""Live and dead numbers that are looked up, each."""

_SIGNIFICANT = 3.0
LIKELY, MAYBE = 3, 1


class Likelihood(StrEnum):
    """How sure it is that an entry is about the process."""

    LIKELY = "likely"
    MAYBE = "maybe"
    UNLIKELY = "unlikely"


def likelihood(score: int) -> Likelihood:
    if score >= LIKELY:
        return Likelihood.LIKELY
    return Likelihood.MAYBE if score >= MAYBE else Likelihood.UNLIKELY


def live_and_dead(host: Host, pid: int) -> tuple[list[int], list[int]]:
    """Return SAMPLE pids of other processes, and as many numbers among them that no thread has."""
    live = sorted(int(name) for name in os.listdir(host.proc) if name.isdecimal() and int(name) != pid)
    if not live:
        return [], []
    step = max(1, len(live) // SAMPLE)
    chosen = live[::step][:SAMPLE]
    dead: list[int] = []
    for start in chosen:
        for number in range(start + 1, start + 200):
            # Threads have directories that are not listed.
            if number not in dead and not os.path.exists(host.proc / str(number)):
                dead.append(number)
                break
    return chosen, dead


def deviations(live_hits: int, live: int, dead_hits: int, dead: int) -> float:
    """Return how far apart two rates of hits are, in standard deviations of their common rate."""
    if not live or not dead:
        return 0.0
    common = (live_hits + dead_hits) / (live + dead)
    spread = math.sqrt(common * (1 - common) * (1 / live + 1 / dead))
    difference = live_hits / live - dead_hits / dead
    return difference / spread if spread else 0.0


def score_of_sample(live_hits: int, live: int, dead_hits: int, dead: int) -> tuple[int, str]:
    """Return what a sample adds to a score, and why in words."""
    found = f"{live_hits} of {live} live pids are keys, {dead_hits} of {dead} numbers that are no process"
    if deviations(live_hits, live, dead_hits, dead) >= _SIGNIFICANT:
        return 3, found
    if dead_hits * 4 > dead:
        return -4, found
    return 0, found
