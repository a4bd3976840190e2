"""Why the kernel tier is off, or a part of it: what the kernel refused, in words that are right.

libbpf's own advice is often wrong: without CAP_PERFMON it says "raise ulimit -l".
"""

from __future__ import annotations

import errno
import os
import re

from core.probe.libbpf import LibbpfError
from core.text import safe_text

EVENT_PROGRAMS = ("on_fork", "on_exec", "on_exit")
OPTIONAL_PROGRAMS = ("on_reaped", "on_cgroup", "snapshot", "snapshot_plain", "sweep", "fill")

FEATURES = {
    "on_reaped": "news of reaping, which the next sweep brings",
    "on_cgroup": "news of moves between cgroups, which the audit brings",
    "snapshot": "argv in snapshots, which comes from /proc",
    "sweep": "sweeps by the kernel, which are made over /proc",
    "fill": "count of the entries of the maps, which is not shown then",
}
"""Optional program -> what is lost without it, and what stands in for it."""

_REFUSED = re.compile(r"prog '(\w+)': (?:failed to load|BPF program load failed|failed to find kernel BTF)")


class ProbeUnavailable(Exception):
    """The maps tier is off. The text names the cause; `fix` is the command or step that undoes it."""

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


def decisive_line(log: tuple[str, ...]) -> str:
    """Return the line of a verifier log that says what was wrong: the last before the statistics."""
    lines = [line for line in log if line and not line.startswith(("libbpf: ", "-- ", "processed "))]
    return safe_text((lines or log or ("refused without a word",))[-1], 200)


def explained(error: LibbpfError) -> ProbeUnavailable:
    if error.errno == errno.EPERM:
        return ProbeUnavailable(
            "the kernel does not permit it",
            "run it as root; in a container allow bpf(2) too (CAP_BPF, CAP_PERFMON, seccomp)",
            permitted=False,
        )
    return ProbeUnavailable(f"{error.action}: {os.strerror(error.errno or 0)} ({decisive_line(error.log)})")
