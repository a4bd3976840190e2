"""`ebpf-tui config show|validate|init|confirm`: the user's own keys, theme and columns."""

from __future__ import annotations

import os
from pathlib import Path

import click

from core.system.files import create
from core.text.safe import json_text, safe_text
from tui.config import COLUMNS, THEMES, Config, config_path, load_config
from tui.keymap import SCOPES, commands
from tui.output import CommandError, ExitCode, emit, narrate


@click.group()
def command() -> None:
    """Your own keys, theme and columns. Only `config init` ever writes the file."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
def show(as_json: bool) -> int:
    """Show the settings in effect: those of the file, and defaults for the rest."""
    path = config_path()
    config = load_config(path)
    if as_json:
        emit("config", _facts(path, config))
    else:
        narrate(f"{safe_text(str(path))}: {'read' if path.exists() else 'no such file; using defaults'}")
        click.echo(_as_toml(config), nl=False)
    return ExitCode.OK


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
def validate(file: Path | None) -> int:
    """Check a configuration file. An error is reported in one line, with exit code 2."""
    path = file or config_path()
    if not path.exists():
        what = "no such file (`ebpf-tui config init` creates it)"
        raise CommandError(f"{safe_text(str(path))}: {what}", ExitCode.USAGE)
    load_config(path)
    narrate(f"{safe_text(str(path))}: valid")
    return ExitCode.OK


@command.command()
def init() -> int:
    """Write a file with all defaults, commented out. Never overwrites an existing file."""
    path = config_path()
    shown = safe_text(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = create(path, 0o644)
    except FileExistsError:
        raise CommandError(f"{shown} already exists; it was not changed") from None
    except OSError as error:
        raise CommandError(f"cannot write {shown}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as stream:
        for line in _as_toml(Config()).splitlines():
            stream.write(line + "\n" if not line or line[0] in "[#" else f"# {line}\n")
    narrate(f"wrote {shown}")
    return ExitCode.OK


@command.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--remove", is_flag=True, help="Withdraw the confirmation.")
def confirm(directory: Path, remove: bool) -> int:
    """Allow builds of the project in DIRECTORY although other users can write to it.

    Shows the programs that a build would run. Your confirmations are in the file `confirmed` beside
    config.toml.
    """
    from buildgen.errors import ConfigError
    from buildgen.project.project import load_project
    from buildgen.project.trust import confirm as store_confirmation
    from buildgen.project.trust import confirmed_file, judge, what_runs

    try:
        if not remove:
            project = load_project(directory)
            for line in what_runs(project):
                narrate(f"a build runs as {safe_text(judge(project).runs_as)}: {line}")
        store_confirmation(directory, remove=remove)
    except ConfigError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    what = "no longer confirmed" if remove else "confirmed"
    narrate(f"{safe_text(os.path.realpath(directory))}: {what} (in {safe_text(str(confirmed_file()))})")
    return ExitCode.OK


def _facts(path: Path, config: Config) -> dict[str, object]:
    return {
        "path": json_text(os.fsencode(path)),
        "exists": path.exists(),
        "keys": {command.id: command.keys.split(",") for command in commands(SCOPES, config.keys)},
        "view": {
            "theme": config.theme,
            "columns": list(config.columns),
            "ascii": config.ascii,
            "mouse": config.mouse,
        },
    }


def _as_toml(config: Config) -> str:
    """Return the text of a configuration file that sets every option."""
    lines = [
        "[view]",
        f"# one of {', '.join(THEMES)}",
        f'theme = "{config.theme}"',
        f"# any of {', '.join(COLUMNS)}; empty: all that fit",
        f"columns = [{', '.join(f'{chr(34)}{column}{chr(34)}' for column in config.columns)}]",
        f"ascii = {str(config.ascii).lower()}",
        f"mouse = {str(config.mouse).lower()}",
        "",
        "[keys]",
    ]
    lines += [f'"{command.id}" = "{command.keys}"' for command in commands(SCOPES, config.keys)]
    return "\n".join(lines) + "\n"
