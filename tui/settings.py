"""The global options, as the subcommands get them (click's `ctx.obj`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.system.host import LOCAL, Host


@dataclass(frozen=True, slots=True)
class Settings:
    """`probe` False: answer from procfs only. `color` None: decide by the terminal and NO_COLOR.

    `ask_runtimes`: the sockets of Docker and podman may be asked for names that no file tells.
    `read_only`: the screens look, and change nothing on the host (tui/read_only.py).
    `allow_signals`: the screens may send signals; otherwise they only look. `ascii` and `mouse` say how the
    screens are drawn and whether they take the mouse; the configuration can say the same.
    """

    host: Host = field(default=LOCAL)
    probe: bool = True
    color: bool | None = None
    log_file: Path | None = None
    ask_runtimes: bool = False
    allow_signals: bool = False
    ascii: bool = False
    mouse: bool = True
    read_only: bool = False
