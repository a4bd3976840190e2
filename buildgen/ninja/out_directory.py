"""The directory that ninja works in, held by a descriptor and checked before anything writes there.

ninja, clang and llc open their output files by name and follow links, and a checkout may contain a `build`
directory of its own. So before anything runs there, every name that they write must be a regular file or
missing, in directories that only the builder can write to: then nobody can create a link later either.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from buildgen.plan.ninja_file import PREVIOUS, TOOLCHAIN_STAMP
from buildgen.plan.plan import BuildPlan
from core.system.files import changed_by_others, name_of, not_only, open_below

LOCK = ".lock"
COMPILE_COMMANDS = "compile_commands.json"
_AT_TOP = frozenset(
    (LOCK, TOOLCHAIN_STAMP, COMPILE_COMMANDS, "build.ninja", ".ninja_log", ".ninja_deps", ".ninja_lock",
     ".ninja_log.recompact", ".ninja_deps.recompact")
)  # fmt: skip
_KEPT = (".o", f".o{PREVIOUS}")
"""The latest object and the previous one may briefly be hard links; neither is written in place."""


@contextlib.contextmanager
def held(plan: BuildPlan, *, make: bool) -> Iterator[int]:
    """Yield a descriptor of the plan's out, in which only regular files of the builder will be written.

    `make`: create it and the directories of the targets if they are missing; the caller acts as the
    builder. Raises OSError, which names the path and the problem.
    """
    base, parts = _base(plan)
    with _opened(plan, base, parts, make=make) as out:
        _refuse_strange(plan, out, plan.out, at_top=True)
        for place in dict.fromkeys(os.path.dirname(target.label) for target in plan.targets):
            with (
                contextlib.suppress(FileNotFoundError),
                _opened(plan, plan.out, tuple(place.split("/")), make=make, start=out) as inner,
            ):
                _refuse_strange(plan, inner, plan.out / place, at_top=False)
        yield out


@contextlib.contextmanager
def _opened(
    plan: BuildPlan, base: Path, parts: tuple[str, ...], *, make: bool, start: int | None = None
) -> Iterator[int]:
    """Open the directory `parts` below `base`, which is already open as `start` or is opened by its name.

    No part may be a link, or a directory that others can write to.
    """
    directory = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if start is None else os.dup(start)
    try:
        place = base
        for part in parts:
            inner = open_below(directory, part, place, make=make)
            os.close(directory)
            directory, place = inner, place / part
            _refuse_owner(plan, str(place), os.fstat(directory))
        yield directory
    finally:
        os.close(directory)


def _base(plan: BuildPlan) -> tuple[Path, tuple[str, ...]]:
    """Return a directory that is safe to open by its name, and the parts of out below it."""
    out = Path(os.path.abspath(plan.out))
    if out.is_relative_to(plan.project.root):
        return plan.project.root, out.relative_to(plan.project.root).parts
    base = out
    while not os.path.lexists(base):
        base = base.parent
    is_out = base == out
    if problem := not_only(_uid(plan), base, as_parent=not is_out):
        raise PermissionError(errno.EPERM, f"other users could redirect the build ({problem})", str(out))
    return base, out.relative_to(base).parts


def _uid(plan: BuildPlan) -> int:
    return plan.trust.builder.uid if plan.trust.builder else os.geteuid()


def _refuse_owner(plan: BuildPlan, path: str, about: os.stat_result) -> None:
    """Raise PermissionError for a directory that others can write to, unless the project is confirmed."""
    problem = changed_by_others(_uid(plan), path, about, on_the_way=False)
    if problem and not plan.trust.confirmed:
        raise PermissionError(errno.EPERM, f"not safe to build in ({problem})", path)


def _refuse_strange(plan: BuildPlan, directory: int, path: Path, *, at_top: bool) -> None:
    """Raise OSError for the first name that is not a regular file; at the top of out only for our names."""
    owners = {0, _uid(plan), *([os.stat(plan.project.root).st_uid] if plan.trust.confirmed else [])}
    with os.scandir(directory) as entries:
        for entry in entries:
            if at_top and entry.name not in _AT_TOP:
                continue
            about = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(about.st_mode):
                problem = "is a symbolic link, which is not followed; remove it"
            elif not stat.S_ISREG(about.st_mode):
                problem = "is not a regular file; remove it"
            elif about.st_nlink > 1 and not entry.name.endswith(_KEPT):
                problem = "is a hard link to another file; remove it"
            elif about.st_uid not in owners:
                problem = f"belongs to {name_of(about.st_uid)}; remove it"
            else:
                continue
            raise PermissionError(errno.EPERM, problem, str(path / entry.name))
