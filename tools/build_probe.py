"""Builds the project's own eBPF objects with buildgen and copies them to where the wheel expects them.

The objects are committed, as is usual for eBPF projects, so a host without clang has the maps tier too. A
digest of its sources is stored next to each, and a test compares the two. If the digests are current,
nothing is built and clang is not needed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from buildgen.events import Diagnosed, Done
from buildgen.ninja.runner import run_build
from buildgen.owner import builder_of
from buildgen.plan.plan import plan
from buildgen.project.project import Project, load_project
from buildgen.project.trust import Trust

ROOT = Path(__file__).resolve().parent.parent
SOURCES = {
    "core/probe/process.bpf": (
        "process.bpf.c", "kernel_types.h", "record.h",
        "scratch.h", "pids.h", "paths.h", "cgroups.h", "facts.h", "store.h",
    ),
    "core/bpf/host.bpf": ("host.bpf.c",),
}  # fmt: skip
"""Object, without its ending -> what it is built from, in its directory."""


def digest_of(stem: str) -> str:
    folder = (ROOT / stem).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in SOURCES[stem])).hexdigest()


def is_up_to_date(stem: str) -> bool:
    recorded = ROOT / f"{stem}.o.sources"
    built = (ROOT / f"{stem}.o").exists() and recorded.exists()
    return built and recorded.read_text().split()[0] == digest_of(stem)


def _alike_everywhere(project: Project) -> Project:
    """Return the project with objects that do not name the directory of this checkout."""
    here = f"-ffile-prefix-map={ROOT}=/ebpf-tui"
    objects = tuple(replace(spec, flags=(*spec.flags, here)) for spec in project.objects)
    return replace(project, objects=objects)


def main() -> int:
    stale = {Path(stem).name: stem for stem in SOURCES if not is_up_to_date(stem)}
    if not stale:
        print("the committed probe is up to date")
        return 0
    ours = Trust(ROOT, builder=builder_of(ROOT))  # running this already runs code of the checkout
    made = plan(_alike_everywhere(load_project(ROOT)), variants=("co-re",), arches=("local",), trust=ours)
    for event in run_build(made):
        if isinstance(event, Diagnosed):
            print(f"{event.diagnosis.cause}: {event.diagnosis.fix}", file=sys.stderr)
        if isinstance(event, Done) and not event.ok:
            return 1
    clang = made.toolchain.clang.version if made.toolchain else "unknown"
    for target in made.targets:
        stem = stale.get(Path(target.output).stem)
        if stem is None:
            continue
        shutil.copyfile(target.output, ROOT / f"{stem}.o")
        (ROOT / f"{stem}.o.sources").write_text(f"{digest_of(stem)}  clang {clang}\n")
        print(f"{stem}.o built by clang {clang}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
