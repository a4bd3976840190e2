"""The directory that ninja works in: what is written there, and what of it is out of date."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from buildgen.ninja_file import TOOLCHAIN_STAMP
from buildgen.ninja_output import unquoted
from buildgen.owner import Owner, acting_for, environment, identity, invoking_user
from buildgen.plan import BuildPlan, State, Target

_MARK = "@@edge "
"""NINJA_STATUS of a dry run, which executes nothing: no tool can print it."""


@contextlib.contextmanager
def prepared(plan: BuildPlan, owner: Owner | None) -> Iterator[None]:
    """Write what ninja needs into the plan's out, and hold the directory for this build alone.

    Raises OSError, also BlockingIOError when another build holds it.
    """
    with acting_for(owner):
        plan.out.mkdir(parents=True, exist_ok=True)
        lock = os.open(plan.out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(
                error.errno, "another build is using this directory", str(plan.out)
            ) from error
        if plan.ninja_text:
            with acting_for(owner):
                _write_if_changed(plan.out / TOOLCHAIN_STAMP, _stamp(plan))
                new = _write_if_changed(plan.ninja_file, plan.ninja_text.encode("utf-8", "surrogateescape"))
            if new:
                _compile_commands(plan, owner)
        yield
    finally:
        os.close(lock)


def _stamp(plan: BuildPlan) -> bytes:
    """Name the tools exactly: a package update replaces clang and leaves its path as it is."""
    if plan.toolchain is None:
        return b""
    lines = []
    for tool in (plan.toolchain.clang, plan.toolchain.llc, plan.toolchain.strip):
        real = os.path.realpath(tool.path)
        found = os.stat(real)
        lines.append(f"{real} {tool.version} {found.st_size} {found.st_mtime_ns}\n")
    return "".join(lines).encode("utf-8", "surrogateescape")


def _compile_commands(plan: BuildPlan, owner: Owner | None) -> None:
    """Write compile_commands.json beside build.ninja, for editors; without it the build is as good."""
    made = subprocess.run(
        [str(plan.ninja), "-f", plan.ninja_file.name, "-t", "compdb", "ebpfclang", "ebpfcoreclang"],
        cwd=plan.out,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        **identity(owner),
    )
    if made.returncode == 0:
        with acting_for(owner):
            _write_if_changed(plan.out / "compile_commands.json", made.stdout)


def _write_if_changed(path: Path, content: bytes) -> bool:
    """Write a file as a whole, and only when it says something new: ninja looks at the time of some."""
    if _read(path) == content:
        return False
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(content)
    temporary.replace(path)
    return True


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def remove_partial(output: Path) -> None:
    """Delete what killed tools leave.

    That is our own `.o.tmp`, llvm-strip's `.o.tmp.temp-stream-<6 random>`, and
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

    Asks ninja without building or writing anything; 10 ms and a little for each thousand targets.
    """
    todo = objects_to_make(plan)

    def state(target: Target) -> State:
        if target.diagnosis is not None:
            return "blocked"
        if not target.output.exists():
            return "missing"
        return "stale" if target.label in todo else "fresh"

    return replace(plan, targets=tuple(replace(target, state=state(target)) for target in plan.targets))


def objects_to_make(plan: BuildPlan) -> set[str]:
    """Return the objects that ninja would make now, by a dry run of what is on disk."""
    labels = {target.label for target in plan.targets}
    if plan.ninja is None or not plan.ninja_text:
        return set()
    if not plan.out.is_dir() or _read(plan.out / TOOLCHAIN_STAMP) != _stamp(plan):
        return labels
    owner = invoking_user()
    dry = subprocess.run(
        [str(plan.ninja), "-n", "-k", "0", "-f", "/dev/stdin"],
        cwd=plan.out,
        env=environment(owner, NINJA_STATUS=_MARK, TERM="dumb"),
        input=plan.ninja_text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
        **identity(owner),
    )
    lines = dry.stdout.splitlines()
    return {
        unquoted(line.removeprefix(_MARK.encode())) for line in lines if line.startswith(_MARK.encode())
    } & labels
