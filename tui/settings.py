"""The global options, passed to subcommands as click's `ctx.obj`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from core.system.host import LOCAL, Host


@dataclass(frozen=True, slots=True)
class Settings:
    """`probe` False: use procfs only. `color` None: follow the terminal and NO_COLOR.

    `ask_runtimes`: ask the sockets of Docker and podman for container names not found on disk.
    `read_only`: change nothing on the host (tui/read_only.py). `allow_signals`: the screens may send
    signals. `ascii`: draw with ASCII characters only. `mouse`: the screens use the mouse. The configuration
    file can set the last two as well.
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
