"""`o` on the Build screen: the person's editor in a real terminal, at the place that the diagnosis names."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from buildgen.project.trust import confirm
from tests.tui.build_project import until
from tests.tui.harness import opened, press, text, words
from tests.tui.pty_terminal import LEAVES_ALTERNATE_SCREEN, Terminal
from tui.editor import EditorError, editor_command

NOBODY = 65534
BAD = "/* one */\n/* two */\nint broken(void) { return missing_name; }\n"
EDITOR = """\
#!/bin/sh
{ id -u; printf '%s\\n' "$@"; } > "${0%/*}/said"
printf 'EDIT''ING\\n'
read answer
exit "${answer:-0}"
"""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A confirmed project with an error in line 3, and an editor beside it; nobody's when we are root."""
    home = Path(tempfile.mkdtemp(prefix="ebpf-tui editor "))
    home.chmod(0o755)
    (home / "bad.bpf.c").write_text(BAD)
    for name in ("vim", "unknown"):
        script = home / name
        script.write_text(EDITOR)
        script.chmod(0o755)
    if os.geteuid() == 0:
        for path in (home, *home.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    for name in ("VISUAL", "EDITOR", "SUDO_UID", "SUDO_GID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    confirm(home)
    yield home
    shutil.rmtree(home)


@pytest.mark.parametrize(
    ("setting", "line", "command"),
    [
        ("vi", 7, ["vi", "+7", "/a b/x.c"]),
        ("/usr/bin/nvim -u NONE", 7, ["/usr/bin/nvim", "-u", "NONE", "+7", "/a b/x.c"]),
        ("nano", None, ["nano", "/a b/x.c"]),
        ("'/opt/my tools/hx'", 7, ["/opt/my tools/hx", "+7", "/a b/x.c"]),
        ("code -n", 7, ["code", "-n", "--goto", "/a b/x.c:7", "--wait"]),
        ("codium", 7, ["codium", "--goto", "/a b/x.c:7", "--wait"]),
        ("subl", 7, ["subl", "/a b/x.c:7"]),
        ("ed", 7, ["ed", "/a b/x.c"]),
    ],
)
def test_each_editor_is_told_the_line_in_its_own_way(
    setting: str, line: int | None, command: list[str]
) -> None:
    assert editor_command({"EDITOR": setting}, Path("/a b/x.c"), line) == command
    assert editor_command({"EDITOR": "false", "VISUAL": setting}, Path("/a b/x.c"), line) == command
    assert editor_command({"EDITOR": setting, "VISUAL": " "}, Path("/a b/x.c"), line) == command


def test_tilde_is_the_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert editor_command({"EDITOR": "~/bin/vim"}, Path("/x.c"), 1) == ["/home/me/bin/vim", "+1", "/x.c"]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "No editor is set"),
        ({"EDITOR": "vim '"}, "no closing quotation"),
        ({"VISUAL": "''"}, "does not name a program"),
    ],
)
def test_an_editor_that_cannot_be_understood_is_one_line(environ: dict[str, str], said: str) -> None:
    with pytest.raises(EditorError, match=said) as caught:
        editor_command(environ, Path("/x.c"), 1)
    assert "\n" not in str(caught.value)


async def test_without_an_editor_o_says_how_to_set_one(project: Path) -> None:
    async with opened(size=(120, 30)) as pilot:
        await press(pilot, "2")
        await until(pilot, lambda: "bad.bpf" in text(pilot))
        await press(pilot, "o")
        assert "No editor is set: export EDITOR=vim" in words(pilot)


def on_build_screen(project: Path, editor: str, **environ: Any) -> Terminal:
    places: dict[str, Any] = {
        "XDG_CACHE_HOME": str(project / "cache"),
        "XDG_CONFIG_HOME": os.environ["XDG_CONFIG_HOME"],
    }
    terminal = Terminal(size=(120, 30), EDITOR=editor, **places, **environ)
    terminal.wait_for(b"nginx", 30)
    terminal.write(b"2")
    terminal.wait_for(b"bad.bpf", 30)
    return terminal


def said(project: Path) -> list[str]:
    return (project / "said").read_text().splitlines()


@pytest.mark.needs("clang")
def test_o_opens_the_editor_where_the_diagnosis_points(project: Path) -> None:
    terminal = on_build_screen(project, f"'{project}/vim' -u NONE")
    try:
        terminal.write(b"b")
        terminal.wait_for(b"FAILED", 30)
        terminal.write(b"o")
        terminal.wait_for(b"EDITING", 30)
        assert terminal.output.rfind(LEAVES_ALTERNATE_SCREEN) > terminal.output.rfind(b"\x1b[?1049h")
        assert said(project) == [str(os.geteuid()), "-u", "NONE", "+3", str(project / "bad.bpf.c")]
        terminal.write(b"0\n")
        terminal.wait_for(b"missing_name", 30)  # everything is painted again
        terminal.quiet()
        assert b"ended with" not in terminal.output
        terminal.write(b"q")
        assert terminal.ended(30) == 0
        assert terminal.is_restored()
    finally:
        terminal.close()


def test_an_editor_that_fails_is_told_and_ctrl_c_is_its_own(project: Path) -> None:
    terminal = on_build_screen(project, f"'{project}/unknown'")
    try:
        for keys, what in ((b"3\n", b"exit code 3"), (b"\x03", b"signal 2")):
            terminal.write(b"o")
            terminal.wait_for(b"EDITING", 30)
            assert said(project)[1:] == [str(project / "bad.bpf.c")]
            terminal.write(keys)
            terminal.wait_for(what, 30)
        terminal.write(b"q")
        assert terminal.ended(30) == 0
    finally:
        terminal.close()


def test_an_editor_that_is_not_there_is_told(project: Path) -> None:
    terminal = on_build_screen(project, "/nowhere/vim")
    try:
        terminal.write(b"o")
        terminal.wait_for(b"No such file or", 30)
        terminal.write(b"q")
        assert terminal.ended(30) == 0
    finally:
        terminal.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_ends_the_editor_and_then_the_program(
    project: Path, number: signal.Signals, code: int
) -> None:
    terminal = on_build_screen(project, f"'{project}/unknown'")
    try:
        terminal.write(b"o")
        terminal.wait_for(b"EDITING", 30)
        terminal.process.send_signal(number)
        assert terminal.ended(30) == code
        assert terminal.is_restored()
    finally:
        terminal.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="sudo is for root")
def test_under_sudo_the_editor_runs_as_the_invoking_user(project: Path) -> None:
    terminal = on_build_screen(project, f"'{project}/unknown'", SUDO_UID=str(NOBODY), SUDO_GID=str(NOBODY))
    try:
        terminal.write(b"o")
        terminal.wait_for(b"EDITING", 30)
        assert said(project)[0] == str(NOBODY)
        terminal.write(b"\n")
        terminal.wait_for(b"bad.bpf", 30)
        terminal.write(b"q")
        assert terminal.ended(30) == 0
    finally:
        terminal.close()
