"""What this host allows, and the command that would allow more.

Each check covers one fact and has its own fix; none is inferred from another. The checks read /proc and
/sys, and load the probe for real: feature probes give false negatives (libbpf 1.1 and bpftool 7.1 report
tracing programs as unsupported that load and run).
"""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import msgspec

from core.probe.libbpf import LibbpfMissing, load_libbpf
from core.probe.loader import SHIPPED_OBJECT, Probe
from core.probe.refusals import ProbeUnavailable
from core.system.distribution import install_libbpf
from core.system.host import Host
from core.system.privileges import Capability, as_root, current_privileges
from core.text.safe import safe_text

KERNEL_FLOOR = (5, 8)
"""Ring buffer, task iterator, CAP_BPF and the boot clock in BPF came with Linux 5.8."""

_MEMCG_ACCOUNTING = (5, 11)
"""From this release on BPF memory counts against the cgroup, before it against RLIMIT_MEMLOCK."""

_MEMLOCK_NEEDED = 64 * 1024 * 1024


class Check(msgspec.Struct, frozen=True):
    """The result of one check. All texts are safe to show; `fix` is empty when nothing has to be done."""

    name: str
    ok: bool
    detail: str
    fix: str = ""


def examine(host: Host, *, load_probe: bool = True) -> tuple[Check, ...]:
    """Return the result of every check; with `load_probe` the probe is loaded once and detached."""
    checks: list[Callable[[Host], Check]] = [
        check_kernel,
        check_btf,
        check_capabilities,
        check_lockdown,
        check_unprivileged_bpf,
        check_memory_lock,
        check_libbpf,
        check_probe_object,
        check_probe if load_probe else _probe_not_tried,
        check_proc,
        check_other_processes,
        check_cgroup,
    ]
    return tuple(check(host) for check in checks)


def check_kernel(host: Host) -> Check:
    release = host.kernel_release()
    version = _version(release)
    if version and version < KERNEL_FLOOR:
        return _no(
            "kernel", f"{release} is older than 5.8", "boot Linux 5.8 or newer; until then only /proc is read"
        )
    return _yes("kernel", release)


def check_btf(host: Host) -> Check:
    path = host.path("/sys/kernel/btf/vmlinux")
    try:
        return _yes("btf", f"/sys/kernel/btf/vmlinux, {path.stat().st_size} bytes")
    except FileNotFoundError:
        if not host.path("/sys/kernel").is_dir():
            return _no("btf", "/sys is not mounted here", _mount(host, "sysfs", "/sys"))
        fix = "boot a kernel with CONFIG_DEBUG_INFO_BTF=y (distribution kernels have it)"
        return _no("btf", "this kernel has no /sys/kernel/btf/vmlinux", fix)
    except OSError as error:
        return _no("btf", f"/sys/kernel/btf/vmlinux: {error.strerror}", as_root())


def check_capabilities(_host: Host) -> Check:
    """Check for CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN: without them no program can be loaded."""
    own = current_privileges()
    missing = own.missing_for_probe()
    if missing:
        return _no("capabilities", f"the probe needs {' and '.join(missing)}", own.way_to(*missing))
    if own.has(Capability.SYS_ADMIN):
        return _yes("capabilities", "CAP_SYS_ADMIN")
    return _yes("capabilities", "CAP_BPF, CAP_PERFMON; without CAP_SYS_ADMIN only own programs are visible")


def check_lockdown(host: Host) -> Check:
    try:
        text = host.text("/sys/kernel/security/lockdown")
    except OSError:
        return _yes("lockdown", "not in this kernel, or securityfs is not mounted")
    mode = text.partition("[")[2].partition("]")[0]
    if mode == "confidentiality":
        fix = "boot with lockdown=integrity"
        return _no("lockdown", "confidentiality: BPF may not read kernel memory", fix)
    return _yes("lockdown", mode or text)


def check_unprivileged_bpf(host: Host) -> Check:
    """Report what the kernel lets unprivileged users do; the probe needs its capabilities either way."""
    try:
        value = host.text("/proc/sys/kernel/unprivileged_bpf_disabled").strip()
    except OSError:
        return _yes("unprivileged-bpf", "this kernel has no such setting")
    meaning = {
        "0": "0: every user may load socket filters; the probe still needs its capabilities",
        "1": "1: off until the next boot for users without CAP_BPF",
        "2": "2: off for users without CAP_BPF",
    }
    return _yes("unprivileged-bpf", meaning.get(value, value))


def check_memory_lock(host: Host) -> Check:
    version = _version(host.kernel_release())
    if version is None or version >= _MEMCG_ACCOUNTING:
        return _yes("memlock", "no limit: BPF memory counts against the cgroup")
    hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
    if hard == resource.RLIM_INFINITY or hard >= _MEMLOCK_NEEDED:
        return _yes("memlock", f"limit {'none' if hard == resource.RLIM_INFINITY else hard}")
    own = current_privileges()
    if own.has(Capability.SYS_RESOURCE):
        return _yes("memlock", f"limit {hard}, which CAP_SYS_RESOURCE can raise")
    detail = f"limit {hard} bytes; this kernel counts BPF maps against it"
    return _no("memlock", detail, "run as root: ulimit -Hl unlimited")


def check_libbpf(host: Host) -> Check:
    try:
        return _yes("libbpf", load_libbpf().version)
    except LibbpfMissing as error:
        return _no("libbpf", str(error), install_libbpf(host))


def check_probe_object(_host: Host) -> Check:
    try:
        size = SHIPPED_OBJECT.stat().st_size
    except OSError as error:
        return _no(
            "probe-object", f"{SHIPPED_OBJECT}: {error.strerror}", "make probe, or install the package again"
        )
    return _yes("probe-object", f"{SHIPPED_OBJECT}, {size} bytes")


def check_probe(host: Host) -> Check:
    """Load and attach the probe, then detach it."""
    try:
        probe = Probe(host)
    except ProbeUnavailable as error:
        own = current_privileges()
        missing = own.missing_for_probe()
        fix = own.way_to(*missing) if missing else error.fix or check_lockdown(host).fix
        return _no("probe", str(error.args[0]), fix)
    try:
        refused = ", ".join(f"{name}: {why}" for name, why in probe.missing.items())
        if not probe.events_on:
            return _no("probe", f"iterator only: the kernel refused {refused}", "boot a newer kernel")
        return _yes("probe", f"events+maps; without {refused}" if refused else "events+maps")
    finally:
        probe.close()


def _probe_not_tried(_host: Host) -> Check:
    return _no("probe", "not tried", "run doctor without --no-probe")


def check_proc(host: Host) -> Check:
    """Check that /proc is mounted, and whether its mount option hidepid hides processes."""
    if not host.path("/proc/self/stat").exists() and not host.path("/proc/1").exists():
        return _no("proc", f"{host.proc} is not a mounted proc", _mount(host, "proc", "/proc"))
    options = _mount_options(str(host.proc))
    hidden = options.get("hidepid", "0")
    if hidden in ("0", "off"):
        return _yes("proc", "every process is visible")
    if current_privileges().has(Capability.SYS_PTRACE):
        return _yes("proc", f"hidepid={hidden}, which CAP_SYS_PTRACE overrides")
    if options.get("gid", "").isdigit() and int(options["gid"]) in os.getgroups():
        return _yes("proc", f"hidepid={hidden}, but group {options['gid']} sees every process")
    way = current_privileges().way_to("CAP_SYS_PTRACE")
    return _no("proc", f"hidepid={hidden}: only own processes are visible", way)


def check_other_processes(_host: Host) -> Check:
    """Check for CAP_SYS_PTRACE: without it exe and environment of other users' processes are hidden."""
    own = current_privileges()
    if own.has(Capability.SYS_PTRACE):
        return _yes("other-users", "exe of every process is readable (CAP_SYS_PTRACE)")
    return _no(
        "other-users",
        "only exe of own processes is readable (no CAP_SYS_PTRACE)",
        own.way_to("CAP_SYS_PTRACE"),
    )


def check_cgroup(host: Host) -> Check:
    """Report which cgroup hierarchies are mounted; containers are identified by them."""
    types = {kind for kind, _, _ in _mounts() if kind in ("cgroup", "cgroup2")}
    if not host.is_local:
        unified = host.path("/sys/fs/cgroup/cgroup.controllers").exists()
        types = (
            {"cgroup2"} if unified else {"cgroup"} if host.path("/sys/fs/cgroup/memory").exists() else set()
        )
    layout = {frozenset({"cgroup"}): "v1", frozenset({"cgroup2"}): "v2", frozenset(): ""}.get(
        frozenset(types), "hybrid (v1 and v2)"
    )
    if layout:
        return _yes("cgroup", layout)
    return _no("cgroup", "no cgroup file system is mounted", _mount(host, "cgroup2", "/sys/fs/cgroup"))


def _mounts() -> list[tuple[str, str, dict[str, str]]]:
    """Return (type, mount point, options) of every mount in our mount namespace; proc_pid_mountinfo(5)."""
    mounts = []
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    for line in lines:
        own, _, rest = line.partition(" - ")
        fields, kind = own.split(), rest.split()
        if len(fields) < 6 or len(kind) < 3:
            continue
        options = (option.partition("=") for option in (fields[5] + "," + kind[2]).split(","))
        mounts.append((kind[0], fields[4], {name: value for name, _, value in options}))
    return mounts


def _mount_options(where: str) -> dict[str, str]:
    """Return the options of the proc mounted at `where`: of the last mount there, which hides the others."""
    visible: dict[str, str] = {}
    for kind, mount_point, options in _mounts():
        if mount_point == where and kind == "proc":
            visible = options
    return visible


def _mount(host: Host, kind: str, where: str) -> str:
    if host.is_local:
        return f"mount -t {kind} {kind} {where}"
    return f"bind-mount the host's {where} to {host.path(where)}"


def _version(release: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else None


def _yes(name: str, detail: str) -> Check:
    return Check(name, True, safe_text(detail))


def _no(name: str, detail: str, fix: str) -> Check:
    return Check(name, False, safe_text(detail), safe_text(fix))
