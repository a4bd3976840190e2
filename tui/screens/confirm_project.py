"""Asks before a project is built that other users can write to: what would run, as which user, and why."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from buildgen.plan.plan import BuildPlan
from buildgen.project.trust import what_runs
from core.text.safe import safe_text


class ConfirmProject(ModalScreen[bool]):
    """Returns whether the user confirmed the directory of a plan that is held back."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape,q", "dismiss(False)", "Close")]
    DEFAULT_CSS = """
    ConfirmProject {
        align: center middle;
        & > Vertical {
            width: 90%; height: auto; max-height: 90%; padding: 0 1;
            border: round $primary; border-title-color: $primary; background: $surface;
        }
        & VerticalScroll { height: auto; max-height: 16; }
        & OptionList { height: auto; border: none; &:focus { border: none; } }
    }
    """

    def __init__(self, plan: BuildPlan) -> None:
        super().__init__()
        self._plan = plan

    def compose(self) -> ComposeResult:
        box = Vertical()
        box.border_title = Text("others can change this project")
        with box:
            with VerticalScroll():
                yield Static(Text("\n".join(question(self._plan))), markup=False)
            yield OptionList(
                Option(Text("Cancel: run nothing from it"), id="no"),
                Option(Text("Confirm this directory from now on, and build"), id="yes"),
            )

    def on_mount(self) -> None:
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def _choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id == "yes")


def question(plan: BuildPlan) -> list[str]:
    """Return the lines of the question, safe to show: the reason, and what the project's files run."""
    trust = plan.trust
    programs = what_runs(plan.project) or ("its files name no program; only the system's LLVM runs",)
    return [
        safe_text(str(trust.directory)),
        safe_text(trust.reason) + ".",
        "",
        f"A build runs as {safe_text(trust.runs_as)}:",
        *programs,
    ]
