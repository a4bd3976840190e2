"""Compares a complete build with the same commands in a hand-written build.ninja, alternating, both clean.

Run: python benchmarks/build_whole.py [OBJECTS…]. The peer is a hand-written file with one rule for clang
(`deps = gcc`) and one for llc and llvm-strip, run by the same ninja. Ours is the whole command `ebpf-tui
build`, including planning, header discovery and toolchain detection, with its modules compiled as in an
installed program. Figures are medians; the ratio is the median of the pairs, with the smallest and the
largest. On a busy machine, compare the CPU time.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from buildgen.ninja.runner import run_build
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_ninja, find_toolchain
from core.system.interpreter import python_module

ROOT = Path(__file__).parents[1]
ROUNDS = 5

CO_RE = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {{ __uint(type, BPF_MAP_TYPE_HASH); __type(key, int); __type(value, long);
         __uint(max_entries, {number}); }} counts SEC(".maps");
SEC("raw_tp/sched_process_exec") int on_exec(void *ctx)
{{
    int key = {number};
    long *value = bpf_map_lookup_elem(&counts, &key);
    return value ? *value : 0;
}}
char LICENSE[] SEC("license") = "GPL";
"""
PREBUILT = """
#include <linux/sched.h>
#include <uapi/linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("kprobe/do_exit") int on_exit(struct pt_regs *ctx)
{{
    struct task_struct *task = (void *)bpf_get_current_task();
    int pid = {number};
    bpf_probe_read(&pid, sizeof(pid), &task->tgid);
    return pid;
}}
char LICENSE[] SEC("license") = "GPL";
"""


def write_sources(project: Path, count: int) -> None:
    for number in range(1, count // 2 + 1):
        (project / f"co{number}.bpf.c").write_text(CO_RE.format(number=number))
        (project / f"pre{number}_kern.c").write_text(PREBUILT.format(number=number))


def write_by_hand(ours: Path, hand: Path) -> None:
    """Write the peer's build.ninja: our clang commands unchanged, and the simplest llc and strip."""
    listed = subprocess.run(
        [find_ninja(), "-C", ours, "-t", "compdb", "ebpfclang", "ebpfcoreclang"],
        capture_output=True,
        check=True,
    )
    tools = find_toolchain()
    lines = ["rule clang", "  command = $run", "  depfile = $out.d", "  deps = gcc", "rule llc"]
    lines += [
        f"  command = {tools.llc.path} -march=bpf -filetype=obj -o $out $in && {tools.strip.path} -g $out"
    ]
    for entry in json.loads(listed.stdout[listed.stdout.index(b"[") :]):
        bitcode = entry["output"]
        lines += [f"build {bitcode}: clang {entry['file']}", f"  run = {entry['command'].replace('$', '$$')}"]
        lines += [f"build {bitcode.removesuffix('.bc')}.o: llc {bitcode}"]
    (hand / "build.ninja").write_text("\n".join(lines) + "\n")


def timed(command: list[str], out: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Return the elapsed seconds and the CPU seconds of a clean build."""
    for made in out.iterdir():
        if made.name != "build.ninja":
            shutil.rmtree(made) if made.is_dir() else made.unlink()
    before, begin = os.times(), time.perf_counter()
    subprocess.run(
        command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    took, after = time.perf_counter() - begin, os.times()
    return took, sum(after[2:4]) - sum(before[2:4])


def measure(count: int, made: Path, environment: dict[str, str]) -> None:
    """Build `count` objects both ways, alternating, and print a line for each kind of time."""
    project, ours, hand = (made / f"{name}{count}" for name in ("project", "ours", "hand"))
    for place in (project, ours, hand):
        place.mkdir()
    write_sources(project, count)
    for _event in run_build(plan(load_project(project), out=ours)):  # makes build.ninja, warms the disk
        pass
    write_by_hand(ours, hand)
    build = python_module("tui.cli.main", "build", "-C", str(project), "--out", str(ours))
    ninja = [str(find_ninja()), "-C", str(hand)]
    timed(build, ours, environment)  # compiles the modules
    pairs = [(timed(build, ours, environment), timed(ninja, hand, environment)) for _ in range(ROUNDS)]
    objects = {len(list(out.rglob("*.o"))) for out in (ours, hand)}
    assert objects == {count}, objects
    for number, what in enumerate(("clock", "CPU")):
        mine, theirs = ([run[number] for run in side] for side in zip(*pairs, strict=True))
        ratios = sorted(a / b for a, b in zip(mine, theirs, strict=True))
        print(
            f"{count:7}  {what:7} {statistics.median(mine):11.2f} s {statistics.median(theirs):10.2f} s"
            f"   {statistics.median(ratios):.3f}  ({ratios[0]:.3f} to {ratios[-1]:.3f})",
            flush=True,
        )


def main() -> None:
    counts = [int(count) for count in sys.argv[1:]] or [8, 24, 64]
    print("objects  seconds   ebpf-tui build    by hand   ratio  (at most 1.1)")
    with tempfile.TemporaryDirectory() as made:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": f"{made}/modules"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        for count in counts:
            measure(count, Path(made), environment)


if __name__ == "__main__":
    main()
