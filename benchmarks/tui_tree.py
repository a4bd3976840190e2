"""Cost of the tree with 10,000 processes: a put and the window after it, for every order and filter.

Run: `.venv/bin/python benchmarks/tui_tree.py [PROCESSES]`. Figures are milliseconds on this machine.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable

from core.model.entities import ContainerContext, Credentials, Origin, ProcessEntry, ProcessKey, Tier, Usage
from core.model.view import Grouping, ProcessView, SortKey, ViewRequest
from core.tree.tree import Tree

SECOND = 1_000_000_000
HEIGHT = 150  # the request of a terminal with 50 lines: itself, a page above and a page below


def view(pid: int, rng: random.Random, containers: list[ContainerContext]) -> ProcessView:
    parent = rng.randint(max(1, pid - 400), pid - 1) if pid > 1 else None
    cmdline = b"/usr/bin/worker-%d\0--config\0/etc/worker/%d.toml\0--listen\0127.0.0.1:80\0" % (pid % 50, pid)
    return ProcessView(
        entry=ProcessEntry(
            pid=pid, start_ns=pid * SECOND, comm=b"worker", cmdline=cmdline, credentials=Credentials()
        ),
        source=Tier.CACHE,
        origin=Origin.EVENT,
        parent=None if parent is None else ProcessKey(parent, parent * SECOND),
        container=None if pid % 3 else containers[pid % len(containers)],
        usage=Usage(rss_bytes=rng.randint(1, 1 << 28), state="S", cpu_percent=rng.random() * 5),
    )


def timed(work: Callable[[], object], times: int = 50) -> str:
    took = []
    for _ in range(times):
        before = time.perf_counter()
        work()
        took.append((time.perf_counter() - before) * 1000)
    took.sort()
    return f"p50 {statistics.median(took):7.2f}   max {took[-1]:7.2f}"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    rng = random.Random(1)
    containers = [ContainerContext(id=f"{n:064x}", runtime="docker", name=f"app-{n}") for n in range(200)]
    views = [view(pid, rng, containers) for pid in range(1, count + 1)]
    tree = Tree()

    def put_all() -> None:
        for process in views:
            tree.put(process)

    def put_one() -> None:
        tree.put(view(rng.randint(2, count), rng, containers))

    def case(name: str, request: ViewRequest, prepare: Callable[[], None] = put_one, times: int = 50) -> None:
        tree.window(request, 0)

        def work() -> None:
            prepare()
            tree.window(request, 0)

        print(f"  {name:<38}{timed(work, times)}")

    print(f"{count} processes, window of {HEIGHT} rows; ms")
    print(f"  {'put all':<38}{timed(put_all, 1)}")
    print(f"  {'first window':<38}{timed(lambda: tree.window(ViewRequest(height=HEIGHT), 0), 1)}")
    case("one put, window at the top", ViewRequest(height=HEIGHT))
    case("one put, window at the end", ViewRequest(height=HEIGHT, top=count))
    anchor = views[-1].key
    case("one put, anchored at the last process", ViewRequest(height=HEIGHT, anchor=anchor, anchor_offset=9))
    case("one put, sorted by CPU", ViewRequest(height=HEIGHT, sort=SortKey.CPU))
    case("one put, filtered by a word", ViewRequest(height=HEIGHT, filter="worker-7"))
    case("put of all, window at the top", ViewRequest(height=HEIGHT), put_all, 5)
    case("put of all, sorted by CPU", ViewRequest(height=HEIGHT, sort=SortKey.CPU), put_all, 5)
    for name, request in {
        "new filter (a word)": ViewRequest(height=HEIGHT, filter="worker-8"),
        "new filter (cpu>4)": ViewRequest(height=HEIGHT, filter="cpu>4"),
        "no filter": ViewRequest(height=HEIGHT),
        "order by memory": ViewRequest(height=HEIGHT, sort=SortKey.MEMORY),
        "parents instead of containers": ViewRequest(height=HEIGHT, grouping=Grouping.PARENTS),
        "all keys that fold": ViewRequest(height=HEIGHT, grouping=Grouping.PARENTS, below=""),
    }.items():
        print(f"  {name:<38}{timed(lambda request=request: tree.window(request, 0), 1)}")  # type: ignore[misc]


if __name__ == "__main__":
    main()
