"""The latest builds of each object: when, how long, how large. Kept between sessions, for the screens.

One small file in this program's cache directory, of the invoking user under sudo. What is wrong with it is
no reason to stop a build: a damaged file counts as empty, one that cannot be written is not written.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import time
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from buildgen.errors import BuildgenError
from buildgen.objects import read_object
from buildgen.objects.elf import BIGGEST, read_content
from buildgen.owner import acting_for, cache_directory, invoking_user, private_directory
from core.system.files import append, write_file

KEPT = 20
"""Builds of one object that are kept."""
MOST_OBJECTS = 1000
"""Objects with a history; those that were built longest ago are forgotten first."""
_BIGGEST = 8 * 1024 * 1024
_SCHEMA = "ebpf-tui/builds/1"


@dataclass(frozen=True, slots=True)
class Built:
    """One build of an object. `at` is Unix time; `insns` is None when the object could not be read."""

    at: float
    seconds: float
    size: int
    insns: int | None


def built(path: Path, seconds: float, most: int = BIGGEST) -> Built | None:
    """Look at an object that was built just now; None when it is not there. Reads the disk.

    Of one that is larger than `most` bytes, the instructions are not counted.
    """
    try:
        size = path.stat().st_size
    except OSError:
        return None
    try:
        content = read_content(path, most)
        insns: int | None = sum(program.insns for program in read_object(path, content).programs)
    except (BuildgenError, OSError):
        insns = None
    return Built(time.time(), round(seconds, 3), size, insns)


def read_history() -> dict[str, tuple[Built, ...]]:
    """Return the builds of each object (by its absolute path), the latest last. Reads the disk."""
    owner = invoking_user()
    with acting_for(owner):
        return _read(cache_directory(owner) / "history" / "builds.json")


def remember(new: Mapping[str, Built]) -> None:
    """Add these builds. Another session may do the same meanwhile: neither loses any."""
    if not new:
        return
    owner = invoking_user()
    try:
        with acting_for(owner):
            directory = private_directory(cache_directory(owner) / "history", owner)
            with os.fdopen(append(directory / ".lock"), "ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                known = _read(directory / "builds.json")
                for path, one in new.items():
                    known[path] = (*known.pop(path, ()), one)[-KEPT:]  # last in the file: built last
                _write(directory / "builds.json", dict(list(known.items())[-MOST_OBJECTS:]))
    except OSError:
        return


def _write(file: Path, known: Mapping[str, tuple[Built, ...]]) -> None:
    objects = {path: [astuple(one) for one in builds] for path, builds in known.items()}
    write_file(file, json.dumps({"schema": _SCHEMA, "objects": objects}).encode())


def _read(file: Path) -> dict[str, tuple[Built, ...]]:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return {}
    with open(descriptor, "rb") as opened:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _BIGGEST:
            return {}
        try:
            data = json.loads(opened.read(_BIGGEST))
            objects = data["objects"] if data["schema"] == _SCHEMA else {}
            return {path: tuple(_checked(one) for one in builds) for path, builds in objects.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {}


def _checked(one: Any) -> Built:
    """Return what the file says of one build. Raises ValueError or TypeError for anything else."""
    at, seconds, size, insns = one
    if not (0 <= float(at) < 1 << 40 and 0 <= float(seconds) < 1 << 40):
        raise ValueError("no time")
    if not all(type(count) is int and 0 <= count < 1 << 62 for count in (size, insns or 0)):
        raise ValueError("no count")
    return Built(float(at), float(seconds), size, insns)
