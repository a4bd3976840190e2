"""What a hostile host has in the place of a file."""

from __future__ import annotations

import os
from pathlib import Path


def place(path: Path, kind: str) -> None:
    """Put something hostile where a file is expected."""
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "zero":
            path.symlink_to("/dev/zero")
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 40)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "outside":  # our own file is somebody else's
            path.symlink_to(path)
