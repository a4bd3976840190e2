"""Output and exit codes of every subcommand: stdout is data, stderr is narration."""

from __future__ import annotations

import json
import sys
from enum import IntEnum
from typing import Any

import click


class ExitCode(IntEnum):
    """The exit codes of the contract in docs/cli.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_PERMITTED = 3
    INTERRUPTED = 130
    READER_GONE = 141
    TERMINATED = 143


class CommandError(click.ClickException):
    """An error as one clear line (what, where, what to do) with its exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code

    def show(self, file: Any = None) -> None:
        click.echo(f"ebpf-tui: {self.format_message()}", err=True)


def emit(name: str, value: dict[str, Any], version: int = 1) -> None:
    """Write one JSON object as one line, with the schema `ebpf-tui/NAME/VERSION` first.

    All non-ASCII characters are escaped, so no byte from outside can control the terminal. Bytes that
    are not valid UTF-8 are preserved as lone surrogates (see core.text.safe.json_text).
    """
    sys.stdout.write(json.dumps({"schema": f"ebpf-tui/{name}/{version}", **value}) + "\n")
    sys.stdout.flush()


def narrate(text: str) -> None:
    """Write a line to stderr that is not data. The caller has made `text` safe for a terminal."""
    click.echo(text, err=True)


def no_working_directory() -> str:
    """Return the message for a relative path when the current directory has been deleted."""
    return "the current directory was deleted: change to another one, or give absolute paths"
