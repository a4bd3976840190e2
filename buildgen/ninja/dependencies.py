"""What the objects of a plan are made of: the files that their latest builds read, as ninja keeps them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from buildgen.owner import environment, identity
from buildgen.plan.plan import BuildPlan

_PATIENCE = 20.0


def files_read(plan: BuildPlan) -> dict[str, set[Path]]:
    """Return for each object (its label) its source and every header that the latest build read.

    Headers are those of the depfiles (`ninja -t deps`): of an object that was never built there are none.
    Paths are absolute, as the compiler wrote them otherwise. Runs ninja, and builds and writes nothing.
    """
    found = {target.label: {target.source} for target in plan.targets}
    if plan.ninja is None or not plan.ninja_text or not plan.out.is_dir():
        return found
    owner = plan.trust.builder
    try:
        told = subprocess.run(
            [str(plan.ninja), "-f", "/dev/stdin", "-t", "deps"],
            cwd=plan.out,
            env=environment(owner, plan.project.root, TERM="dumb"),
            input=plan.ninja_text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            **identity(owner),
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return found
    here: set[Path] = set()
    for line in os.fsdecode(told).splitlines():
        if line.startswith("    "):
            here.add(plan.out / line[4:])
        elif line:
            output = line.partition(": #deps ")[0].partition(": deps not found")[0]
            here = found.get(output.removesuffix(".bc") + ".o", set())
    return found
