"""How long the tree is wrong after events are lost: a ring buffer of 4 KB during a storm of forks.

    python benchmarks/lost_events.py

Needs the probe (root) and a C compiler. Each round starts or ends SLEEPERS processes in the middle of a
storm, so that some of their events are lost. It measures the time from the end of the storm until the cache
has exactly our children in /proc, and the time that psutil takes to list all processes once.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.lib.load import ROOT, compiled
from core.model.counters import Counter
from core.model.entities import LadderStep, Tiers, TierState
from core.probe.loader import Probe, ProbeOptions
from core.resolve.engine import Engine
from core.resolve.process_cache import MAX_ENDED
from core.sources.feed import HostSources, ProbeFeed
from core.system.host import LOCAL

ROUNDS = 10
SLEEPERS = 50
FORKS = 5000
PUMP_S = 0.01
"""Seconds between polls: the collector wakes at most this long after an event."""


def children(engine: Engine) -> set[tuple[int, bytes]]:
    """Return our running children in the cache, by pid and argv."""
    own = engine.cache.get(os.getpid())
    assert own is not None
    running = (child for child in own.children if child.exited_ns is None and child.ended_ns is None)
    return {(child.entry.pid, child.entry.cmdline) for child in running}


def seen() -> set[tuple[int, bytes]]:
    """Return our running children in /proc, by pid and argv."""
    children = set()
    for child in psutil.Process().children():
        if child.status() != psutil.STATUS_ZOMBIE:
            children.add((child.pid, Path(f"/proc/{child.pid}/cmdline").read_bytes()))
    return children


def storm(program: Path, engine: Engine, middle: int, sleepers: list[subprocess.Popen[bytes]]) -> float:
    """Run a storm while sleepers start (1) or end (-1); return how many ms the cache was wrong afterwards."""
    running = subprocess.Popen([program, str(FORKS)], stdout=subprocess.PIPE)
    assert running.stdout is not None
    os.set_blocking(running.stdout.fileno(), False)
    while not running.stdout.read():
        engine.pump()
        if middle > 0 and len(sleepers) < SLEEPERS:
            sleepers.append(subprocess.Popen(["/bin/sleep", "600"]))
        elif middle < 0 and sleepers:
            sleepers[-1].kill()
            sleepers.pop().wait()
        time.sleep(PUMP_S)
    ended = time.perf_counter_ns()
    engine.pump()
    while children(engine) != seen():
        time.sleep(PUMP_S)
        engine.pump()
    took = (time.perf_counter_ns() - ended) / 1e6
    running.kill()
    running.wait()
    return took


def main() -> None:
    on = TierState(True)
    probe = Probe(LOCAL, ProbeOptions(ring_bytes=4096))
    engine = Engine(ProbeFeed(probe, HostSources(LOCAL), Tiers(on, on, on, LadderStep.EVENTS_AND_MAPS)))
    engine.start()
    sleepers: list[subprocess.Popen[bytes]] = []
    own = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(ROOT / "tests/scenarios/storm.c", Path(folder))
        storm(program, engine, 1, sleepers)
        storm(program, engine, -1, sleepers)
        before = own.memory_info().rss
        lost, resyncs = engine.lost, engine.stats.get(Counter.RESYNC)
        times = [storm(program, engine, middle, sleepers) for _ in range(ROUNDS // 2) for middle in (1, -1)]
    started = time.perf_counter_ns()
    all_of_them = list(psutil.process_iter(["ppid", "cmdline"]))
    listed = (time.perf_counter_ns() - started) / 1e6
    resyncs = engine.stats.get(Counter.RESYNC) - resyncs
    print(f"{ROUNDS} storms of {FORKS} forks: {engine.lost - lost} events lost, {resyncs} resyncs")
    print(f"the cache equals /proc after    {statistics.median(times):7.1f} ms   (target: 1000)")
    print(f"the longest of them             {max(times):7.1f} ms")
    print(f"psutil, one look at all {len(all_of_them):4}    {listed:7.1f} ms")
    print(f"memory                          {(own.memory_info().rss - before) / 1e6:+7.1f} MB")
    print(f"history                         {len(engine.cache.ended):7} of {MAX_ENDED}")
    engine.feed.close()


if __name__ == "__main__":
    main()
