"""Cost of one event and one lookup in user space, compared with psutil for the same facts.

    python benchmarks/kernel_tier.py

Needs the probe (root). Prints the best of several runs, in µs.
"""

from __future__ import annotations

import gc
import os
import subprocess
import time
from collections.abc import Callable

import psutil

from core.model.entities import Origin, ProcessEntry, Tier
from core.model.events import Exec, Fork, Lost
from core.model.view import ViewRequest
from core.probe import layout
from core.probe.loader import Probe, ProbeOptions
from core.resolve.engine import Engine
from core.session.gc_tuning import filling
from core.sources.feed import open_feed
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from core.system.interpreter import python
from core.tree.tree import Tree

FORKS = 4000
Step = Callable[[list[bytes]], object]
BATCH = 200
SETTLED_S = 4


def storm_records() -> tuple[ProcessEntry, list[bytes]]:
    """Run FORKS real children; return their parent and the records of fork, exec, exit and reaping."""
    probe = Probe(LOCAL, ProbeOptions(ring_bytes=64 << 20))
    code = (
        f"import os\nfor _ in range({FORKS}): os.waitpid(os.posix_spawn('/bin/true', ['true', 'x'], {{}}), 0)"
    )
    storm = subprocess.Popen(python("-c", "input()\n" + code), stdin=subprocess.PIPE)
    parent, _ = Procfs(LOCAL).entry(storm.pid)
    storm.communicate(b"\n")
    time.sleep(0.5)
    records = probe.consume()
    probe.close()
    return parent, [record for record in records if is_of(record, storm.pid)]


def is_of(record: bytes, storm: int) -> bool:
    """True for events of the storm's children; those of other processes differ between runs."""
    event = layout.decode_event(record)
    if isinstance(event, Fork) and event.ppid == storm:
        _children.add((event.pid, event.start_ns))
    entry = event.entry if isinstance(event, Exec) else event
    return not isinstance(entry, Lost) and (entry.pid, entry.start_ns) in _children


_children: set[tuple[int, int]] = set()


def best(work: Callable[[], object], count: int, runs: int = 9) -> float:
    """Return the shortest CPU time of one unit of work, in µs."""
    times = []
    for _ in range(runs):
        started = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - started)
    return min(times) / count / 1000


def storm(records: list[bytes], begin: Callable[[], Step], runs: int = 15) -> float:
    """Return the shortest CPU time of one event, in µs. `begin` returns a function that takes 200 events.

    As many as 200 forks a second make between two frames. They are copied just before: what the kernel hands
    over is in the processor's cache, too.
    """
    return min(_storm_once(records, begin()) for _ in range(runs)) / 1000


def _storm_once(records: list[bytes], step: Step) -> float:
    gc.collect()  # free the engine of the previous run
    took = 0
    for at in range(0, len(records), BATCH):
        batch = [bytes(bytearray(record)) for record in records[at : at + BATCH]]
        started = time.process_time_ns()
        step(batch)
        took += time.process_time_ns() - started
    return took / len(records)


def parsed(batch: list[bytes]) -> None:
    for record in batch:
        layout.decode_event(record)


def resolved_by(engine: Engine) -> Step:
    def step(batch: list[bytes]) -> None:
        for record in batch:
            engine.apply(layout.decode_event(record))

    return step


def shown_by(engine: Engine) -> Step:
    """Apply events as the session does: put changed processes into the tree and settle it for a frame."""
    tree = Tree()
    cache = engine.cache
    resolve = resolved_by(engine)
    batches = iter(range(1 << 30))

    def step(batch: list[bytes]) -> None:
        resolve(batch)
        for process in cache.changed:
            tree.put(engine.view(process))
        cache.changed.clear()
        if next(batches) % 8 == 7:  # history is short, as it is between two sweeps
            for process in cache.expire(2**63):
                tree.drop(process.key)
        tree.window(ViewRequest(height=0), 0)

    return step


def maps_hit(engine: Engine, runs: int = 25) -> float:
    """Return the shortest CPU time, in µs, of resolving one of 200 processes evicted from the cache."""
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(200)]
    times = []
    try:
        engine.pump()
        for _ in range(runs):
            for sleeper in sleepers:
                engine.cache.evict(sleeper.pid)
            started = time.process_time_ns()
            answers = [engine.resolver.resolve(sleeper.pid) for sleeper in sleepers]
            times.append(time.process_time_ns() - started)
            assert all(answer.source is Tier.MAPS for answer in answers)
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    return min(times) / len(sleepers) / 1000


def main() -> None:
    parent, records = storm_records()
    kinds = len({record[0] for record in records})
    print(f"{len(records)} events of {kinds} kinds from {FORKS} children")

    # One feed for all runs, as a session has; its cgroups are older than the seconds in which a new one is
    # looked at again and again, because runc may not have written its state yet.
    source = open_feed(LOCAL, probe=False)
    for event in map(layout.decode_event, records):
        if isinstance(event, Fork):
            source.names.container_of(event.cgroup)
    time.sleep(SETTLED_S)
    source.names.refresh()

    def fresh() -> Engine:
        engine = Engine(source)
        engine.resolver.snapshotted = True
        engine.cache.insert(parent, Origin.SNAPSHOT)
        return engine

    with filling():  # as in a session
        pass
    print(f"event: parse                    {storm(records, lambda: parsed):7.2f} µs")
    print(f"event: parse, resolve           {storm(records, lambda: resolved_by(fresh())):7.2f} µs")
    print(
        f"event: parse, resolve, tree     {storm(records, lambda: shown_by(fresh())):7.2f} µs   (target: 5)"
    )

    feed = open_feed(LOCAL, need_maps=True)
    engine = Engine(feed)
    engine.start()
    pid = os.getpid()
    repeat = range(2000)
    resolve = engine.resolver.resolve
    cache = best(lambda: [resolve(pid) for _ in repeat], 2000)
    assert feed.maps is not None
    lookup = feed.maps.lookup
    maps = best(lambda: [lookup(pid) for _ in repeat], 2000)

    whole = maps_hit(engine)
    fields = ["ppid", "name", "exe", "cmdline", "uids", "gids", "create_time", "terminal"]

    def with_psutil() -> None:
        for _ in range(200):
            psutil.Process(pid).as_dict(fields)

    print(f"cache hit                       {cache:7.2f} µs   (target: 2)")
    print(f"maps look-up                    {maps:7.2f} µs")
    print(f"maps hit                        {whole:7.2f} µs   (target: 15)")
    print(f"psutil, the same facts          {best(with_psutil, 200):7.2f} µs")
    feed.close()


if __name__ == "__main__":
    main()
