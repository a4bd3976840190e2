"""The terminal program: the screens around one engine, and how it enters and leaves the terminal."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

from textual.app import ScreenStackError
from textual.binding import BindingType
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.message import Message
from textual.screen import Screen

from core.model.view import Frame
from core.text.safe import safe_text
from tui.base_app import BaseApp
from tui.config import Config
from tui.frame_source import FrameSource
from tui.keymap import bindings
from tui.output import ExitCode
from tui.palette import CommandProvider
from tui.read_only import changes
from tui.screens.base_screen import BaseScreen
from tui.screens.help import HelpScreen
from tui.screens.processes import ProcessesScreen
from tui.screens.resolver import ResolverScreen
from tui.settings import Settings
from tui.terminal.kind import HangUp, has_few_colors
from tui.terminal.leaving import run_to_the_end
from tui.terminal.stdout_driver import StdoutDriver
from tui.terminal.strips import release_strips
from tui.theme import ALL as THEMES
from tui.widgets.ascii import AsciiFilter
from tui.widgets.reverse import ReverseFilter

if TYPE_CHECKING:
    from core.sources.feed import Feed

_HANGUP = 129
_SIGNALS = {
    signal.SIGTERM: int(ExitCode.TERMINATED),
    signal.SIGHUP: _HANGUP,
    signal.SIGINT: int(ExitCode.INTERRUPTED),
}


def _later(module: str, name: str) -> Callable[[], Screen[None]]:
    """Return a function that imports and makes a screen: importing buildgen takes a third of the start-up."""

    def make() -> Screen[None]:
        screen: Screen[None] = getattr(importlib.import_module(f"tui.screens.{module}"), name)()
        return screen

    return make


class EbpfApp(BaseApp):
    """Shows the frames of an engine. It starts the engine on mount and stops it on unmount."""

    TITLE = "ebpf-tui"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("everywhere")]
    CSS = """
    .-reverse OptionList > .option-list--option-highlighted { text-style: underline; }
    """
    COMMANDS = {CommandProvider}  # noqa: RUF012  # the type is Textual's
    MODES: ClassVar[dict[str, str | Callable[[], Screen[None]]]] = {
        "processes": ProcessesScreen,
        "build": _later("build", "BuildScreen"),
        "headers": _later("headers", "HeadersScreen"),
        "objects": _later("objects", "ObjectsScreen"),
        "resolver": ResolverScreen,
    }
    DEFAULT_MODE = "processes"

    class FrameReady(Message):
        """The engine published a new frame."""

    def __init__(
        self,
        engine: FrameSource,
        settings: Settings,
        config: Config | None = None,
        open_probe: Callable[[Feed], Feed] | None = None,
    ) -> None:
        """`open_probe` opens a feed with the newest probe; None: a recording is shown, which has no probe."""
        # Textual omits every colour code only if the app draws in the terminal's own colours.
        colours = True if os.environ.get("NO_COLOR") else None
        super().__init__(engine, settings, config or Config(), ansi_color=colours)
        release_strips()
        reverse = self.no_color or has_few_colors()
        self._line_filters: list[LineFilter] = [ReverseFilter()] if reverse else []
        self._line_filters += [AsciiFilter()] if settings.ascii or self.config.ascii else []
        self._open_probe = open_probe
        self._frame_waits = False
        self._hang_up: HangUp | None = None
        self.animation_level = "none"
        for theme in THEMES:
            self.register_theme(theme)
        self.theme = self.config.theme
        self.set_class(reverse, "-reverse")
        self.set_keymap(self.config.keys)

    def get_driver_class(self) -> type[Driver]:
        driver = super().get_driver_class()
        return StdoutDriver if driver is LinuxDriver else driver

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the filters that every line of every widget passes, including Textual's own widgets."""
        return [*super().get_line_filters(), *self._line_filters]

    def clear_selection(self) -> None:
        """Clear the selected text of the screen, if a screen exists already.

        Since Python 3.12 Textual starts tasks eagerly: the inputs of the first screen call this while they
        are created, before that screen is on the stack (Textualize/textual#6444).
        """
        with suppress(ScreenStackError):
            super().clear_selection()

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        for number, code in _SIGNALS.items():
            loop.add_signal_handler(number, lambda code=code: self.exit(return_code=code))  # type: ignore[misc]
        if not (self.is_headless or self.is_web):
            self._hang_up = HangUp(loop, lambda: self.exit(return_code=_HANGUP))
        # After ctrl+z and fg the alternate screen is empty.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh(layout=True))
        self.engine.subscribe(self._take_frame, self._engine_failed)
        self.engine.start()

    def on_unmount(self) -> None:
        if self._hang_up is not None:
            self._hang_up.close()
        self.engine.stop()

    def _take_frame(self, frame: Frame) -> None:
        """Called on the engine's thread: keep the newest frame and wake the screen once."""
        self.frame = frame
        if not self._frame_waits:
            self._frame_waits = True
            self.post_message(self.FrameReady())

    def _engine_failed(self, error: BaseException) -> None:
        """Called on the engine's thread: report it and stay open, since the other screens still work."""
        self.problem = f"Live updates stopped: {safe_text(str(error) or type(error).__name__)}"
        self.call_later(self._show_problem)

    def _show_problem(self) -> None:
        if isinstance(self.screen, BaseScreen):
            self.screen.show_problem(self.problem)
        self.notify(self.problem, severity="error", timeout=10, markup=False)

    def on_ebpf_app_frame_ready(self) -> None:
        self._frame_waits = False
        if self.frame is not None:
            header = self.frame.header
            now_ns = header.now_ns + header.past.behind_ns  # the counters are always live
            self.history.add(now_ns, self.frame.stats)
            if not header.paused:
                rate = round(header.events_per_second)
                self.history.note(now_ns, (("events/s", rate), ("drift", header.drift)))
        for screen in self.screen_stack:
            if isinstance(screen, BaseScreen) and self.frame is not None and screen.is_mounted:
                screen.show_frame(self.frame)

    def action_screen(self, name: str) -> None:
        self.switch_mode(name)

    def action_help(self) -> None:
        if isinstance(self.screen, BaseScreen):
            self.push_screen(HelpScreen(self.commands(self.screen.live_scopes())))

    @property
    def is_live(self) -> bool:
        """Return whether the screens show this host, not a recording."""
        return self._open_probe is not None

    @changes("the probe is not reloaded")
    def action_reload(self) -> None:
        if self._open_probe is None:
            self.notify("Nothing to reload: this is a recording", severity="warning", markup=False)
        elif self.past.rewound:
            self.notify("Return to live (Z) before reloading the probe", severity="warning", markup=False)
        else:
            self.engine.reload(self._open_probe)

    def action_suspend_process(self) -> None:
        if self.is_web:
            text = "Suspend is not available in the browser; q quits"
            self.notify(text, severity="warning", markup=False)
        else:
            super().action_suspend_process()

    def action_interrupt(self) -> None:
        self.exit(return_code=int(ExitCode.INTERRUPTED))


def run(settings: Settings, config: Config) -> int:
    """Open the screens on the host of `settings`; return the exit code."""
    from core.session.reload_signal import announced
    from core.session.session import open_session
    from tui.reload import probe_opener

    session = open_session(settings.host, probe=settings.probe, ask_runtimes=settings.ask_runtimes)
    if settings.read_only:  # `ebpf-tui probe reload` must not find this process
        return show(session, settings, config)
    opener = probe_opener(settings)
    with announced(lambda: session.reload(opener)):
        return show(session, settings, config, opener)


def show(
    engine: FrameSource,
    settings: Settings,
    config: Config | None = None,
    open_probe: Callable[[Feed], Feed] | None = None,
) -> int:
    """Open the screens on any engine; return the exit code."""
    settle_colour(settings)
    app = EbpfApp(engine, settings, config, open_probe)
    run_to_the_end(app.run_async(mouse=settings.mouse and app.config.mouse))
    return app.return_code or 0


def settle_colour(settings: Settings) -> None:
    """Set NO_COLOR if the screens are to be without colours, remove it otherwise.

    An empty NO_COLOR has no meaning (no-color.org), but Textual counts it as set.
    """
    if settings.color or (settings.color is None and not os.environ.get("NO_COLOR")):
        os.environ.pop("NO_COLOR", None)
    else:
        os.environ["NO_COLOR"] = "1"
