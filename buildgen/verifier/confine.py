"""A process gives up what it does not need before it reads foreign bytes with libbpf."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from collections.abc import Mapping
from pathlib import Path

CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 12, 21, 38, 39
_NOBODY = 65534
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS = 1, 4, 8
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _CLEAR_ALL = 24, 38, 47, 4
_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64


def confine(keep: frozenset[int], limits: Mapping[int, int]) -> None:
    """Keep of all capabilities only those, and of the user's rights none; set resource limits (RLIMIT_*).

    Afterwards the process is nobody, where that is allowed to it, cannot win rights by executing a file,
    and is killed when the thread that started it ends. What cannot be given up stays: this never fails.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    for number, value in limits.items():
        with contextlib.suppress(OSError, ValueError):
            hard = resource.getrlimit(number)[1]
            most = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(number, (most, most))
    permitted = _permitted()
    for number in range(_MOST_CAPABILITIES):
        libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
    libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    with contextlib.suppress(OSError):  # in a user namespace there may be no such user
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    _set_capabilities(libc, permitted & sum(1 << number for number in keep))
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    # /proc/self/fd belongs to root in a process that changed its user; ptrace asks for our capabilities, too.
    libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)  # after the user: that change clears it


def _permitted() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("CapPrm:")[2].split()[0], 16)


def _set_capabilities(libc: ctypes.CDLL, wanted: int) -> None:
    """Make `wanted` the permitted and effective ones, with none to inherit (capset(2))."""
    low, high = wanted & 0xFFFFFFFF, wanted >> 32
    head = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)
    libc.capset(head, data)
