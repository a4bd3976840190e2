"""Whether what a project's files name (compiler, launcher, flags) may run, and as whom.

A person's own project may be built. One that somebody else could have written is built only after the person
has confirmed its directory, as git has safe.directory: the list is kept in the person's own configuration,
never in the project. Looking at a project runs nothing of it in either case.
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
_HEAD = "# Directories that may be built although others can write to them; one absolute path a line.\n"


@dataclass(frozen=True, slots=True)
class Trust:
    """The judgement of one project. `reason` is why it is not the person's alone, empty when it is.

    `directory` is what a person confirms; `builder` is who its tools run as, None when that is us.
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
        """Who tools run as, for people."""
        if self.builder is None:
            return "you" if os.geteuid() else "root"
        return self.builder.name or f"uid {self.builder.uid}"

    @property
    def refusal(self) -> str:
        """One line: why nothing of it runs, and the command that changes this."""
        command = f"ebpf-tui config confirm {shlex.quote(str(self.directory))}"
        return f"{self.reason}, so nothing of it runs until you confirm it: {command}"


def judge(project: Project) -> Trust:
    """Look at who could have written a project: its directory and all above it, its files, what they name."""
    directory = Path(os.path.realpath(project.root))
    uid = person()
    reason = next(_reasons(project, uid), "")
    confirmed = bool(reason) and str(directory) in confirmed_directories()
    return Trust(directory, reason, confirmed, builder_of(directory))


def _reasons(project: Project, uid: int) -> Iterator[str]:
    """Yield why others than this user could change the project."""
    seen: set[tuple[str, bool]] = set()
    for path in dict.fromkeys(_files(project)):
        steps: list[tuple[str, os.stat_result]] = []
        with contextlib.suppress(OSError):  # what is not there is told by whoever needs it
            steps.extend(passed_through(path))
        for number, (step, about) in enumerate(steps):
            on_the_way = number < len(steps) - 1
            if (step, on_the_way) in seen:
                continue
            seen.add((step, on_the_way))
            if problem := changed_by_others(uid, step, about, on_the_way=on_the_way):
                yield problem


def _files(project: Project) -> Iterator[str]:
    """Yield what a build reads or runs because the project's files name it."""
    yield str(project.root)
    if project.file is not None:
        yield str(project.file)
    yield from (program for program in (project.clang, project.launcher) if program and "/" in program)
    yield from (str(place) for place in project.include)
    for one in project.objects:
        yield str(one.source)
        yield from _named_by(one.flags)


def _named_by(flags: tuple[str, ...]) -> Iterator[str]:
    """Yield the absolute paths in compiler flags: plugins, response files, headers."""
    for flag in flags:
        if found := re.search(r"(?:^|[=,@]|^-[A-Za-z]+)(/.*)$", flag):
            yield found[1]


def chooses_of_the_system(clang: str | None) -> bool:
    """Return whether an ebpf.toml only says which LLVM of this machine it wants, or nothing."""
    return clang is None or re.fullmatch(r"\d+|clang(-\d+)?", clang) is not None


def what_runs(project: Project, source: Path | None = None) -> tuple[str, ...]:
    """Return, a line each and safe to show, what the project's files have a build run, and with what.

    `source`: only for the objects that are made of it.
    """
    where = project.file or project.root
    lines = []
    if project.clang is not None:
        lines.append(f"clang: {project.clang}")
    if project.launcher is not None:
        lines.append(f"launcher: {project.launcher}")
    objects = [one for one in project.objects if source in (None, one.source)]
    lines += [f"flags of {one.name}: {shlex.join(one.flags)}" for one in objects if one.flags]
    return tuple(safe_text(f"{where}: {line}") for line in lines)


# --- confirmed directories -------------------------------------------------------------------------


def confirmed_file() -> Path:
    """Return where the person's confirmed directories are kept; there need be no such file."""
    return config_directory(invoking_user()) / "confirmed"


def confirmed_directories() -> frozenset[str]:
    """Return the directories that the person has confirmed; none when others could have written the list."""
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
    """Let the project in `directory` be built from now on, or with `remove` no longer. The person's decision.

    Raises ConfigError: not a directory, no name for a line, or a list that others could write.
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
                raise ConfigError(f"{file} is not kept: {problem}")
            write_file(file, os.fsencode(_HEAD + "".join(f"{line}\n" for line in sorted(new))))
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}") from error
