"""Which mount a path is on, by /proc/PID/mountinfo: known without asking the file system itself."""

from __future__ import annotations

import os
from dataclasses import dataclass

from core.text.safe import safe_text

_SERVED = ("fuse", "nfs", "cifs", "smb", "9p", "ceph", "afs", "virtiofs", "lustre", "ocfs2", "gfs2", "coda")
_ESCAPES = {b"\\040": b" ", b"\\011": b"\t", b"\\012": b"\n", b"\\134": b"\\"}


@dataclass(frozen=True, slots=True)
class Mount:
    """`device` is major:minor; one file system has the same wherever it is mounted."""

    device: str
    point: bytes
    kind: str

    @property
    def asks_a_server(self) -> bool:
        """True for file systems whose answers come from a program or another machine, or do not."""
        return self.kind.startswith(_SERVED)

    def __str__(self) -> str:
        return f"{safe_text(self.point, 200)} ({safe_text(self.kind, 40)})".replace(", ", ",")


def mount_of(path: bytes, mountinfo: bytes) -> Mount | None:
    """Return the mount that an absolute path is on: of those with the longest path the last one."""
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
    """Undo what the kernel does to blanks in a path (fs/proc_namespace.c, mangle)."""
    if b"\\" not in path:
        return path
    for escaped, blank in _ESCAPES.items():
        path = path.replace(escaped, blank)
    return path
