"""Opens the TUI, after making sure that there is a terminal to open it on."""

from __future__ import annotations

import sys

from tui.frame_source import FrameSource
from tui.output import CommandError, ExitCode, narrate
from tui.settings import Settings


def open_screens(settings: Settings, engine: FrameSource | None = None) -> int:
    """Run the screens until the person quits; return the exit code.

    `engine` is what they show; left out, the host of `settings`. Raises CommandError (exit 2) when
    something is wrong with the person's configuration, when the terminal is none that can be drawn on, and
    when stdin or stdout is no terminal. stderr may be a file: nothing is drawn there. A configuration
    that may not be read (HOME is another person's) is said, and the screens open without it.
    """
    for stream, name in ((sys.stdin, "stdin"), (sys.stdout, "stdout")):
        if not stream.isatty():
            raise CommandError(
                f"no terminal here ({name}): use `ebpf-tui ps`, `ebpf-tui ps --json` or another subcommand",
                ExitCode.USAGE,
            )
    from tui.config import Config, UnreadableConfig, config_path, load_config
    from tui.terminal.kind import fit_terminal

    settings = fit_terminal(settings)
    try:
        config = load_config(config_path())
    except UnreadableConfig as error:
        narrate(f"{error.format_message()}; the screens open without it")
        config = Config()
    from tui.app import run, show

    return run(settings, config) if engine is None else show(engine, settings, config)
