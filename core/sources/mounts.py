"""Finds the mount of a path in /proc/PID/mountinfo, without accessing the file system itself."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.text.safe import safe_text

_SERVED = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "virtiofs", "lustre", "ocfs2", "gfs2", "coda")
_ESCAPES = {b"\\040": b" ", b"\\011": b"\t", b"\\012": b"\n", b"\\134": b"\\"}


@dataclass(frozen=True, slots=True)
class Mount:
    """One mount. `device` is major:minor, the same for all mounts of one file system."""

    device: str
    point: bytes
    kind: str

    @property
    def asks_a_server(self) -> bool:
        """Whether a program or another machine serves the file system, and so may never answer."""
        return self.kind.startswith(_SERVED)

    def __str__(self) -> str:
        return f"{safe_text(self.point, 200)} ({safe_text(self.kind, 40)})".replace(", ", ",")


def mount_of(path: bytes, mountinfo: bytes) -> Mount | None:
    """Return the mount of an absolute path: of the mounts with the longest matching path the last."""
    best: Mount | None = None
    for line in mountinfo.split(b"\n"):
        before, _, after = line.partition(b" - ")
        fields, kind = before.split(b" "), after.split(b" ")[0]
        if len(fields) < 6 or not kind:
            continue
        point = _unescaped(fields[4])
        if _below(path, point) and (best is None or len(point) >= len(best.point)):
            best = Mount(os.fsdecode(fields[2]), point, os.fsdecode(kind))
    return best


def _below(path: bytes, point: bytes) -> bool:
    return point in (b"/", path) or path.startswith(point + b"/")


def _unescaped(path: bytes) -> bytes:
    """Undo the kernel's escapes of blanks and backslashes in a path (fs/proc_namespace.c, mangle)."""
    if b"\\" not in path:
        return path
    for escape, character in _ESCAPES.items():
        path = path.replace(escape, character)
    return path
