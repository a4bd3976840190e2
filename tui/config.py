"""The user's configuration: `config.toml` in the XDG configuration directory. It is read, never written.

[keys]                       # every command's id, see docs/keys.md
"processes.filter" = "/, f4"
"tree.follow" = ["F", "ctrl+t"]

[view]
theme = "light"              # dark, light, colour-blind, mono
columns = ["pid", "user", "cpu", "memory"]
ascii = false
mouse = true
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from platformdirs import user_config_path

from core.text.safe import safe_text
from tui.keymap import COMMANDS, clash, key_name
from tui.output import CommandError, ExitCode

THEMES = ("dark", "light", "colour-blind", "mono")
COLUMNS = ("pid", "user", "state", "threads", "tty", "cpu", "memory", "age", "container")

_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Config:
    """`keys`: command id -> Textual's names of its keys, comma-separated. `columns` empty: all that fit."""

    keys: dict[str, str] = field(default_factory=dict)
    theme: str = "dark"
    columns: tuple[str, ...] = ()
    ascii: bool = False
    mouse: bool = True


class UnreadableConfig(CommandError):
    """The configuration file may exist, but permission to read it is denied."""


def config_path() -> Path:
    """Return the path of the configuration file, whether or not it exists."""
    return user_config_path("ebpf-tui") / "config.toml"


def load_config(path: Path) -> Config:
    """Read the configuration; a missing file means the defaults.

    Raises UnreadableConfig, or CommandError (exit 2) with one line: file, line, key and the valid values.
    """
    try:
        with path.open("rb") as file:
            text = file.read(_LIMIT).decode()
    except (FileNotFoundError, NotADirectoryError):
        return Config()
    except PermissionError as error:
        raise UnreadableConfig(f"{safe_text(str(path))}: {error.strerror}", ExitCode.USAGE) from None
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise CommandError(f"{safe_text(str(path))}: {why}", ExitCode.USAGE) from None
    try:
        tables = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise CommandError(f"{safe_text(str(path))}: {safe_text(str(error))}", ExitCode.USAGE) from None
    return _Reader(path, text).config(tables)


class _Reader:
    """Turns TOML tables into a Config; an error names the line of the wrong key."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def config(self, tables: dict[str, Any]) -> Config:
        self._only(tables, ("keys", "view"), "")
        view = self._table(tables, "view")
        self._only(view, ("theme", "columns", "ascii", "mouse"), "view.")
        default = Config()
        columns = view.get("columns", [])
        if not isinstance(columns, list):
            self._fail("view.columns", f"must be a list of {_any_of(COLUMNS)}")
        for column in columns:
            self._one_of("view.columns", column, COLUMNS)
        return Config(
            keys=self._keys(self._table(tables, "keys")),
            theme=self._one_of("view.theme", view.get("theme", default.theme), THEMES),
            columns=tuple(columns),
            ascii=self._switch("view.ascii", view.get("ascii", default.ascii)),
            mouse=self._switch("view.mouse", view.get("mouse", default.mouse)),
        )

    def _keys(self, table: dict[str, Any]) -> dict[str, str]:
        """Read [keys]; an unquoted `tree.follow = "F"` arrives as a nested table."""
        ids = {command.id for command in COMMANDS}
        keys: dict[str, str] = {}
        for first, value in table.items():
            inner = value if isinstance(value, dict) else {"": value}
            for second, chosen in inner.items():
                name = f"{first}.{second}" if second else first
                if name not in ids:
                    self._fail(name, f"is not a command; `ebpf-tui config show` lists all{_near(name, ids)}")
                keys[name] = self._key_names(name, chosen)
        if (clashing := clash(keys)) is not None:
            key, name, other = clashing
            self._fail(name, f"the key {key} is also bound to {other}; change one of them")
        return keys

    def _key_names(self, name: str, chosen: object) -> str:
        texts = chosen.split(",") if isinstance(chosen, str) else chosen
        if not isinstance(texts, list) or not texts:
            self._fail(name, 'needs a key or a list of keys, as in "F" or ["F", "ctrl+t"]')
        names = []
        for text in texts:
            key = key_name(text.strip()) if isinstance(text, str) else None
            if key is None:
                self._fail(
                    name,
                    f"{safe_text(repr(text), 40)} is not a key; valid keys are e.g. F, /, f4, ctrl+t, space",
                )
            names.append(key)
        return ",".join(names)

    def _table(self, tables: dict[str, Any], name: str) -> dict[str, Any]:
        table = tables.get(name, {})
        if not isinstance(table, dict):
            self._fail(name, f"must be a table: [{name}]")
        return table

    def _only(self, table: dict[str, Any], legal: tuple[str, ...], prefix: str) -> None:
        for name in table:
            if name not in legal:
                self._fail(f"{prefix}{name}", f"is not a valid key; valid keys are {', '.join(legal)}")

    def _one_of(self, name: str, value: object, legal: tuple[str, ...]) -> str:
        if not isinstance(value, str) or value not in legal:
            self._fail(name, f"{safe_text(repr(value), 40)} is not one of {_any_of(legal)}")
        return value

    def _switch(self, name: str, value: object) -> bool:
        if not isinstance(value, bool):
            self._fail(name, "must be true or false")
        return value

    def _fail(self, name: str, what: str) -> NoReturn:
        line = self._line_of(name)
        where = safe_text(str(self._path)) + (f":{line}" if line else "")
        raise CommandError(f"{where}: {safe_text(name, 80)}: {what}", ExitCode.USAGE)

    def _line_of(self, name: str) -> int | None:
        """Return the first line that names the last part of a key; tomllib reports no line numbers."""
        last = re.escape(name.removeprefix("view.").rpartition(".")[2])
        pattern = re.compile(rf"\s*\[?[\w\"'.-]*\b{last}[\"']?\s*[]=.]")
        return next((n for n, line in enumerate(self._lines, 1) if pattern.match(line)), None)


def _any_of(words: tuple[str, ...]) -> str:
    return ", ".join(words)


def _near(name: str, ids: set[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, sorted(ids), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
