"""What holds for the whole command line: exit codes, one clear line, no textual at start-up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from core.doctor import check_probe
from core.system.host import LOCAL
from tests.places import ROOT
from tui.cli.main import COMMANDS
from tui.output import ExitCode

PROGRAM = [sys.executable, "-m", "tui.cli.main"]


def run(*args: str, **options: object) -> subprocess.CompletedProcess[str]:
    defaults: dict[str, object] = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
    return subprocess.run([*PROGRAM, *args], cwd=ROOT, timeout=60, check=False, **(defaults | options))  # type: ignore[call-overload, no-any-return]


def shell(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which "$@" is the program."""
    return subprocess.run(
        ["bash", "-c", script, "bash", *PROGRAM],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        env=os.environ | environment,
    )  # fmt: skip


def one_line(ran: subprocess.CompletedProcess[str]) -> str:
    lines = ran.stderr.splitlines()
    assert len(lines) == 1, ran.stderr
    assert lines[0].startswith("ebpf-tui: ")
    return lines[0]


def test_the_list_is_what_there_is() -> None:
    files = (ROOT / "tui/cli").glob("[a-z]*.py")
    commands = {path.stem for path in files if re.search(r"^def command\(", path.read_text(), re.MULTILINE)}
    assert commands == set(COMMANDS)


SHORT_HELP = [["-h"], ["config", "show", "-h"], *([name, "-h"] for name in COMMANDS)]


@pytest.mark.parametrize(
    "args", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS), *SHORT_HELP]
)
def test_help_is_data(args: list[str]) -> None:
    ran = run(*args)
    assert (ran.returncode, ran.stderr) == (ExitCode.OK, "")
    assert ran.stdout


def test_help_names_every_command() -> None:
    words = run("--help").stdout.split()
    assert not [name for name in COMMANDS if name not in words]


@pytest.mark.parametrize(
    "args", [["nonsense"], ["--nonsense"], ["ps", "--nonsense"], ["ps", "\x1b[2Jx"], ["resolve"]]
)
def test_a_wrong_command_line_is_one_line_and_2(args: list[str]) -> None:
    ran = run(*args)
    assert ran.returncode == ExitCode.USAGE
    assert "--help" in one_line(ran)
    assert "\x1b" not in ran.stderr


def test_a_host_root_that_is_not_there_is_2() -> None:
    ran = run("--host-root", "/does/not/exist", "ps")
    assert ran.returncode == ExitCode.USAGE
    assert "/does/not/exist" in one_line(ran)


@pytest.mark.parametrize(
    "script", ['"$@" </dev/null', '"$@" <&-', '"$@" </dev/null 2>&1 >/dev/null | cat >&2; exit 2']
)
def test_no_terminal_is_one_line_and_2(script: str) -> None:
    ran = shell(script)
    assert ran.returncode == ExitCode.USAGE
    assert "is not a terminal" in one_line(ran)


@pytest.mark.parametrize("args", ["ps", "ps --json", "doctor --json", "info", "--help", "ps --help"])
def test_a_reader_that_goes_away_is_141_in_silence(args: str) -> None:
    ran = shell(f'set -o pipefail; "$@" {args} | true')
    assert (ran.returncode, ran.stderr) == (ExitCode.READER_GONE, "")


@pytest.mark.parametrize("args", ["ps", "ps --json", "--help"])
def test_a_full_disk_is_one_line_and_1(args: str) -> None:
    ran = shell(f'"$@" {args} >/dev/full')
    assert ran.returncode == ExitCode.FAILED
    assert "No space left" in one_line(ran)


def test_closed_streams_do_not_hurt() -> None:
    ran = shell('"$@" info <&- >&- 2>&-')
    assert (ran.returncode, ran.stderr) == (ExitCode.OK, "")


def test_a_terminal_that_lacks_characters_gets_escapes() -> None:
    ran = shell('"$@" ps', PYTHONIOENCODING="latin-1")
    assert ran.returncode == ExitCode.OK
    assert all(line.startswith(("facts missing for", "could not read")) for line in ran.stderr.splitlines())


def test_a_working_directory_that_is_gone_does_not_hurt(tmp_path: Path) -> None:
    here = f"mkdir {tmp_path}/x && cd {tmp_path}/x && rmdir {tmp_path}/x && PYTHONPATH={ROOT}"
    ran = shell(f'{here} exec "$@" info --json')
    assert (ran.returncode, ran.stderr) == (ExitCode.OK, "")


@pytest.mark.parametrize("args", ["build", "build --out x", "build --json", "--host-root . ps"])
def test_a_relative_path_in_a_directory_that_is_gone_is_one_line(args: str, tmp_path: Path) -> None:
    ran = shell(
        f'mkdir {tmp_path}/x && cd {tmp_path}/x && rmdir {tmp_path}/x && exec "$@" {args}',
        PYTHONPATH=str(ROOT),
    )
    assert ran.returncode == ExitCode.USAGE
    assert "the current directory was deleted" in one_line(ran)


PROC_WITHOUT_FILES = ("subset=pid", "subset=pid,hidepid=2", "hidepid=4")


@pytest.mark.parametrize("options", PROC_WITHOUT_FILES)
@pytest.mark.parametrize("args", ["info", "info --json", "doctor", "headers", "flags", "--no-probe ps"])
def test_a_proc_without_files_of_the_system_does_not_hurt(args: str, options: str, as_root: None) -> None:
    mount = f"mount -t proc -o {options} proc /proc"
    ran = shell(f'unshare -m bash -c \'{mount} && exec "$@" {args}\' bash "$@"')
    assert ran.returncode in (ExitCode.OK, ExitCode.FAILED), ran.stderr
    assert "Traceback" not in ran.stderr


def test_stderr_that_is_full_is_no_traceback() -> None:
    ran = shell('"$@" nonsense 2>/dev/full')
    assert (ran.returncode, ran.stdout) == (ExitCode.USAGE, "")


def test_a_home_is_always_a_place(tmp_path: Path) -> None:
    """Without HOME and passwd entry Python leaves "~": directories of that name would be made right here."""
    ran = shell(
        f'cd {tmp_path}; unset HOME; exec setpriv --reuid 54321 --clear-groups "$@" info --json'
        if os.geteuid() == 0
        else f'cd {tmp_path}; exec env HOME=~ "$@" info --json',
        PYTHONPATH=str(ROOT), XDG_CACHE_HOME="relative",
    )  # fmt: skip
    if ran.returncode == 126:
        pytest.skip("this Python cannot be run by others")
    assert ran.returncode == ExitCode.OK, ran.stderr
    assert all(path.startswith("/") for path in json.loads(ran.stdout)["paths"].values())


@pytest.mark.parametrize("args", [["info"], ["doctor"], ["ps"], ["flags"]])
def test_json_is_one_object_with_its_schema(args: list[str]) -> None:
    ran = run(*args, "--json")
    assert ran.returncode == ExitCode.OK
    assert len(ran.stdout.splitlines()) == 1
    assert ran.stdout.isascii()
    assert json.loads(ran.stdout)["schema"] == f"ebpf-tui/{args[0]}/1"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_signals_end_it_with_their_code(number: signal.Signals, code: ExitCode) -> None:
    probe = check_probe(LOCAL)
    if not probe.ok:
        pytest.skip(f"watch needs the probe: {probe.detail}")
    with subprocess.Popen(
        [*PROGRAM, "watch", "--json"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as watch:
        assert watch.stdout
        assert json.loads(watch.stdout.readline())["event"] == "snapshot_done"
        watch.send_signal(number)
        _, narration = watch.communicate(timeout=20)
    assert watch.returncode == code
    assert b"Traceback" not in narration


def test_start_up_imports_no_textual() -> None:
    """Importing every subcommand: textual takes 0.15 s, which `--json` must not pay for."""
    modules = ", ".join(["tui.cli.main", "tui.cli.open_screens", *(f"tui.cli.{name}" for name in COMMANDS)])
    loaded = "{name.split('.')[0] for name in sys.modules}"
    check = f"import sys, {modules}; print(sorted({loaded} & {{'textual', 'rich'}}))"
    ran = subprocess.run([sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["info", "ps", "doctor"])
def test_running_a_command_imports_no_textual(name: str) -> None:
    script = (
        f"import sys; from tui.cli.main import cli; cli.main(['{name}', '--json'], standalone_mode=False);"
        "print([m for m in sys.modules if m.split('.')[0] == 'textual'])"
    )
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_the_log_file_is_written_and_a_bad_one_is_told(tmp_path: Path) -> None:
    log = tmp_path / "log"
    run("--log-file", str(log), "info")
    assert log.exists()
    done = run("--log-file", str(tmp_path / "no" / "log"), "info")
    assert done.returncode == 2
    assert "cannot write the log" in done.stderr
