"""What every subcommand writes and how it ends: stdout is data, stderr is narration."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Any

import click


class ExitCode(IntEnum):
    """Exit codes are an interface; docs/cli.md lists them."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_PERMITTED = 3
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


class CommandError(click.ClickException):
    """One clear line (what, where, what to do) and the exit code that goes with it."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code

    def show(self, file: Any = None) -> None:
        click.echo(f"ebpf-tui: {self.format_message()}", err=True)


def emit(name: str, value: dict[str, Any]) -> None:
    """Write one JSON object as one line, with the schema `ebpf-tui/NAME/1` first.

    Everything that is not ASCII is escaped, so that no byte from outside can steer a terminal;
    bytes that are no UTF-8 stay exact as lone surrogates (see core.text.safe.json_text).
    """
    sys.stdout.write(json.dumps({"schema": f"ebpf-tui/{name}/1", **value}) + "\n")
    sys.stdout.flush()


def narrate(text: str) -> None:
    """Tell the person something that is not data. `text` is safe already."""
    click.echo(text, err=True)


def no_working_directory() -> str:
    """Return what to say when a relative path was given and the directory that we are in was deleted."""
    return "the current directory was deleted: change to another one, or give absolute paths"
