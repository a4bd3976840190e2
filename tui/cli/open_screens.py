"""Opens the screens, after checking that stdin and stdout are terminals."""

from __future__ import annotations

import sys

from tui.frame_source import FrameSource
from tui.output import CommandError, ExitCode, narrate
from tui.settings import Settings


def open_screens(settings: Settings, engine: FrameSource | None = None) -> int:
    """Run the screens until the user quits; return the exit code.

    `engine` supplies the frames; None: the host of `settings`. Raises CommandError (exit code 2) for an
    invalid configuration, for a terminal without cursor addressing, and when stdin or stdout is not a
    terminal. stderr may be a file: nothing is drawn on it. A configuration that this user may not read
    (HOME belongs to another user) is reported, and the screens open with the defaults.
    """
    for stream, name in ((sys.stdin, "stdin"), (sys.stdout, "stdout")):
        if not stream.isatty():
            raise CommandError(
                f"{name} is not a terminal: use `ebpf-tui ps`, `ebpf-tui ps --json` or another subcommand",
                ExitCode.USAGE,
            )
    from tui.config import Config, UnreadableConfig, config_path, load_config
    from tui.terminal.kind import fit_terminal

    settings = fit_terminal(settings)
    try:
        config = load_config(config_path())
    except UnreadableConfig as error:
        narrate(f"{error.format_message()}; using the default settings")
        config = Config()
    from tui.app import run, show

    return run(settings, config) if engine is None else show(engine, settings, config)
