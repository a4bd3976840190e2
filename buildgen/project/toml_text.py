"""Reading a TOML file so that a mistake in it can be told with its line."""

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
"""More than any ebpf.toml that a person wrote."""
_LINE_IN_MESSAGE = re.compile(r" \(at line (\d+), column \d+\)$")
_HEAD = re.compile(r"\s*\[\[?\s*((?:\"[^\"]*\"|'[^']*'|[^\]\"'])+?)\s*\]")
_KEY = re.compile(r"\s*((?:\"[^\"]*\"|'[^']*'|[\w.\s-])+?)\s*=", re.ASCII)
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s.\"']+)")


def read_toml(file: Path) -> tuple[str, dict[str, Any]]:
    """Return the text of `file` and what it says. Raises ConfigError, with the line where there is one."""
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
    except ValueError as error:  # Python reads no whole number of more than 4,300 digits
        raise ConfigError("a number in it has too many digits", file=file) from error


def line_of(text: str, table: Sequence[str], key: str | None) -> int | None:
    """Return the line of `key` in `table`, else that of the table's head; tomllib keeps no lines.

    A key may stand under its table's head, or with a dotted name under a head further out.
    """
    wanted = [*table, key] if key is not None else [*table]
    head: int | None = None
    here: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if section := _HEAD.match(line):
            path = here = _parts(section[1])
        elif found := _KEY.match(line):
            path = here + _parts(found[1])
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
    """Return the content of a regular file: a FIFO or a device in its place must not keep us."""
    fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as opened:
        content = opened.read(_BIGGEST + 1) if stat.S_ISREG(os.fstat(fd).st_mode) else None
    if content is None:
        raise ConfigError("is not a plain file", file=file)
    if len(content) > _BIGGEST:
        raise ConfigError(f"is bigger than {_BIGGEST} bytes", file=file)
    return content
