"""`make test-kernels`: runs the tests of the kernel tier on other kernels than the running one.

Each kernel comes from a Debian package and boots in an emulated machine (tools/kernels), ten to forty times
slower than the host, so the event storms are shortened (EBPF_TUI_SHORT) and nothing is timed. Arguments
select kernels: `python tools/test_kernels.py 6.1`. `-- COMMAND` runs a command instead of the tests. Prints
one line for each kernel. Exit code 1: a kernel failed or is not available; 3: no emulator.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from pathlib import Path

from tools.kernels.guest import run
from tools.kernels.package import KernelUnavailable, get_kernel

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = {"qemu-system-x86_64": "qemu-system-x86", "busybox": "busybox-static"}
TESTS = [
    "tests/core/probe",
    "tests/core/resolve/test_scenarios.py",
    "tests/core/resolve/test_audit.py",
    "tests/core/sources/test_namespaces.py",
]
LOCKDOWN = ["tests/core/probe/test_real_lockdown.py"]
RUNS = [("6.1", "", TESTS), ("6.12", "", TESTS), ("6.12", "lockdown=confidentiality", LOCKDOWN)]
PYTEST = [
    *(str(ROOT / ".venv/bin/python"), "-u", "-m", "pytest", "-q", "-p", "no:cacheprovider"),
    *("-o", "timeout=600"),
]
TIMEOUT_S = 1500


def missing_packages() -> list[str]:
    return [package for tool, package in PACKAGES.items() if shutil.which(tool) is None]


def prepare() -> str:
    """Install missing packages if this is root; return why no kernel can be booted, or an empty text."""
    if platform.machine() != "x86_64":
        return "the emulated kernels are for amd64 and need an amd64 host"
    if not shutil.which("apt-get"):
        return "the kernels are Debian packages, and apt-get is not installed"
    missing = missing_packages()
    if missing and os.geteuid() == 0:
        install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *missing]
        subprocess.run(install, check=False, stdout=subprocess.DEVNULL)
        missing = missing_packages()
    return f"apt-get install --no-install-recommends {' '.join(missing)}" if missing else ""


def outcome(version: str, parameters: str, command: list[str]) -> str:
    """Run a command under a kernel; return "ok", or what went wrong."""
    try:
        status = run(
            get_kernel(version),
            command,
            environment={"EBPF_TUI_SHORT": "1"},
            parameters=parameters,
            timeout_s=TIMEOUT_S,
        )
    except KernelUnavailable as error:
        return f"NOT RUN: {error}"
    return "ok" if status == 0 else f"FAILED with {status}"


def main() -> int:
    obstacle = prepare()
    if obstacle:
        print(f"cannot boot other kernels here: {obstacle}", file=sys.stderr)
        return 3
    os.chdir(ROOT)
    words = sys.argv[1:]
    end = words.index("--") if "--" in words else len(words)
    versions, command = words[:end], words[end + 1 :]
    outcomes = []
    for version, parameters, tests in RUNS:
        if versions and version not in versions:
            continue
        started = time.monotonic()
        result = outcome(version, parameters, command or [*PYTEST, *tests])
        seconds = time.monotonic() - started
        outcomes.append(
            (result, f"{version:<5} {parameters or 'default':<26} {result} after {seconds:.0f} s")
        )
    for _, line in outcomes:
        print(line)
    return 0 if outcomes and all(result == "ok" for result, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
