"""`make test-kernels`: the kernel tier's tests on other kernels than the one at hand.

Each kernel is booted in an emulated machine by run-in-kernel (see its README), which takes it from
Debian's packages. It is ten to forty times slower than the host, so the storms are shortened and nothing
is timed. Prints one line for each kernel and ends with 1 when any of them failed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HARNESS = ROOT.parent / "shared/tools/kernels/run-in-kernel"
PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static"}
TESTS = [
    "tests/core/probe",
    "tests/core/resolve/test_scenarios.py",
    "tests/core/resolve/test_audit.py",
    "tests/core/sources/test_namespaces.py",
]
LOCKDOWN = ["tests/core/probe/test_real_lockdown.py"]
RUNS = [("6.1", "", TESTS), ("6.12", "", TESTS), ("6.12", "lockdown=confidentiality", LOCKDOWN)]
TIMEOUT_S = 1500


def missing_packages() -> list[str]:
    return [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]


def prepare() -> str:
    """Install what is missing, as root; return why it cannot be done, or an empty text."""
    if not HARNESS.exists():
        return f"{HARNESS} is not here"
    missing = missing_packages()
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]
        subprocess.run(install, check=False, stdout=subprocess.DEVNULL)
        missing = missing_packages()
    if missing:
        return f"apt-get install --no-install-recommends {' '.join(missing)}"
    return ""


def run(kernel: str, parameters: str, tests: list[str]) -> bool:
    command = [str(HARNESS), kernel, "--timeout", str(TIMEOUT_S), "--mem", "3G", "--env", "EBPF_TUI_SHORT=1"]
    if parameters:
        command += ["--append", parameters]
    python = [str(ROOT / ".venv/bin/python"), "-u", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    return (
        subprocess.run(
            [*command, "--", *python, "-o", "timeout=600", *tests], cwd=ROOT, check=False
        ).returncode
        == 0
    )


def main() -> int:
    obstacle = prepare()
    if obstacle:
        print(f"the kernels cannot be booted here: {obstacle}", file=sys.stderr)
        return 3
    wanted = sys.argv[1:]
    verdicts = []
    for kernel, parameters, tests in RUNS:
        if wanted and kernel not in wanted:
            continue
        started = time.monotonic()
        ok = run(kernel, parameters, tests)
        took = time.monotonic() - started
        verdicts.append(
            (ok, f"{kernel:<5} {parameters or 'as it is':<26} {'ok' if ok else 'FAILED'} in {took:.0f} s")
        )
    for _, line in verdicts:
        print(line)
    return 0 if verdicts and all(ok for ok, _ in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
