"""`ebpf-tui config show|validate|init`: the person's own keys, theme and columns."""

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
    """Your own keys, theme and columns. The file is never written by anything but `config init`."""


@command.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(as_json: bool) -> int:
    """Show what holds: the file, and the defaults for what it does not say."""
    path = config_path()
    config = load_config(path)
    if as_json:
        emit("config", _facts(path, config))
    else:
        narrate(f"{safe_text(str(path))}: {'read' if path.exists() else 'not there, all defaults'}")
        click.echo(_as_toml(config), nl=False)
    return ExitCode.OK


@command.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False)
def validate(file: Path | None) -> int:
    """Check a configuration. Exit code 2 and one line when something is wrong with it."""
    path = file or config_path()
    if not path.exists():
        what = "no such file (`ebpf-tui config init` makes it)"
        raise CommandError(f"{safe_text(str(path))}: {what}", ExitCode.USAGE)
    load_config(path)
    narrate(f"{safe_text(str(path))}: good")
    return ExitCode.OK


@command.command()
def init() -> int:
    """Write a file with all defaults, commented out. A file that is there is left alone."""
    path = config_path()
    shown = safe_text(str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = create(path, 0o644)
    except FileExistsError:
        raise CommandError(f"{shown} is there already; it is yours and was left alone") from None
    except OSError as error:
        raise CommandError(f"cannot write {shown}: {error.strerror}") from None
    with os.fdopen(descriptor, "w") as stream:
        for line in _as_toml(Config()).splitlines():
            stream.write(line + "\n" if not line or line[0] in "[#" else f"# {line}\n")
    narrate(f"wrote {shown}")
    return ExitCode.OK


@command.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--remove", is_flag=True, help="Take the confirmation back.")
def confirm(directory: Path, remove: bool) -> int:
    """Let the project in DIRECTORY be built although others can write to it.

    Shows what its files have a build run. Kept for you alone, in the file `confirmed` beside config.toml.
    """
    from buildgen.errors import ConfigError
    from buildgen.project.project import load_project
    from buildgen.project.trust import confirm as keep
    from buildgen.project.trust import confirmed_file, judge, what_runs

    try:
        if not remove:
            project = load_project(directory)
            for line in what_runs(project):
                narrate(f"a build runs as {safe_text(judge(project).runs_as)}: {line}")
        keep(directory, remove=remove)
    except ConfigError as error:
        raise CommandError(str(error), ExitCode.USAGE) from None
    what = "no longer confirmed" if remove else "confirmed"
    narrate(f"{safe_text(os.path.realpath(directory))}: {what} (in {safe_text(str(confirmed_file()))})")
    return ExitCode.OK


def _facts(path: Path, config: Config) -> dict[str, object]:
    return {
        "path": json_text(os.fsencode(path)),
        "exists": path.exists(),
        "keys": {one.id: one.keys.split(",") for one in commands(SCOPES, config.keys)},
        "view": {
            "theme": config.theme,
            "columns": list(config.columns),
            "ascii": config.ascii,
            "mouse": config.mouse,
        },
    }


def _as_toml(config: Config) -> str:
    """Return a configuration as the file that says all of it."""
    lines = [
        "[view]",
        f"# one of {', '.join(THEMES)}",
        f'theme = "{config.theme}"',
        f"# any of {', '.join(COLUMNS)}; none: all that fit",
        f"columns = [{', '.join(f'{chr(34)}{column}{chr(34)}' for column in config.columns)}]",
        f"ascii = {str(config.ascii).lower()}",
        f"mouse = {str(config.mouse).lower()}",
        "",
        "[keys]",
    ]
    lines += [f'"{one.id}" = "{one.keys}"' for one in commands(SCOPES, config.keys)]
    return "\n".join(lines) + "\n"
