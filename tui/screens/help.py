"""The help: every key that is live where the help was opened, from the registry."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.keymap import SCOPES, Command

_FILTER = """src:cache src:procfs src:none    tier that answered
src:event src:snapshot           origin of the cache entry
ctr:web  ctr:  pod:shop          container, any container, pod
user:root  pid:1,300-399         user, process ids
state:RD  cpu>5  mem>100M        state letters, lower limits
kthread  nginx  "two words"      kernel threads, text in the row
!word                            rows that do not match word"""


class HelpScreen(ModalScreen[None]):
    """Lists the live commands, those of the focused widget first."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q,question_mark,f1", "dismiss(None)", "Close")]
    DEFAULT_CSS = """
    HelpScreen {
        align: center middle;
        & > VerticalScroll {
            width: 76; max-width: 100%; height: auto; max-height: 100%;
            border: round $primary; border-title-color: $primary; background: $surface; padding: 0 2;
            scrollbar-size-vertical: 1; scrollbar-color: $primary; scrollbar-background: $surface;
            & > Static { height: auto; }
        }
    }
    """

    def __init__(self, live: Sequence[Command]) -> None:
        super().__init__()
        self._live = live

    def compose(self) -> ComposeResult:
        text = Text()
        for scope, live in groupby(self._live, lambda command: command.scope):
            text.append(f"{SCOPES[scope]}\n", style="bold")
            for command in live:
                text.append(f"  {command.shown_keys:<11} ", style="bold")
                text.append(f"{command.title:<16}{command.help}\n")
        if any(command.scope == "processes" for command in self._live):
            text.append("Filter syntax\n", style="bold")
            text.append("\n".join(f"  {line}" for line in _FILTER.splitlines()))
        with VerticalScroll() as pane:
            pane.border_title = "Keys (esc closes)"
            yield Static(text)
