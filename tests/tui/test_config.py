"""The person's own keys, theme and columns; what is wrong with them is one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from textual.color import Color
from textual.theme import Theme

from tests.places import ROOT
from tests.tui.harness import lines, opened, press, processes, text, tree
from tui.config import Config, load_config
from tui.keymap import COMMANDS, SCOPES, commands, key_name
from tui.output import CommandError
from tui.theme import ALL


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return load_config(path)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[keys]\n'tree.folow' = 'x'", 2, "did you mean tree.follow?"),
        ("[keys]\ntree.follow = 'q'", 2, "the key q is also bound to app.quit"),
        ("[keys]\n'tree.follow' = 'x'\n'tree.tag' = 'x'", 2, "the key x is also bound to tree.tag"),
        ("[keys]\n'tree.follow' = ['F', 'zork']", 2, "'zork' is not a key"),
        ("[keys]\n'tree.follow' = ''", 2, "'' is not a key"),
        ("[keys]\n'tree.follow' = []", 2, "needs a key"),
        ("[keys]\n'tree.follow' = 3", 2, "needs a key"),
        ("[view]\n\ntheme = 'pink\\u001b[2J'", 3, "is not one of dark, light, colour-blind, mono"),
        ("[view]\ncolumns = ['pid', 'inode']", 2, "'inode' is not one of pid, user"),
        ("[view]\ncolumns = 'pid'", 2, "must be a list of"),
        ("[view]\nascii = 1", 2, "must be true or false"),
        ("[view]\ncolour = 1", 2, "is not a valid key; valid keys are theme, columns, ascii, mouse"),
        ("keys = 3", 1, "must be a table: [keys]"),
        ("[colours]", 1, "valid keys are keys, view"),
        ("[keys", None, "config.toml: "),
        ("[view]\ntheme = " + "[" * 5000, None, "config.toml: "),
    ],
)
def test_what_is_wrong_is_one_line_with_its_place(
    tmp_path: Path, text: str, line: int | None, says: str
) -> None:
    with pytest.raises(CommandError) as raised:
        load(tmp_path, text)
    told = str(raised.value.format_message())
    assert raised.value.code == 2
    assert says in told
    assert f"config.toml:{line}: " in told or line is None
    assert told.isprintable()


def test_no_file_is_an_empty_one_and_an_unreadable_one_is_told(tmp_path: Path) -> None:
    assert load_config(tmp_path / "none.toml") == Config()
    with pytest.raises(CommandError, match="directory"):
        load_config(tmp_path)
    (tmp_path / "config.toml").write_bytes(b"\xff")
    with pytest.raises(CommandError, match="not UTF-8"):
        load_config(tmp_path / "config.toml")


def test_keys_may_be_written_as_people_write_them(tmp_path: Path) -> None:
    keys = ('"processes.filter" = "#, f4"', 'tree.follow = ["Ctrl+T", "+"]', '"tree.unfold_all" = "="')
    own = load(tmp_path, "\n".join(["[keys]", *keys]))
    assert own.keys["processes.filter"] == "number_sign,f4"
    assert own.keys["tree.follow"] == "ctrl+t,plus"
    assert key_name("F") == "F"
    (command,) = [one for one in commands(SCOPES, own.keys) if one.id == "processes.filter"]
    assert command.shown_keys == "# F4"


async def test_own_keys_work_are_shown_and_the_old_ones_are_free() -> None:
    config = Config(keys={"processes.view": "number_sign", "tree.follow": "t", "screen.build": "f2"})
    async with opened(config=config) as pilot:
        before = tree(pilot).grouping
        await press(pilot, "number_sign")
        assert tree(pilot).grouping is not before
        await press(pilot, "t")
        assert tree(pilot).follow
        assert "# View" in lines(pilot)[-1]
        assert "t Follow" in lines(pilot)[-1]
        assert " F2 Build " in lines(pilot)[1]
        await press(pilot, "2", "F")
        assert pilot.app.screen is processes(pilot)
        assert tree(pilot).follow
        await press(pilot, "question_mark")
        assert "#           View" in text(pilot)


async def test_the_columns_that_are_wanted_are_shown_and_no_others() -> None:
    async with opened(size=(160, 20), config=Config(columns=("memory", "container", "pid"))) as pilot:
        assert lines(pilot)[2].split()[:5] == ["SOURCE", "PID", "RSS", "CONTAINER", "TREE"]


@pytest.mark.parametrize("theme", ALL, ids=lambda theme: theme.name)
def test_every_theme_can_be_read(theme: Theme) -> None:
    """Contrast of the WCAG: 4.5 for text, 3 for the names of tiers and verdicts."""
    background = Color.parse(str(theme.background))
    assert contrast(background, Color.parse(str(theme.foreground))) >= 4.5
    named = (theme.primary, theme.accent, theme.success, theme.warning, theme.error)
    sources = [value for name, value in theme.variables.items() if name.startswith("source-")]
    for colour in (*named, *sources):
        assert contrast(background, Color.parse(str(colour))) >= 3, colour
    if theme.name == "mono":
        for colour in (*named, *sources, theme.background, theme.surface, theme.panel, theme.foreground):
            red, green, blue = Color.parse(str(colour)).rgb
            assert red == green == blue


def luminance(colour: Color) -> float:
    """Relative luminance as the WCAG has it."""
    parts = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour.normalized
    ]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one: Color, other: Color) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def run(config_home: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tui.cli.main", *args],
        cwd=ROOT,
        env={**os.environ, "XDG_CONFIG_HOME": str(config_home)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_config_init_show_and_validate(tmp_path: Path) -> None:
    path = tmp_path / "ebpf-tui/config.toml"
    assert run(tmp_path, "config", "validate").returncode == 2
    assert run(tmp_path, "config", "init").returncode == 0
    assert load_config(path) == Config()
    again = run(tmp_path, "config", "init")
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    written = path.read_text()
    # Everything that stands there is right when it is taken in.
    path.write_text(written.replace("\n# ", "\n").replace("one of", "# one of").replace("any of", "# any of"))
    assert run(tmp_path, "config", "validate").returncode == 0
    shown = json.loads(run(tmp_path, "config", "show", "--json").stdout)
    assert shown["schema"] == "ebpf-tui/config/1"
    assert shown["keys"] == {one.id: one.keys.split(",") for one in COMMANDS}
    plain = run(tmp_path, "config", "show").stdout
    (tmp_path / "shown.toml").write_text(plain)
    assert load_config(tmp_path / "shown.toml").keys == load_config(path).keys
    path.write_text("[view]\ntheme = 'pink'\n")
    wrong = run(tmp_path, "config", "show")
    assert (wrong.returncode, wrong.stderr.count("\n"), wrong.stdout) == (2, 1, "")


def test_docs_keys_says_what_the_registry_says() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import keys_page; print(keys_page.page(), end='')"],
        env={**os.environ, "PYTHONPATH": "tools"},
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert (ROOT / "docs/keys.md").read_text() == done.stdout, "run tools/keys_page.py"
