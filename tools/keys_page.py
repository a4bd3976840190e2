"""Writes docs/keys.md from the command registry. tests/tui/test_config.py compares the two."""

from __future__ import annotations

from pathlib import Path

from tui.config import COLUMNS, THEMES
from tui.keymap import SCOPES, commands

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/keys.md"
_HEAD = f"""\
# Keys, and how to change them

<!-- Written by `python tools/keys_page.py` from the command registry (tui/keymap.py). -->

`?` lists the keys of the current screen. Every command has an id; to change its keys, set that id
in `config.toml` (`ebpf-tui info` prints its directory, `ebpf-tui config init` creates the file with
all defaults):

```toml
[keys]
"processes.filter" = "/, f4"          # replaces the keys below
"tree.follow" = ["F", "ctrl+t"]

[view]
theme = "colour-blind"                # {", ".join(THEMES)}
columns = ["pid", "cpu", "memory"]    # {", ".join(COLUMNS)}
ascii = false                         # like --ascii
mouse = true                          # false: like --no-mouse
```

A key is a character (`F`, `/`, `+`) or a name: `enter`, `space`, `tab`, `comma`, `up`, `pageup`,
`f4`, `ctrl+t`, `alt+x`. Two commands that work on the same screen cannot share a key, and an id that
is not listed below is an error. `ebpf-tui config validate` and the program itself report either in
one line (exit code 2). `ebpf-tui config show` prints the settings in effect. The program reads the
file and never writes it.
"""


def page() -> str:
    """Return the content of docs/keys.md."""
    parts = [_HEAD]
    for scope, title in SCOPES.items():
        rows = [
            f"| {_keys(command.shown_keys)} | `{command.id}` | {command.help} |"
            for command in commands([scope])
        ]
        if rows:
            parts.append("\n".join([f"## {title}", "", "| keys | id | |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _keys(shown: str) -> str:
    return " ".join(f"`{key}`" for key in shown.split(" "))


if __name__ == "__main__":
    PAGE.write_text(page())
