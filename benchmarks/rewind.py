"""Cost of the history: CPU per put, bytes per minute, and the time of a step back, beside the tree alone.

    python benchmarks/rewind.py

10,000 processes, with the usage of 500 changing in each sweep (2 s), and 200 forks/s with fork, exec, exit
and the end of history. Needs no probe.
"""

from __future__ import annotations

import time

import msgspec

from core.model.entities import LadderStep, Origin, ProcessEntry, ProcessKey, Tier, Tiers, TierState, Usage
from core.model.view import ProcessView, ViewRequest
from core.session.timeline import HeaderFacts, Timeline
from core.tree.tree import Tree

SECOND = 1_000_000_000
PROCESSES, FORKS, FRAMES, BUSY, SECONDS = 10_000, 200, 10, 500, 60
FACTS = HeaderFacts(Tiers(TierState(True), TierState(True), TierState(True), LadderStep.EVENTS_AND_MAPS))


def process(pid: int, start_ns: int) -> ProcessView:
    entry = ProcessEntry(
        pid, start_ns, 2, 1, 1, b"worker", b"/usr/bin/worker", pid, 3, 0o755, 1,
        b"/usr/bin/worker\0--unit\0%d\0" % pid,
        cgroup=b"/system.slice/worker-%d.service" % (pid % 50), fork_ns=start_ns + pid * 7_919 % 99_991,
        exec_ns=start_ns + pid * 104_729 % 999_983, cookie=pid * 0x9E3779B97F4A7C15 % 2**64,
    )  # fmt: skip  # of a real process these bytes are what cannot be packed
    return ProcessView(
        entry, Tier.CACHE, Origin.EVENT, ProcessKey(1, 1), usage=Usage(1, 4 << 20, "S", 1, 0.0)
    )


def minute(tree: Tree, line: Timeline | None) -> tuple[float, int]:
    """Simulate a minute; return the CPU seconds and the number of puts and drops."""
    put, drop = (tree.put, tree.drop) if line is None else (line.put, line.drop)
    live = [process(pid, pid) for pid in range(2, PROCESSES)]
    for view in live:
        tree.put(view)
    ended: list[list[ProcessView]] = []
    pid = PROCESSES
    count = 0
    spent = 0
    for frame in range(SECONDS * FRAMES):
        now = frame * SECOND // FRAMES
        born = [process(pid + n, now + n) for n in range(FORKS // FRAMES)]
        gone = [msgspec.structs.replace(view, ended_ns=now) for view in (ended[-1] if ended else [])]
        used = []
        if frame % (2 * FRAMES) == 0:
            chosen = range(frame % 7, BUSY * 10, 10)
            used = [
                msgspec.structs.replace(live[at], usage=Usage(frame, 4 << 20, "R", 1, frame % 97 / 1))
                for at in chosen
            ]
        forgotten = ended[-5 * FRAMES] if len(ended) >= 5 * FRAMES else []
        started = time.process_time_ns()
        if line is not None:
            line.begin(now, FACTS)
        for view in (*born, *gone, *used):
            put(view)
        for view in forgotten:
            drop(view.key)
        tree.window(ViewRequest(), now)
        spent += time.process_time_ns() - started
        count += len(born) + len(gone) + len(used) + len(forgotten)
        ended.append(born)
        pid += len(born)
    return spent / 1e9, count


def main() -> None:
    bare, count = min(minute(Tree(str), None) for _ in range(3))
    runs = []
    for _ in range(3):
        tree = Tree(str)
        line = Timeline(tree, FACTS)
        runs.append((minute(tree, line)[0], tree, line))
    kept, tree, line = min(runs, key=lambda run: run[0])
    print(f"a minute of {count:,} changes       tree alone {bare:.3f} s CPU, with history {kept:.3f} s")
    share, each = 100 * (kept - bare) / SECONDS, (kept - bare) * 1e6 / count
    print(f"cost of the history               {share:.2f} % of a core, {each:.2f} µs a change")
    print(f"history of that minute            {line.bytes / 2**20:.2f} MB of 64")
    line.hold(SECONDS * SECOND)
    for seconds in (1, 10, 40):
        started = time.perf_counter_ns()
        line.back(seconds * SECOND)
        tree.window(ViewRequest(), line.at_ns)
        print(f"{seconds:2} s back                         {(time.perf_counter_ns() - started) / 1e6:.1f} ms")
    started = time.perf_counter_ns()
    line.release()
    print(f"back to live                      {(time.perf_counter_ns() - started) / 1e6:.1f} ms")


if __name__ == "__main__":
    main()
