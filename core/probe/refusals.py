"""Why the kernel tier, or a part of it, is off: what the kernel refused, and the true reason.

libbpf's own advice is often wrong: without CAP_PERFMON it says "raise ulimit -l".
"""

from __future__ import annotations

import errno
import os
import re

from core.probe.libbpf import LibbpfError

EVENT_PROGRAMS = ("on_fork", "on_exec", "on_exit")
OPTIONAL_PROGRAMS = ("on_reaped", "on_cgroup", "snapshot", "identify", "sweep", "fill")

FEATURES = {
    "on_reaped": "reap events (sweeps detect reaping instead)",
    "on_cgroup": "cgroup move events (the audit detects moves instead)",
    "identify": "argv of many processes at once (it is read process by process instead)",
    "sweep": "sweeps by the kernel (they read /proc instead)",
    "fill": "count of map entries (it is not shown)",
}
"""Optional program -> what is missing without it, and the replacement; screens put "no" in front."""

_REFUSED = re.compile(r"prog '(\w+)': (?:failed to load|BPF program load failed|failed to find kernel BTF)")


_REASONS = {
    errno.EAGAIN: "signals interrupted the verifier repeatedly",
    errno.EACCES: "this kernel's verifier rejects it",
    errno.EINVAL: "this kernel's verifier rejects it, or lacks a feature it uses",
    errno.E2BIG: "it exceeds the limits of this kernel's verifier",
    errno.ENOMEM: "not enough memory, or the limit on locked memory is too low",
    errno.ESRCH: "this kernel lacks its attach point",
    errno.ENOENT: "this kernel lacks its attach point",
    524: "this kernel does not support it",  # ENOTSUPP, which user space has no name for
}


class ProbeUnavailable(Exception):
    """The maps tier is off. The text names the cause; `fix` is the command or step that removes it."""

    def __init__(self, reason: str, fix: str = "", permitted: bool = True) -> None:
        super().__init__(reason)
        self.fix = fix
        self.permitted = permitted

    def __str__(self) -> str:
        return f"{self.args[0]}: {self.fix}" if self.fix else str(self.args[0])


def refused_program(log: tuple[str, ...]) -> str | None:
    for line in log:
        match = _REFUSED.search(line)
        if match and match[1] in (*EVENT_PROGRAMS, *OPTIONAL_PROGRAMS):
            return match[1]
    return None


def refusal(error: LibbpfError) -> str:
    """Return why the kernel did not load a program.

    The text has no line of the verifier's log: its last line may be about any step. --log-file has all of it.
    """
    number = error.errno or 0
    reason = _REASONS.get(number, os.strerror(number))
    return f"{reason} ({errno.errorcode.get(number, number)}; --log-file keeps the verifier's log)"


def explained(error: LibbpfError) -> ProbeUnavailable:
    if error.errno == errno.EPERM:
        return ProbeUnavailable(
            "the kernel does not permit it",
            "run it as root; in a container also allow bpf(2) (CAP_BPF, CAP_PERFMON, seccomp)",
            permitted=False,
        )
    return ProbeUnavailable(f"{error.action}: {refusal(error)}")
