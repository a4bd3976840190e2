"""Whether the programs that a project's files name (compiler, launcher, flags) may run, and as which user.

The user's own project may be built. A project that another user could have written is built only after the
user has confirmed its directory, like git's safe.directory: the list is in the user's configuration, never in
the project. Viewing a project runs nothing from it in either case.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildgen.errors import ConfigError
from buildgen.owner import Owner, acting_for, builder_of, config_directory, invoking_user, person
from buildgen.project.project import Project
from core.system.files import changed_by_others, not_only, passed_through, read_regular, write_file
from core.text.safe import safe_text

_BIGGEST = 1024 * 1024
_HEAD = "# Directories that may be built although others can write to them; one absolute path per line.\n"


@dataclass(frozen=True, slots=True)
class Trust:
    """The judgement of one project. `reason` says why others can change it; empty if none can.

    `directory` is what the user confirms; `builder` is the user that tools run as, None for our own.
    """

    directory: Path
    reason: str = ""
    confirmed: bool = False
    builder: Owner | None = None

    @property
    def may_build(self) -> bool:
        return not self.reason or self.confirmed

    @property
    def runs_as(self) -> str:
        """The user that tools run as, as a text for people."""
        if self.builder is None:
            return "you" if os.geteuid() else "root"
        return self.builder.name or f"uid {self.builder.uid}"

    @property
    def refusal(self) -> str:
        """One line: why the project does not run, and the command that changes this."""
        command = f"ebpf-tui config confirm {shlex.quote(str(self.directory))}"
        return f"{self.reason}, so nothing in it runs until you confirm it: {command}"


def judge(project: Project) -> Trust:
    """Check who could change a project: its directory and all parents, its files and what they name."""
    directory = Path(os.path.realpath(project.root))
    uid = person()
    reason = next(_reasons(project, uid), "")
    confirmed = bool(reason) and str(directory) in confirmed_directories()
    return Trust(directory, reason, confirmed, builder_of(directory))


def _reasons(project: Project, uid: int) -> Iterator[str]:
    """Yield the reasons why users other than `uid` could change the project."""
    seen: set[tuple[str, bool]] = set()
    for path in dict.fromkeys(_files(project)):
        steps: list[tuple[str, os.stat_result]] = []
        with contextlib.suppress(OSError):  # a missing file is reported where it is needed
            steps.extend(passed_through(path))
        for number, (step, about) in enumerate(steps):
            on_the_way = number < len(steps) - 1
            if (step, on_the_way) in seen:
                continue
            seen.add((step, on_the_way))
            if problem := changed_by_others(uid, step, about, on_the_way=on_the_way):
                yield problem


def _files(project: Project) -> Iterator[str]:
    """Yield the paths that a build reads or runs because the project's files name them."""
    yield str(project.root)
    if project.file is not None:
        yield str(project.file)
    yield from (program for program in (project.clang, project.launcher) if program and "/" in program)
    yield from (str(place) for place in project.include)
    for spec in project.objects:
        yield str(spec.source)
        yield from _named_by(spec.flags)


def _named_by(flags: tuple[str, ...]) -> Iterator[str]:
    """Yield the absolute paths in compiler flags: plugins, response files, headers."""
    for flag in flags:
        if path := re.search(r"(?:^|[=,@]|^-[A-Za-z]+)(/.*)$", flag):
            yield path[1]


def chooses_of_the_system(clang: str | None) -> bool:
    """Return whether `clang` of an ebpf.toml only selects an LLVM of this machine, or is not set."""
    return clang is None or re.fullmatch(r"\d+|clang(-\d+)?", clang) is not None


def what_runs(project: Project, source: Path | None = None) -> tuple[str, ...]:
    """Return, one per line and safe to show, the programs and flags that the project's files add to a build.

    `source`: only for the objects built from it.
    """
    where = project.file or project.root
    lines = []
    if project.clang is not None:
        lines.append(f"clang: {project.clang}")
    if project.launcher is not None:
        lines.append(f"launcher: {project.launcher}")
    objects = [spec for spec in project.objects if source in (None, spec.source)]
    lines += [f"flags of {spec.name}: {shlex.join(spec.flags)}" for spec in objects if spec.flags]
    return tuple(safe_text(f"{where}: {line}") for line in lines)


# --- confirmed directories -------------------------------------------------------------------------


def confirmed_file() -> Path:
    """Return the path of the user's list of confirmed directories, which may not exist."""
    return config_directory(invoking_user()) / "confirmed"


def confirmed_directories() -> frozenset[str]:
    """Return the directories that the user has confirmed; none if others could have written the list."""
    owner, file = invoking_user(), confirmed_file()
    try:
        with acting_for(owner):
            content = read_regular(file, _BIGGEST)
            if content is None or not_only(person(), file):
                return frozenset()
    except OSError:
        return frozenset()
    return frozenset(line for line in os.fsdecode(content).split("\n") if line.startswith("/"))


def confirm(directory: Path, *, remove: bool = False) -> None:
    """Confirm the project in `directory` on behalf of the user, or with `remove` withdraw that.

    Raises ConfigError if it is not a directory, its name has a line break, or others can write to the list.
    """
    place = os.path.realpath(directory)
    if not remove and not os.path.isdir(place):
        raise ConfigError(f"{place} is not a directory")
    if "\n" in place:
        raise ConfigError(f"{place!r} has a line break in its name; rename it")
    owner, file = invoking_user(), confirmed_file()
    listed = set(confirmed_directories())
    new = listed - {place} if remove else listed | {place}
    try:
        with acting_for(owner):
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if problem := not_only(person(), file.parent):
                raise ConfigError(f"{file} is not written: {problem}")
            write_file(file, os.fsencode(_HEAD + "".join(f"{line}\n" for line in sorted(new))))
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
