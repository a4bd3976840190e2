"""The files that the latest builds of a plan's objects read, from ninja's records."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from buildgen.owner import environment, identity
from buildgen.plan.plan import BuildPlan

_PATIENCE = 20.0


def files_read(plan: BuildPlan) -> dict[str, set[Path]]:
    """Return for each object (by label) its source and every header that the latest build read.

    Headers come from the depfiles (`ninja -t deps`); an object that was never built has none. Paths are
    absolute and otherwise as the compiler wrote them. Runs ninja; builds and writes nothing.
    """
    files = {target.label: {target.source} for target in plan.targets}
    if plan.ninja is None or not plan.ninja_text or not plan.out.is_dir():
        return files
    owner = plan.trust.builder
    try:
        output = subprocess.run(
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
        return files
    current: set[Path] = set()
    for line in os.fsdecode(output).splitlines():
        if line.startswith("    "):
            current.add(plan.out / line[4:])
        elif line:
            made = line.partition(": #deps ")[0].partition(": deps not found")[0]
            current = files.get(made.removesuffix(".bc") + ".o", set())
    return files
