"""Cost of the snapshot of all processes: the task iterator, then argv from /proc.

    python benchmarks/snapshot.py [COUNT]

Starts COUNT additional processes (default: 1,000). Needs the probe (root). CPU time of this process in ms:
the shortest of several runs, and the first run, before the kernel has cached anything of /proc.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from benchmarks.lib.load import alive, load
from core.sources.cmdlines import lacks_argv
from core.sources.feed import open_feed
from core.system.host import LOCAL

RUNS = 11


def cpu_ms(work: Callable[[], object]) -> float:
    started = time.process_time_ns()
    work()
    return (time.process_time_ns() - started) / 1e6


def main() -> None:
    with load(int(sys.argv[1]) if len(sys.argv) > 1 else 1000):
        feed = open_feed(LOCAL, need_maps=True)
        first = cpu_ms(feed.snapshot)
        records = feed.snapshot()
        pids = [record.entry.pid for record in records if lacks_argv(record.entry)]
        first_argv = cpu_ms(lambda: feed.argvs(pids))
        snapshot = min(cpu_ms(feed.snapshot) for _ in range(RUNS))
        argv = min(cpu_ms(lambda: feed.argvs(pids)) for _ in range(RUNS))
        print(f"{alive()} processes, ms of CPU    shortest    first")
        print(f"snapshot, without argv         {snapshot:8.1f} {first:8.1f}")
        print(f"argv of {len(pids):6} of them        {argv:8.1f} {first_argv:8.1f}")
        feed.close()


if __name__ == "__main__":
    main()
