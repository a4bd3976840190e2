"""Cost of a build in addition to ninja and clang: header discovery, build.ninja, a build with nothing to do.

Run: python benchmarks/build_plan.py [HOST_ROOT]. Peer in the same run: ninja alone on the same directory.
HOST_ROOT is a directory with the header packages of several kernels (`dpkg -x` of each), in which discovery
is measured as well.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from buildgen.headers.find import HeadersNotFound, find_header_dirs
from buildgen.ninja.runner import run_build
from buildgen.plan.ninja_file import Edges, write_ninja
from buildgen.plan.plan import plan
from buildgen.project.flags import Variant
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_ninja, find_toolchain
from core.system.arch import parse_arch
from core.system.host import Host
from core.system.interpreter import python_module

ROOT = Path(__file__).parents[1]


def best(what: Callable[[], object], times: int = 7) -> float:
    """Return the shortest of several runs in milliseconds: the machine is shared."""
    seconds = []
    for _ in range(times):
        begin = time.perf_counter()
        what()
        seconds.append(time.perf_counter() - begin)
    return min(seconds) * 1000


def say(what: str, milliseconds: float, limit: float | None = None) -> None:
    print(f"{what:58} {milliseconds:9.1f} ms" + (f"   (at most {limit:.0f})" if limit else ""))


def thousand_objects() -> None:
    amd64 = parse_arch("amd64")
    edges = [
        Edges(
            Path(f"amd64/prebuilt/o{n}.o"), Path(f"/src/o{n}.c"), amd64, Variant("prebuilt"), ("-DX=1",), True
        )
        for n in range(1000)
    ]
    toolchain = find_toolchain()
    say("build.ninja for 1000 objects", best(lambda: write_ninja(edges, toolchain, [], None)), 500)


def nothing_to_do() -> None:
    with tempfile.TemporaryDirectory() as out:
        project = load_project(ROOT)
        for _event in run_build(plan(project, out=Path(out))):
            pass
        command = python_module("tui.cli.main", "build", "-C", str(ROOT), "--out", out)
        say("`ebpf-tui build` with nothing to do", best(lambda: quietly(command)), 400)
        alone = [str(find_ninja()), "-C", out]
        say("  of that, ninja alone", best(lambda: quietly(alone)))


def quietly(command: list[str]) -> None:
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)


def main() -> None:
    try:
        say("header discovery on this machine", best(find_header_dirs), 50)
    except HeadersNotFound:
        print("header discovery: no kernel headers here")
    if len(sys.argv) > 1:
        host = Host(Path(sys.argv[1]).absolute())
        trees = {c.resolved for c in find_header_dirs(host).candidates if c.holds in ("arch", "full")}
        say(f"  with the headers of {len(trees)} kernels", best(lambda: find_header_dirs(host)), 50)
    say("the toolchain, asked for its versions", best(find_toolchain))
    thousand_objects()
    nothing_to_do()


if __name__ == "__main__":
    main()
