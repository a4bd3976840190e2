"""Writes docs/keys.md from the registry of commands. tests/tui/test_config.py compares the two."""

from __future__ import annotations

from pathlib import Path

from tui.config import COLUMNS, THEMES
from tui.keymap import SCOPES, commands

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs/keys.md"
_HEAD = f"""\
# Keys, and your own

<!-- Written by `python tools/keys_page.py` from the registry of commands (tui/keymap.py). -->

`?` lists the keys that work where you are. Every command has an id, and by that id it can have other keys, in
`config.toml` (`ebpf-tui info` says where; `ebpf-tui config init` writes one with all defaults):

```toml
[keys]
"processes.filter" = "/, f4"          # in place of the keys below
"tree.follow" = ["F", "ctrl+t"]

[view]
theme = "colour-blind"                # {", ".join(THEMES)}
columns = ["pid", "cpu", "memory"]    # {", ".join(COLUMNS)}
ascii = false                         # as --ascii
mouse = true                          # false: as --no-mouse
```

A key is a character (`F`, `/`, `+`), or a name: `enter`, `space`, `tab`, `comma`, `up`, `pageup`, `f4`,
`ctrl+t`, `alt+x`. Two commands that are live at the same time cannot have the same key, and an id that is not
below is an error: `ebpf-tui config validate` says so in one line, and so does the program when it starts
(exit code 2). `ebpf-tui config show` prints what holds. The program reads the file and never writes it.
"""


def page() -> str:
    """Return what docs/keys.md has to say."""
    parts = [_HEAD]
    for scope, title in SCOPES.items():
        rows = [f"| {_keys(one.shown_keys)} | `{one.id}` | {one.help} |" for one in commands([scope])]
        if rows:
            parts.append("\n".join([f"## {title}", "", "| keys | id | |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _keys(shown: str) -> str:
    return " ".join(f"`{key}`" for key in shown.split(" "))


if __name__ == "__main__":
    PAGE.write_text(page())
