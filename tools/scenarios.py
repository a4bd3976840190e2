"""`make test-scenarios`: every scenario 20 times on this kernel; prints how many of the runs were right.

    tools/scenarios.py [RUNS]

Needs the probe (root). Takes some 15 minutes. Ends with 1 when any run was wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

from core.system.interpreter import python

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    runs = sys.argv[1] if len(sys.argv) > 1 else "20"
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [*python("-m", "pytest"), "-q", "-p", "no:cacheprovider", f"--junit-xml={report}"]
        environment = {**os.environ, "EBPF_TUI_RUNS": runs}
        subprocess.run(
            [*command, "tests/core/resolve/test_scenarios.py"], cwd=ROOT, env=environment, check=False
        )
        if not report.exists():
            return 1
        cases = list(ElementTree.parse(report).iter("testcase"))
    ran: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for case in cases:
        name = scenario(case.get("name", ""))
        ran[name] += 1
        right[name] += not len(case)  # a failure, an error or a skip stands inside it
    for name, number in ran.items():
        print(f"{name:<80} {right[name]} of {number}")
    return 0 if ran and ran == right else 1


def scenario(test: str) -> str:
    """`test_storms[vfork-3]` is a run of `vfork`, `test_start_during_forks[3]` of `start during forks`."""
    name, _, parameters = test.removesuffix("]").partition("[")
    what = parameters.rpartition("-")[0]
    return what.replace("_", " ") or name.removeprefix("test_").replace("_", " ")


if __name__ == "__main__":
    sys.exit(main())
