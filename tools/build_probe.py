"""Builds the project's own probe with buildgen and puts it where the wheel takes it from.

The object is in the repository, as generated objects of eBPF projects usually are: a host without
clang still has the maps tier. Beside it stands a digest of the sources it was built from, which a
test compares; with that digest up to date there is nothing to do, and clang is not needed.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from buildgen.events import Diagnosed, Done
from buildgen.ninja.runner import run_build
from buildgen.owner import builder_of
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from buildgen.project.trust import Trust

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "core/probe"
SOURCES = ("process.bpf.c", "kernel_types.h", "record.h")
OBJECT = FOLDER / "process.bpf.o"
RECORDED = FOLDER / "process.bpf.o.sources"


def main() -> int:
    digest = hashlib.sha256(b"".join((FOLDER / name).read_bytes() for name in SOURCES)).hexdigest()
    if OBJECT.exists() and RECORDED.exists() and RECORDED.read_text().split()[0] == digest:
        print("the shipped probe is up to date")
        return 0
    ours = Trust(ROOT, builder=builder_of(ROOT))  # whoever runs this runs the checkout's code already
    made = plan(load_project(ROOT), variants=("co-re",), arches=("local",), trust=ours)
    for event in run_build(made):
        if isinstance(event, Diagnosed):
            print(f"{event.diagnosis.cause}: {event.diagnosis.fix}", file=sys.stderr)
        if isinstance(event, Done) and not event.ok:
            return 1
    (target,) = made.targets
    shutil.copyfile(target.output, OBJECT)
    clang = made.toolchain.clang.version if made.toolchain else "unknown"
    RECORDED.write_text(f"{digest}  clang {clang}\n")
    print(f"{OBJECT.relative_to(ROOT)} built by clang {clang}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
