"""What a session is to show: the command line of `ebpf-tui serve`, handed on to the sessions' processes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from core.system.host import LOCAL, Host
from tui.settings import Settings


class TabOptions(msgspec.Struct, frozen=True):
    """`replay` empty: this host, live. `host_root` empty: the host that we run on.

    `directory` is the project's, empty when it is gone.
    """

    host_root: str = ""
    probe: bool = True
    ask_runtimes: bool = False
    ascii: bool = False
    color: bool | None = None
    replay: str = ""
    speed: float = 1.0
    directory: str = ""

    @classmethod
    def of(cls, settings: Settings, replay: Path | None, speed: float) -> TabOptions:
        directory = ""
        with contextlib.suppress(OSError):
            directory = os.getcwd()
        return cls(
            host_root="" if settings.host is LOCAL else str(settings.host.root),
            probe=settings.probe,
            ask_runtimes=settings.ask_runtimes,
            ascii=settings.ascii,
            color=settings.color,
            replay="" if replay is None else str(replay.resolve()),
            speed=speed,
            directory=directory,
        )

    def settings(self) -> Settings:
        """Return the settings of a session: whatever was given, it only looks."""
        return Settings(
            host=Host(Path(self.host_root)) if self.host_root else LOCAL,
            probe=self.probe,
            color=self.color,
            ask_runtimes=self.ask_runtimes,
            ascii=self.ascii,
            read_only=True,
        )
