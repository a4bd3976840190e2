"""`make test-scenarios`: runs every scenario 20 times on this kernel and prints how many runs were correct.

    tools/scenarios.py [RUNS]

Needs the probe (root) and takes about 15 minutes. Exits with 1 if any run was wrong.
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
        right[name] += not len(case)  # a failure, an error or a skip is a child element
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
