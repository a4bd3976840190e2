"""The process of one browser session: started with TabOptions as JSON, it shows the screens on pipes."""

from __future__ import annotations

import contextlib
import os
import sys

import msgspec

from tui.output import CommandError
from tui.web.options import TabOptions


def main() -> int:
    try:
        return _show()
    except CommandError as error:  # the server prints it
        error.show()
        return error.code


def _show() -> int:
    from pathlib import Path

    from tui.app import run, show
    from tui.config import config_path, load_config

    options = msgspec.json.decode(sys.argv[1], type=TabOptions)
    with contextlib.suppress(OSError):  # it started in a neutral directory
        os.chdir(options.directory or "/")
    settings = options.settings()
    config = load_config(config_path())
    if not options.replay:
        return run(settings, config)
    from core.session.session import open_replay

    return show(open_replay(Path(options.replay), options.speed), settings, config)


if __name__ == "__main__":
    sys.exit(main())
