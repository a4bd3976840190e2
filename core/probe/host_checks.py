"""Checks of the host before a probe is loaded: whether it can be loaded, and with which settings."""

from __future__ import annotations

import sys
from pathlib import Path

from core.probe.libbpf import LibbpfMissing, load_libbpf
from core.probe.refusals import ProbeUnavailable
from core.system.host import Host
from core.system.privileges import current_privileges
from core.text.safe import safe_text


def check_host(host: Host, object_file: Path) -> None:
    """Raise ProbeUnavailable with the true cause when loading would fail.

    libbpf's own advice is often wrong: without CAP_PERFMON it says "raise ulimit -l".
    """
    if not host.is_local:
        raise ProbeUnavailable("the probe sees only the host it runs on, not the one below --host-root")
    if sys.byteorder != "little":
        raise ProbeUnavailable("the shipped probe is little-endian", "build one with `ebpf-tui build`")
    if not object_file.exists():
        raise ProbeUnavailable(f"no probe object at {safe_text(str(object_file))}", "make probe")
    try:
        load_libbpf()
    except LibbpfMissing as error:
        # Only who lacks it pays for the import.
        from core.system.distribution import install_libbpf  # noqa: PLC0415

        raise ProbeUnavailable(str(error), install_libbpf(host)) from None
    own = current_privileges()
    missing = own.missing_for_probe()
    if missing:
        raise ProbeUnavailable(f"needs {' and '.join(missing)}", own.way_to(*missing), permitted=False)
    if _is_confidential(host):
        # Checked before loading: the verifier would only report an unknown helper.
        raise ProbeUnavailable(
            "kernel lockdown is in confidentiality mode", "boot with lockdown=integrity", permitted=False
        )
    if not host.path("/sys/kernel/btf/vmlinux").exists():
        raise ProbeUnavailable(
            "this kernel has no BTF (/sys/kernel/btf/vmlinux)", "use a kernel with CONFIG_DEBUG_INFO_BTF=y"
        )


_FIRST_PID_NAMESPACE = 4026531836  # include/linux/proc_ns.h, PROC_PID_INIT_INO


def reader_pid_namespace(host: Host) -> int:
    """Return the inode of the pid namespace that /proc shows pids of; 0 for the host's initial namespace.

    Raises ProbeUnavailable when that is not known: the kernel's pids would be mistaken for other processes.
    """
    try:
        status = host.read("/proc/self/status").decode("latin-1").split("\n")
        # One number for each namespace from /proc's inwards to ours; absent before Linux 4.1.
        levels = next((len(line.split()) - 1 for line in status if line.startswith("NSpid:")), 1)
        owner = "self" if levels == 1 else "1"
        number = host.path(f"/proc/{owner}/ns/pid").stat().st_ino
    except OSError as error:
        raise ProbeUnavailable(
            f"/proc shows pids of another pid namespace, and which one cannot be determined ({error})",
            "mount -t proc proc /proc in our own pid namespace",
        ) from None
    return 0 if number == _FIRST_PID_NAMESPACE else number


def _is_confidential(host: Host) -> bool:
    """Return whether the kernel forbids every read of its memory, by BPF programs too."""
    try:
        return "[confidentiality]" in host.text("/sys/kernel/security/lockdown")
    except OSError:  # securityfs is not mounted
        return False
