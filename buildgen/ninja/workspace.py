"""The files that ninja needs in its directory, and the check which targets are out of date."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from buildgen.ninja.out_directory import COMPILE_COMMANDS, LOCK, held
from buildgen.ninja.output import unquoted
from buildgen.owner import acting_for, environment, identity
from buildgen.plan.ninja_file import TOOLCHAIN_STAMP
from buildgen.plan.plan import BuildPlan, Target, TargetStatus
from core.system.files import read_regular, write_whole
from core.text.safe import safe_text

_PATIENCE = 60.0
"""Seconds; ninja normally answers in milliseconds."""
_MARK = "@@edge "
"""NINJA_STATUS of a dry run, which executes no tool that could print the same."""


@contextlib.contextmanager
def prepared(plan: BuildPlan) -> Iterator[int]:
    """Write ninja's input files into the plan's out, and lock the directory for this build.

    Yields a descriptor of it. Raises OSError, in particular BlockingIOError if another build holds the lock.
    """
    with contextlib.ExitStack() as stack:
        with acting_for(plan.trust.builder):
            out = stack.enter_context(held(plan, make=True))
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            lock = os.open(LOCK, flags, 0o644, dir_fd=out)
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno, "another build is using this directory", str(plan.out)
            ) from error
        if plan.ninja_text:
            with acting_for(plan.trust.builder):
                _write_if_changed(out, TOOLCHAIN_STAMP, _stamp(plan))
                text = plan.ninja_text.encode("utf-8", "surrogateescape")
                new = _write_if_changed(out, plan.ninja_file.name, text)
            if new:
                _compile_commands(plan, out)
        yield out


def entered(out: int) -> str:
    """Return a path that a child process can use to change into an open directory."""
    return f"/proc/self/fd/{out}"


def _stamp(plan: BuildPlan) -> bytes:
    """Return the exact identity of the tools: a package update replaces clang but keeps its path."""
    if plan.toolchain is None:
        return b""
    lines = []
    for tool in (plan.toolchain.clang, plan.toolchain.llc, plan.toolchain.strip):
        real = os.path.realpath(tool.path)
        about = os.stat(real)
        lines.append(f"{real} {tool.version} {about.st_size} {about.st_mtime_ns}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _compile_commands(plan: BuildPlan, out: int) -> None:
    """Write compile_commands.json next to build.ninja, for editors; the build works without it."""
    owner = plan.trust.builder
    made = subprocess.run(
        [str(plan.ninja), "-f", plan.ninja_file.name, "-t", "compdb", "ebpfclang", "ebpfcoreclang"],
        cwd=entered(out),
        env=environment(owner, plan.project.root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_PATIENCE,
        check=False,
        **identity(owner),
    )
    if made.returncode == 0:
        with acting_for(owner):
            _write_if_changed(out, COMPILE_COMMANDS, made.stdout)


def _write_if_changed(out: int, name: str, content: bytes) -> bool:
    """Write a file atomically, but only if its content changes: ninja checks the mtime of some."""
    if read_regular(name, len(content) + 1, dir_fd=out) == content:
        return False
    write_whole(out, name, content)
    return True


def remove_partial(output: Path) -> None:
    """Delete the files that killed tools leave.

    These are our own `.o.tmp`, llvm-strip's `.o.tmp.temp-stream-<6 random>`, and
    clang's `<name>-<8 random>.bc.tmp`.
    """
    stem = glob.escape(str(output.with_suffix("")))
    for left in (
        f"{output}.tmp",
        *glob.glob(f"{stem}-????????.bc.tmp"),
        *glob.glob(f"{stem}-????????.o.tmp"),
        *glob.glob(f"{glob.escape(str(output))}.tmp.temp-stream-??????"),
    ):
        with contextlib.suppress(OSError):
            os.unlink(left)


def with_states(plan: BuildPlan) -> BuildPlan:
    """Return the plan with each target's state: `missing`, `stale`, `fresh` or `blocked`.

    The plan is returned unchanged if it is held back, and with a warning if its directory is not safe. Runs
    ninja without building or writing anything, which takes 10 ms plus a little for
    each thousand targets.
    """
    if plan.held_back:
        return plan
    try:
        with contextlib.suppress(FileNotFoundError), held(plan, make=False):
            pass
    except OSError as error:
        problem = safe_text(f"{error.filename or plan.out}: {error.strerror}")
        return replace(plan, warnings=(*plan.warnings, problem))
    todo = objects_to_make(plan)

    def state(target: Target) -> TargetStatus:
        if target.diagnosis is not None:
            return TargetStatus.BLOCKED
        if not target.output.exists():
            return TargetStatus.MISSING
        return TargetStatus.STALE if target.label in todo else TargetStatus.FRESH

    return replace(plan, targets=tuple(replace(target, state=state(target)) for target in plan.targets))


def objects_to_make(plan: BuildPlan) -> set[str]:
    """Return the objects that ninja would build now, according to a dry run."""
    labels = {target.label for target in plan.targets}
    if plan.ninja is None or not plan.ninja_text:
        return set()
    stamp = _stamp(plan)
    if not plan.out.is_dir() or read_regular(plan.out / TOOLCHAIN_STAMP, len(stamp) + 1) != stamp:
        return labels
    owner = plan.trust.builder
    try:
        dry = subprocess.run(
            [str(plan.ninja), "-n", "-k", "0", "-f", "/dev/stdin"],
            cwd=plan.out,
            env=environment(owner, plan.project.root, NINJA_STATUS=_MARK, TERM="dumb"),
            input=plan.ninja_text.encode("utf-8", "surrogateescape"),
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            **identity(owner),
        )
    except (OSError, subprocess.TimeoutExpired):
        return labels
    lines = dry.stdout.splitlines()
    return {
        unquoted(line.removeprefix(_MARK.encode())) for line in lines if line.startswith(_MARK.encode())
    } & labels
