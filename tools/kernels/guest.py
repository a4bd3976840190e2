"""Boots a kernel in QEMU without KVM and runs one command in it.

The root of the guest is the file system of this machine, read-only, below an overlay in the guest's memory:
Python and .venv work as they do here, and everything that the guest writes is gone when it ends. It has no
network. The command runs as root, in the same directory.

A second shared directory takes the output of the command and its exit status. Emulated work is ten to forty
times slower than on the host.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.kernels.initramfs import needed_modules, pack
from tools.kernels.package import Kernel, KernelUnavailable

HERE = Path(__file__).resolve().parent
TIMED_OUT = 124
PASSED_ON = ("HOME", "LANG", "PATH", "TERM")
"""Variables of this environment that the command gets."""

_POLL_S = 0.2
_CONSOLE_LINES = 40


def run(
    kernel: Kernel, command: list[str], *, environment: dict[str, str], parameters: str, timeout_s: float
) -> int:
    """Run a command under `kernel` in the current directory, its output on stdout; return its exit code.

    `parameters` are added to the kernel's command line. TIMED_OUT: the guest was killed after `timeout_s`
    seconds, boot included. Raises KernelUnavailable if the guest ends before the command does; the message
    has the last lines of its console.
    """
    with tempfile.TemporaryDirectory(prefix="ebpf-tui-kernel.") as scratch:
        report = Path(scratch, "report")
        report.mkdir()
        initramfs = Path(scratch, "initramfs")
        initramfs.write_bytes(_initramfs(kernel, command, environment))
        console = Path(scratch, "console")
        with _emulator(kernel, initramfs, report, console, parameters) as guest:
            in_time = _follow(guest, report / "output", time.monotonic() + timeout_s)
        status = report / "status"
        if status.exists() and status.read_text().strip():
            return int(status.read_text())
        if not in_time:
            return TIMED_OUT
        lines = console.read_text(errors="replace").splitlines() if console.exists() else []
        raise KernelUnavailable("\n".join(["the guest ended early:", *lines[-_CONSOLE_LINES:]]))


def _follow(guest: subprocess.Popen[bytes], output: Path, deadline: float) -> bool:
    """Copy the growing file `output` to stdout until the guest ends; return False if it was late."""
    position = 0
    while True:
        ended = guest.poll() is not None
        if output.exists():
            with output.open("rb") as stream:
                stream.seek(position)
                position += sys.stdout.buffer.write(stream.read())
            sys.stdout.flush()
        if ended:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)


@contextmanager
def _emulator(
    kernel: Kernel, initramfs: Path, report: Path, console: Path, parameters: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the running QEMU, which is killed at the end."""
    shared = "local,security_model=none"
    command = [
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        # One thread for all CPUs: with one each, QEMU before 8.1 sometimes executes stale code while the
        # kernel patches itself, which every attached probe makes it do.
        "-machine", "q35", "-accel", "tcg,thread=single", "-cpu", "max,la57=off", "-smp", "2", "-m", "3G",
        "-kernel", str(kernel.image), "-initrd", str(initramfs),
        "-append", f"console=ttyS0 loglevel=5 panic=-1 {parameters}",
        "-serial", f"file:{console}",
        "-virtfs", f"{shared},path=/,mount_tag=host,readonly=on,multidevs=remap",
        "-virtfs", f"{shared},path={report},mount_tag=report",
    ]  # fmt: skip
    guest = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        yield guest
    finally:
        guest.kill()
        guest.wait()


def _initramfs(kernel: Kernel, command: list[str], environment: dict[str, str]) -> bytes:
    busybox = shutil.which("busybox")
    if busybox is None:
        raise KernelUnavailable("busybox is missing: install busybox-static")
    passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ} | environment
    modules = needed_modules(kernel.modules)
    settings = {
        "modules": " ".join(modules),
        "shared": os.getcwd(),
        "moddir": str(kernel.modules),
    }
    words = ["env", "-i", *(f"{name}={value}" for name, value in passed.items()), *command]
    return pack(
        {
            "busybox": Path(busybox).read_bytes(),
            "init": (HERE / "init").read_bytes(),
            "main": (HERE / "main").read_bytes(),
            "settings": "".join(
                f"{name}={shlex.quote(value)}\n" for name, value in settings.items()
            ).encode(),
            "command": f"cd {shlex.quote(os.getcwd())} && {shlex.join(words)}\n".encode(),
            **{f"modules/{name}": content for name, content in modules.items()},
        }
    )
