"""Reads a TOML file such that an error can name the line of the mistake."""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from buildgen.errors import ConfigError

_BIGGEST = 1024 * 1024
"""More than any hand-written ebpf.toml."""
_LINE_IN_MESSAGE = re.compile(r" \(at line (\d+), column \d+\)$")
_HEAD = re.compile(r"\s*\[\[?\s*((?:\"[^\"]*\"|'[^']*'|[^\]\"'])+?)\s*\]")
_KEY = re.compile(r"\s*((?:\"[^\"]*\"|'[^']*'|[\w.\s-])+?)\s*=", re.ASCII)
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s.\"']+)")


def read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of `file` and its tables. Raises ConfigError, with the line if it is known."""
    try:
        text = _read(file).decode("utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=file) from error
    except UnicodeDecodeError as error:
        raise ConfigError("is not UTF-8 text", file=file) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        message = str(error)
        line = None
        if at := _LINE_IN_MESSAGE.search(message):
            line = int(at[1])
        elif message.endswith("(at end of document)"):
            line = len(text.splitlines())
        raise ConfigError(_LINE_IN_MESSAGE.sub("", message), file=file, line=line) from error
    except ValueError as error:  # Python parses no integer of more than 4,300 digits
        raise ConfigError("contains a number with too many digits", file=file) from error


def line_of(text: str, table: Sequence[str], key: str | None) -> int | None:
    """Return the line of `key` in `table`, else of the table's header; tomllib reports no line numbers.

    A key may follow its table's header, or have a dotted name below the header of an outer table.
    """
    wanted = [*table, key] if key is not None else [*table]
    head: int | None = None
    section_path: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if section := _HEAD.match(line):
            path = section_path = _parts(section[1])
        elif assignment := _KEY.match(line):
            path = section_path + _parts(assignment[1])
        else:
            continue
        if path[: len(wanted)] == wanted:
            return number
        if head is None and table and path[: len(table)] == [*table]:
            head = number
    return head


def _parts(dotted: str) -> list[str]:
    return ["".join(part) for part in _PART.findall(dotted)]


def _read(file: Path) -> bytes:
    """Return the content of a regular file: a FIFO or a device in its place must not block us."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as opened:
        content = opened.read(_BIGGEST + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    if content is None:
        raise ConfigError("is not a regular file", file=file)
    if len(content) > _BIGGEST:
        raise ConfigError(f"is bigger than {_BIGGEST} bytes", file=file)
    return content
