"""`ebpf-tui`: the group of subcommands. Without a subcommand it opens the screens.

Each subcommand is `command` in tui/cli/NAME.py and is imported only when it is called: importing
Textual takes 0.15 s, which `--json` must not cost.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from core.system.files import append
from core.system.host import LOCAL, Host
from core.text.safe import safe_text
from tui.home import settle_home
from tui.output import CommandError, ExitCode, no_working_directory
from tui.settings import Settings
from tui.terminal.leaving import leave

COMMANDS = {
    "headers": "kernel header directories, and the verdict on each candidate",
    "flags": "compiler flags, with the reason for each",
    "build": "build eBPF objects with ninja",
    "inspect": "the contents of an object file",
    "verify": "load each program of an object and show the verifier's verdict",
    "ps": "the processes of this host, and how each was resolved",
    "resolve": "one process: cache, then kernel maps, then procfs",
    "watch": "fork, exec, exit and cgroup events as they happen",
    "audit": "compare the cache with /proc and report drift by field",
    "cgroup": "container id and runtime from a cgroup path or file",
    "containers": "the containers of this host and their processes",
    "bpf": "the eBPF that is loaded on this host, and what keeps it loaded",
    "record": "record processes and events to a file, for replay on any machine",
    "serve": "the screens in a browser on this machine, read-only",
    "replay": "show a recording on the same screens, or as JSON",
    "config": "your own keys, theme and columns: show, validate, init, confirm",
    "probe": "reload the probe of the running sessions (probe reload)",
    "doctor": "what this host allows, and the command that enables the rest",
    "info": "versions and the paths of configuration, cache and recordings",
}
_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_LOGGER = logging.getLogger("ebpf_tui.cli")
_CHANGES = ("build", "verify", "record", "probe")
"""Commands that write files or load given objects into the kernel."""


class ReaderGone(Exception):
    """A broken pipe. Not an OSError: click would exit with 1 for that, and the contract is 141."""


class LazyGroup(click.Group):
    """Knows the names and one-line help texts of its commands; imports a command only to run it."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)  # prints --help
        except BrokenPipeError:
            raise ReaderGone from None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise ReaderGone from None

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"tui.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},  # commands inherit it
)
@click.option(
    "--host-root",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Examine the host with its root directory mounted here.",
)
@click.option("--no-probe", is_flag=True, help="Do not load the eBPF probe; use /proc only.")
@click.option(
    "--ask-runtimes",
    is_flag=True,
    help="Ask the sockets of Docker and podman for container names not found on disk.",
)
@click.option("--allow-signals", is_flag=True, help="Allow the screens to send signals (F9).")
@click.option(
    "--read-only", is_flag=True, help="Change nothing: no signals, builds, probe reloads or editors."
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw the screens with ASCII characters only.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal, to select text.")
@click.option(
    "--color/--no-color", default=None, help="Force colour on or off, overriding the terminal and NO_COLOR."
)
@click.option(
    "--log-file", type=click.Path(dir_okay=False, path_type=Path), help="Append a log to this file."
)
@click.version_option(package_name="ebpf-tui")
@click.pass_context
def cli(
    ctx: click.Context,
    *,
    host_root: Path | None,
    no_probe: bool,
    ask_runtimes: bool,
    allow_signals: bool,
    read_only: bool,
    ascii_only: bool,
    no_mouse: bool,
    color: bool | None,
    log_file: Path | None,
) -> None:
    """Build eBPF programs and watch the processes of this host.

    Without a command, ebpf-tui opens the screens. stdout is data, stderr is narration.
    """
    if log_file is not None:
        _open_log(log_file)
    if read_only:
        _refuse_changes(ctx.invoked_subcommand, allow_signals)
    host = Host(_absolute(host_root)) if host_root else LOCAL
    ctx.obj = Settings(
        host=host,
        probe=not no_probe,
        color=color,
        log_file=log_file,
        ask_runtimes=ask_runtimes,
        allow_signals=allow_signals,
        read_only=read_only,
        ascii=ascii_only,
        mouse=not no_mouse,
    )
    if ctx.invoked_subcommand is None:
        from tui.cli.open_screens import open_screens

        sys.exit(open_screens(ctx.obj))


def _refuse_changes(command: str | None, allow_signals: bool) -> None:
    """Raise CommandError for options and commands that contradict --read-only."""
    other = "--allow-signals" if allow_signals else f"`{command}`" if command in _CHANGES else ""
    if other:
        raise CommandError(f"--read-only cannot be combined with {other}", ExitCode.USAGE)


def _absolute(path: Path) -> Path:
    try:
        return path.resolve()
    except FileNotFoundError:
        raise CommandError(no_working_directory(), ExitCode.USAGE) from None


def _open_log(path: Path) -> None:
    try:
        stream = os.fdopen(append(path), "a", encoding="utf-8", errors="backslashreplace")
        logging.basicConfig(stream=stream, level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    except OSError as error:
        where = safe_text(str(path))
        raise CommandError(f"cannot write the log {where}: {error.strerror}", ExitCode.USAGE) from None


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:
    # An exception, not os._exit: `finally` blocks close ring buffers and kill process groups.
    sys.exit(int(ExitCode.TERMINATED))


def main() -> NoReturn:
    """Entry point. Exits with an ExitCode; nothing that a user can cause ends in a traceback."""
    signal.signal(signal.SIGTERM, _terminated)
    _prepare_streams()
    settle_home()
    code: int
    try:
        result = cli.main(standalone_mode=False)
        sys.stdout.flush()
        code = result if isinstance(result, int) else ExitCode.OK
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else ExitCode.OK
    except CommandError as error:
        _say(error.format_message())
        code = error.code
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "ebpf-tui"
        _say(f"{error.format_message()} Try '{where} --help'.")
        code = ExitCode.USAGE
    except (click.exceptions.Abort, KeyboardInterrupt):
        code = ExitCode.INTERRUPTED
    except (ReaderGone, BrokenPipeError):
        _discard_output()
        code = ExitCode.READER_GONE
    except OSError as error:
        code = _refused(error)
    leave(int(code))


def _refused(error: OSError) -> int:
    """Report an unexpected OSError in one line and return the exit code.

    The traceback goes to the log, if one is open.
    """
    _LOGGER.error("unexpected OSError", exc_info=error)
    where = f"{safe_text(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
    if not where and error.errno in _CANNOT_WRITE:
        _discard_output()
        where = "cannot write: "
    elif not where and isinstance(error, FileNotFoundError) and not _has_working_directory():
        _say(no_working_directory())
        return ExitCode.USAGE
    _say(f"{where}{error.strerror or safe_text(str(error))}")
    return ExitCode.FAILED


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # stderr may be full too
        click.echo(f"ebpf-tui: {text}", err=True)


def _has_working_directory() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _prepare_streams() -> None:
    """Open closed standard streams on /dev/null, and escape characters that the locale cannot encode.

    A closed descriptor 0, 1 or 2 would otherwise be reused by the next file that is opened.
    """
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        stream = getattr(sys, name)
        if stream is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - stays open until exit
        elif mode == "w":
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    # Python flushes once more at exit; without this it would report the broken pipe again.
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.__stdout__.fileno() if sys.__stdout__ else 1)
    os.close(null)


if __name__ == "__main__":
    main()
