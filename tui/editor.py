"""The user's editor, opened at a file and a line. It has the terminal until it exits."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from textual.app import SuspendNotSupported

from buildgen.owner import environment, identity, invoking_user
from core.text.safe import safe_text
from tui.base_app import BaseApp

_PLUS = frozenset({"vi", "vim", "nvim", "nano", "emacs", "emacsclient", "kak", "hx", "micro"})
"""Editors that accept `+LINE file`."""
_GOTO = frozenset({"code", "codium"})


class EditorError(Exception):
    """The editor cannot be started; the message is one line for the user."""


def editor_command(environ: Mapping[str, str], file: Path, line: int | None) -> list[str]:
    """Return the command that opens `file` (absolute) at `line` in $VISUAL, else in $EDITOR.

    The variable is split as a shell would. An editor whose line option is not in our lists gets only the
    file. Raises EditorError.
    """
    name = next((name for name in ("VISUAL", "EDITOR") if environ.get(name, "").strip()), None)
    if name is None:
        raise EditorError("No editor is set: export EDITOR=vim, for example, then restart")
    try:
        words = shlex.split(environ[name])
    except ValueError as error:
        raise EditorError(f"${name} cannot be parsed: {str(error).lower()}") from None
    if not words or not words[0]:
        raise EditorError(f"${name} does not name a program")
    program = os.path.expanduser(words[0])
    kind = os.path.basename(program)
    if line is None:
        at = [str(file)]
    elif kind in _PLUS:
        at = [f"+{line}", str(file)]
    elif kind in _GOTO:
        at = ["--goto", f"{file}:{line}", "--wait"]
    else:
        at = [f"{file}:{line}"] if kind == "subl" else [str(file)]
    return [program, *words[1:], *at]


def edit(app: BaseApp, file: Path, line: int | None) -> None:
    """Open the editor, wait until it exits and report any failure. Main thread only.

    Under sudo it runs as the invoking user, as the compilers do: root does not edit that user's files.
    """
    try:
        command = editor_command(os.environ, file, line)
        with app.suspend():  # an exception in here would leave the terminal suspended
            problem, ended_by = _in_front(command)
    except EditorError as error:
        problem, ended_by = str(error), None
    except SuspendNotSupported:
        problem, ended_by = "No terminal is available for an editor", None
    if ended_by is not None:
        os.kill(os.getpid(), ended_by)  # the signal was for us, and now we can exit cleanly
    if problem:
        app.notify(safe_text(problem), severity="error", timeout=10, markup=False)


def _exit_words(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {-code}"


def _in_front(command: list[str]) -> tuple[str, signal.Signals | None]:
    """Run a program in our process group; return the problem, and the signal that asked us to end."""
    owner = invoking_user()
    asked: list[signal.Signals] = []
    process: subprocess.Popen[bytes] | None = None

    def end(number: int, _frame: object) -> None:
        asked.append(signal.Signals(number))
        if process is not None:
            process.terminate()

    with _signals_of_a_waiting_parent(end):
        try:
            process = subprocess.Popen(command, env=environment(owner), **identity(owner))
        except OSError as error:
            return f"Editor {command[0]}: {error.strerror}", None
        if asked:
            process.terminate()
        code = process.wait()
    problem = "" if code == 0 else f"{os.path.basename(command[0])} ended with {_exit_words(code)}"
    return problem, (asked[0] if asked else None)


@contextmanager
def _signals_of_a_waiting_parent(end: object) -> Iterator[None]:
    """Ctrl+c reaches only the program in the foreground; ctrl+z stops both, and fg continues both.

    asyncio receives signals through a wakeup descriptor and would handle them after the editor exits, so the
    descriptor is removed until then.
    """
    handlers = {
        signal.SIGINT: lambda *_: None,  # not SIG_IGN: the program would inherit it
        signal.SIGQUIT: lambda *_: None,
        signal.SIGTSTP: signal.SIG_DFL,
        signal.SIGCONT: signal.SIG_DFL,
        signal.SIGTERM: end,
        signal.SIGHUP: end,
    }
    descriptor = signal.set_wakeup_fd(-1)
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}  # type: ignore[arg-type]
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)
