"""Asks buildgen.verifier.child, in a process of its own, what becomes of each program of an object.

The process reads foreign bytes in C, so what it says is not believed to be well-formed, and whatever happens
to it is an answer: it may crash, be killed, take for ever, or say too much.
"""

from __future__ import annotations

import os
import resource
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from buildgen.errors import ObjectError, VerifyError
from buildgen.objects.bounded_run import Ran, run
from buildgen.verifier.child import ADMIN, NO_LIBBPF
from core.system.distribution import install_hint
from core.system.interpreter import NEUTRAL, python_module
from core.text.safe import safe_text

PATIENCE = 120.0
"""Seconds for all programs of an object. The verifier gives up by itself after a million instructions."""
MOST_MAP_MEMORY = 128 * 1024 * 1024
"""Bytes of kernel memory that the maps of an object may take while it is checked."""
MOST_MAPS = 2048
_MOST_ANSWERS = 128 * 1024 * 1024
_MOST_MEMORY = 8 << 30
"""Address space of the process: an arena takes 4 GiB of it and no memory."""
_MOST_CRASHES = 16
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH")
_STOPPING = frozenset({signal.SIGKILL, signal.SIGXCPU, signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that do not come from what is in the object: the next program would meet the same."""


class Answer(msgspec.Struct, frozen=True):
    """What became of one program. `ended`: why the verifier said nothing of it, empty when it did.

    `fixups`: what was set for the check that the object leaves to its loader.
    """

    name: str = ""
    errno: int = 0
    brief: str = ""
    log: str = ""
    said: tuple[str, ...] = ()
    ended: str = ""
    fixups: tuple[str, ...] = ()


class Checked(msgspec.Struct, frozen=True):
    """The answers in the order of the programs. `whole`: bytes that the maps take when the object is loaded.

    `shrunk` are the maps that had fewer entries in the check. `unopened` is what libbpf said of an object
    that it does not open: nothing was asked then.
    """

    answers: tuple[Answer, ...]
    whole: int
    shrunk: tuple[str, ...]
    unopened: tuple[str, ...] = ()


class _Line(msgspec.Struct, frozen=True):
    """One line of the process: it does not open the object, or what is in it, or what became of a program."""

    open: int | None = None
    programs: tuple[str, ...] | None = None
    maps: int = 0
    whole: int = 0
    checked: int = 0
    shrunk: tuple[str, ...] = ()
    number: int = -1
    errno: int = 0
    brief: str = ""
    log: str = ""
    said: tuple[str, ...] = ()
    fixups: tuple[str, ...] = ()


def check(path: Path, content: bytes, admin: bool) -> Checked:
    """Load each program of the object `content` alone; `path` is what it is called.

    `admin`: some program needs CAP_SYS_ADMIN to be loaded; all other rights are given up anyway.
    Raises ObjectError when libbpf fails to read it, VerifyError when nothing can be asked here.
    """
    deadline = time.monotonic() + PATIENCE
    opened: _Line | None = None
    answers: list[Answer] = []
    crashes = 0
    while opened is None or len(answers) < len(opened.programs or ()):
        lines, ran = _run(path, content, len(answers), deadline, admin)
        opened = _opened(path, lines[:1], ran)
        if opened.open is not None:
            return Checked((), 0, (), opened.said or (os.strerror(opened.open),))
        names = [safe_text(name) for name in opened.programs or ()]
        answers += _answers(lines[1:], names, len(answers))
        if (refused := _refused(opened)) or len(answers) == len(names):
            answers += [Answer(name=name, ended=refused) for name in names[len(answers) :]]
            break
        why, goes_on = _ending(ran)
        crashes += 1
        answers.append(Answer(name=names[len(answers)], ended=why))
        if not goes_on or crashes == _MOST_CRASHES:
            rest = "not asked, as the check had ended before"
            answers += [Answer(name=name, ended=rest) for name in names[len(answers) :]]
    shrunk = tuple(safe_text(name, 64) for name in opened.shrunk)
    return Checked(tuple(answers), opened.whole, shrunk)


def _opened(path: Path, lines: list[_Line], ran: Ran) -> _Line:
    """Return the first line, which says what is in the object."""
    if not lines:
        if ran.code == NO_LIBBPF:
            raise VerifyError(f"libbpf.so.1 is not here: {install_hint('libbpf runtime')}")
        why = _ending(ran)[0].removesuffix(" loading it")
        said = safe_text(ran.err.strip().rpartition(b"\n")[2], 200)
        raise ObjectError(path, f"{why} opening it{f' ({said})' if said else ''}")
    return lines[0]


def _refused(opened: _Line) -> str:
    """Return why no program is loaded at all, or nothing."""
    if opened.maps > MOST_MAPS:
        return f"not asked: it has {opened.maps} maps; a check makes at most {MOST_MAPS}"
    if opened.checked > MOST_MAP_MEMORY:
        takes, most = _mib(opened.checked), _mib(MOST_MAP_MEMORY)
        return f"not asked: its maps take {takes} of kernel memory here; a check makes at most {most} of maps"
    return ""


def _mib(size: int) -> str:
    return f"{max(1, size >> 20):,} MiB"


def _answers(lines: list[_Line], names: list[str], first: int) -> Iterator[Answer]:
    for number, line in enumerate(lines, first):
        if line.number != number or number >= len(names):
            raise VerifyError("the process that asks libbpf does not answer what it was asked")
        yield Answer(names[number], line.errno, line.brief, line.log, line.said, fixups=line.fixups)


def _run(path: Path, content: bytes, first: int, deadline: float, admin: bool) -> tuple[list[_Line], Ran]:
    """Return what the process said, and how it ended."""
    left = max(0.1, deadline - time.monotonic())
    arguments = [
        str(first),
        str(int(left) + 2),
        str(MOST_MAP_MEMORY),
        str(MOST_MAPS),
        *([ADMIN] if admin else []),
    ]
    environment = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    file = os.memfd_create("object")
    try:
        with open(file, "wb", closefd=False) as writing:
            writing.write(content)
        ran = run(
            python_module("buildgen.verifier.child", *arguments),
            identity=None,  # it loads programs, and gives up all other rights itself
            seconds=left,
            most=_MOST_ANSWERS,
            limits={resource.RLIMIT_AS: _MOST_MEMORY},
            stdin=file,
            cwd=NEUTRAL,
            env=environment,
        )
    except OSError as error:
        raise VerifyError(f"{error}; libbpf is asked in a process of its own") from error
    finally:
        os.close(file)
    whole = ran.out[: ran.out.rfind(b"\n") + 1].replace(b"/proc/self/fd/0", _inside_json(path))
    try:
        return [msgspec.json.decode(line, type=_Line) for line in whole.splitlines()], ran
    except (msgspec.DecodeError, RecursionError):
        raise VerifyError("the process that asks libbpf does not answer in its own words") from None


def _inside_json(path: Path) -> bytes:
    """Return the object's name as it is written inside of a JSON string."""
    return msgspec.json.encode(safe_text(path.name, 200))[1:-1]


def _ending(ran: Ran) -> tuple[str, bool]:
    """Return why a program has no answer, and whether it makes sense to ask about the next."""
    if ran.late:
        kept = "" if ran.code is not None else ", and the kernel does not let go of it"
        return f"the verifier was still busy after {PATIENCE:.0f} s{kept}", False
    if ran.cut:
        return f"libbpf and the verifier said more than {_MOST_ANSWERS >> 20} MiB", False
    code = 0 if ran.code is None else ran.code
    if code == -signal.SIGKILL:
        return "the check was killed (SIGKILL): out of memory, or the kernel itself failed (see dmesg)", False
    if code < 0:
        name = signal.Signals(-code).name
        if -code in _STOPPING:
            return f"the check was ended from outside ({name})", False
        return f"libbpf crashed ({name}) loading it", True
    return f"libbpf {f'ended with {code}' if code else 'stopped'} loading it", True


# --- what libbpf says ------------------------------------------------------------------------------

_BORING = ("BPF program load failed", "failed to load", "-- BEGIN", "-- END")


def first_said(said: tuple[str, ...]) -> str:
    """Return what libbpf said first that says something, in one line."""
    lines = [line.rstrip() for line in said if line.strip() and not any(word in line for word in _BORING)]
    return "; ".join(safe_text(line.removeprefix("libbpf: "), 300) for line in lines[:2])
