"""Capability sets as the names of linux/capability.h."""

from __future__ import annotations

_NAMES = (  # noqa: SIM905
    "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE "
    "NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT "
    "SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE "
    "AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ "
    "PERFMON BPF CHECKPOINT_RESTORE"
).split()
"""Names in the order of their bits."""

_FULL = (1 << len(_NAMES)) - 1

_FEW = 8
"""When at most this many are missing, the missing ones are listed instead of all others."""


def capability_names(mask: int) -> str:
    """Return a set as text: `none`, `all`, `all but CAP_SYS_BOOT`, or names; bits without a name as numbers.

    The full set of a kernel with fewer capabilities reads `all but` and the newer ones.
    """
    unknown = [str(bit) for bit in range(len(_NAMES), 64) if mask >> bit & 1]
    missing = _named(_FULL & ~mask)
    if not missing:
        names = ["all"]
    elif len(missing) <= _FEW:
        names = ["all but", *missing]
    else:
        names = _named(mask)
    bits = [f"bits {' '.join(unknown)}"] if unknown else []
    return " and ".join([*([" ".join(names)] if names else []), *bits]) or "none"


def _named(mask: int) -> list[str]:
    return [f"CAP_{name}" for bit, name in enumerate(_NAMES) if mask >> bit & 1]
