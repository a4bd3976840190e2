"""Opens the TUI, after making sure that there is a terminal to open it on."""

from __future__ import annotations

import sys

from tui.engine import Engine
from tui.output import CommandError, Exit
from tui.settings import Settings


def open_screens(settings: Settings, engine: Engine | None = None) -> int:
    """Run the screens until the person quits; return the exit code.

    `engine` is what they show; left out, the host of `settings`. Raises CommandError (exit 2) when
    something is wrong with the person's configuration, when the terminal is none that can be drawn on, and
    when stdin or stderr is no terminal: Textual draws on stderr and would fill a log file with escapes.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise CommandError("no terminal here: use `ebpf-tui ps --json` or another subcommand", Exit.USAGE)
    from tui.config import config_path, load_config
    from tui.terminal import fit_terminal

    settings = fit_terminal(settings)
    config = load_config(config_path())
    from tui.app import run, show

    return run(settings, config) if engine is None else show(engine, settings, config)
