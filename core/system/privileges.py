"""The rights of this process, and the commands that would grant more.

The required capabilities were determined by trying, not taken from libbpf, which often gives wrong advice
(without CAP_PERFMON it says "raise ulimit -l"):

* the probe (load, attach, iterators, ring buffer): CAP_BPF and CAP_PERFMON, or CAP_SYS_ADMIN;
* listing the programs and maps of others: CAP_SYS_ADMIN;
* exe, cwd and environment of other users' processes: CAP_SYS_PTRACE.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


class Capability(IntEnum):
    """The capabilities that this program uses (linux/capability.h)."""

    SYS_PTRACE = 19
    SYS_ADMIN = 21
    SYS_RESOURCE = 24
    PERFMON = 38
    BPF = 39


_INITIAL_USER_NAMESPACE = 4026531837  # include/linux/proc_ns.h, PROC_USER_INIT_INO


@dataclass(frozen=True, slots=True)
class Privileges:
    """Rights of one process. The sets are bit masks; `bounding` limits what a root shell can have.

    In a user namespace of its own (rootless containers, `unshare -r`) a process may have every capability,
    and none of them counts for bpf(2) and for processes outside the namespace.
    """

    uid: int
    effective: int
    bounding: int
    initial_user_namespace: bool = True

    def has(self, capability: Capability) -> bool:
        """Return whether the process has the capability and it counts on this host."""
        return self.initial_user_namespace and bool(self.effective >> capability & 1)

    def missing_for_probe(self) -> list[str]:
        """Return the names of the capabilities that are missing for loading the probe."""
        if self.has(Capability.SYS_ADMIN):
            return []
        needed = (Capability.BPF, Capability.PERFMON)
        return [f"CAP_{capability.name}" for capability in needed if not self.has(capability)]

    def way_to(self, *needed: str) -> str:
        """Return how to get the capabilities `needed` (`CAP_BPF`, …), depending on what prevents it."""
        if not self.initial_user_namespace:
            return "run it in the host's user namespace; capabilities do not count in this one"
        # CAP_SYS_ADMIN includes CAP_BPF and CAP_PERFMON, which kernels before 5.8 do not have.
        enough = self.bounding >> Capability.SYS_ADMIN & 1 and {*needed} <= {"CAP_BPF", "CAP_PERFMON"}
        if not enough and any(
            not self.bounding >> Capability[name.removeprefix("CAP_")] & 1 for name in needed
        ):
            added = " ".join(f"--cap-add {name.removeprefix('CAP_')}" for name in needed)
            return f"start the container with {added} or --privileged (a unit: CapabilityBoundingSet=)"
        return as_root()


def current_privileges() -> Privileges:
    """Return the rights of this process; no capabilities when /proc cannot be read."""
    sets = {"CapEff": 0, "CapBnd": 0}
    try:
        for line in Path("/proc/self/status").read_text("latin-1").split("\n"):
            name, _, value = line.partition(":")
            if name in sets:
                sets[name] = int(value, 16)
    except (OSError, ValueError):
        pass
    return Privileges(os.geteuid(), sets["CapEff"], sets["CapBnd"], _in_initial_user_namespace())


def _in_initial_user_namespace() -> bool:
    try:
        return os.stat("/proc/self/ns/user").st_ino == _INITIAL_USER_NAMESPACE
    except OSError:
        return True


def as_root() -> str:
    """Return the command that runs this program as root.

    sudo has a search path of its own, without the directories of pipx and virtual environments: a program
    in one of those is given by its full path.
    """
    program = Path(sys.argv[0])
    with contextlib.suppress(FileNotFoundError):  # the current directory was deleted
        program = program.absolute()
    on_path = shutil.which("ebpf-tui", path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    name = str(program) if program.name == "ebpf-tui" and on_path is None else "ebpf-tui"
    if shutil.which("sudo"):
        return f"run it as root: sudo {name}"
    return f"run it as root: su -c {name}"
