"""The options of a browser session, passed from `ebpf-tui serve` to the processes of its sessions."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import msgspec

from core.system.host import LOCAL, Host
from tui.settings import Settings


class TabOptions(msgspec.Struct, frozen=True):
    """`replay` empty: this host, live. `host_root` empty: the local host.

    `directory` is the working directory for the Build screen, empty if it was deleted.
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
        """Return the settings of a session, which is always read-only."""
        return Settings(
            host=Host(Path(self.host_root)) if self.host_root else LOCAL,
            probe=self.probe,
            color=self.color,
            ask_runtimes=self.ask_runtimes,
            ascii=self.ascii,
            read_only=True,
        )
