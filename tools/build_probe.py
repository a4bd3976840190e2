"""Builds the project's own probe with buildgen and copies it to where the wheel expects it.

The object is committed, as is usual for eBPF projects, so a host without clang has the maps tier too. A
digest of its sources is stored next to it, and a test compares the two. If the digest is current, nothing is
built and clang is not needed.
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
        print("the committed probe is up to date")
        return 0
    ours = Trust(ROOT, builder=builder_of(ROOT))  # running this already runs code of the checkout
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
