"""Screen 1: the live tree, its filter, and the explanation of the row under the cursor."""

from __future__ import annotations

from signal import Signals
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Input

from core.model.entities import ProcessKey
from core.model.view import Frame, Grouping, SortKey
from core.session.timeline import SPAN_NS
from core.signals import send_signal
from tui.keymap import bindings
from tui.read_only import changes
from tui.screens.base_screen import BaseScreen
from tui.screens.column_menu import ColumnMenu
from tui.screens.signal_menu import SignalMenu
from tui.screens.sort_menu import SortMenu
from tui.widgets import format as fmt
from tui.widgets.explain_pane import ExplainPane
from tui.widgets.filter_line import FilterInput, FilterLine
from tui.widgets.search_line import SearchInput, SearchLine
from tui.widgets.tree_view import TreeView, process_key

_TO_LIVE = "press Z"


class ProcessesScreen(BaseScreen):
    NAME = "processes"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("processes")]

    def compose_body(self) -> ComposeResult:
        tree = TreeView()
        tree.columns = self.app.config.columns
        yield tree
        yield ExplainPane(self.app.config.keys)
        yield FilterLine()
        yield SearchLine()

    @property
    def tree(self) -> TreeView:  # type: ignore[override]  # Textual has a debugging aid of this name
        return self.query_one(TreeView)

    @property
    def explain(self) -> ExplainPane:
        return self.query_one(ExplainPane)

    @property
    def filter_line(self) -> FilterLine:
        return self.query_one(FilterLine)

    @property
    def search_line(self) -> SearchLine:
        return self.query_one(SearchLine)

    def show_frame(self, frame: Frame) -> None:
        super().show_frame(frame)
        self.tree.show(frame.window, frame.header.now_ns)
        self.filter_line.show_problem(frame.window.problem)
        if self.explain.is_open:
            self.explain.show(frame.explanation)

    @on(TreeView.Wanted)
    def _request(self, event: TreeView.Wanted) -> None:
        self.app.engine.request(event.request)

    @on(TreeView.Moved)
    def _explain_cursor(self) -> None:
        if self.explain.is_open:
            self._open_explain()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Let a slash that is typed into an input be text."""
        return not (action in ("filter", "search") and isinstance(self.focused, Input))

    def action_explain(self) -> None:
        if self.explain.is_open:
            self._close_explain()
        else:
            self._open_explain()

    def _open_explain(self) -> None:
        row = self.tree.cursor_row
        key = row.key if row is not None else None
        self.explain.open_for(key)
        self.app.engine.explain(key)

    def action_explain_scroll(self, step: int) -> None:
        """Scroll the explain pane to its next lines, or back."""
        if self.explain.is_open:
            self.explain.scroll_lines(step)

    def action_filter(self) -> None:
        self.filter_line.open()

    def action_search(self) -> None:
        self.search_line.open()

    @on(Input.Changed, "SearchInput")
    def _search(self, event: Input.Changed) -> None:
        self.tree.search(event.value)

    @on(TreeView.Searched)
    def _show_matches(self, event: TreeView.Searched) -> None:
        self.search_line.show_matches(event.text, event.matches)

    @on(SearchInput.Left, "SearchInput")
    def _leave_search(self, event: SearchInput.Left) -> None:
        if event.cleared:
            self.search_line.input.value = ""
        self.set_focus(self.tree)
        self.search_line.close()

    @on(Input.Changed, "FilterInput")
    def _filter(self, event: Input.Changed) -> None:
        self.tree.show_filter(event.value)

    @on(FilterInput.Left, "FilterInput")
    def _leave_filter(self, event: FilterInput.Left) -> None:
        line = self.filter_line
        if event.cleared:
            line.input.value = ""
        self.set_focus(self.tree)
        if not line.input.value.strip():
            line.close()

    def action_back(self) -> None:
        """Clear the filter if there is one, else close the explain pane."""
        line = self.filter_line
        if line.input.value:
            line.input.value = ""
            line.close()
        elif self.explain.is_open:
            self._close_explain()

    def _close_explain(self) -> None:
        self.explain.close()
        self.app.engine.explain(None)

    def action_view(self) -> None:
        """Switch between grouping by container and by parent."""
        now = self.tree.grouping
        self.tree.set_grouping(Grouping.PARENTS if now is Grouping.CONTAINERS else Grouping.CONTAINERS)

    def action_sort(self, name: str) -> None:
        """Sort by `name`; if the tree is already sorted by it, return to the stable order."""
        sort = SortKey(name)
        self.tree.set_order(SortKey.TREE if sort is self.tree.sort else sort, self.tree.reverse)

    def action_sort_menu(self) -> None:
        def choose(sort: str | None) -> None:
            if sort is not None:
                self.tree.set_order(SortKey(sort), self.tree.reverse)

        self.app.push_screen(SortMenu(self.tree.sort), choose)

    def action_columns(self) -> None:
        self.app.push_screen(ColumnMenu(self.tree.columns, self.tree.set_columns))

    def action_invert(self) -> None:
        self.tree.set_order(self.tree.sort, not self.tree.reverse)

    def action_pause(self) -> None:
        paused = self.app.frame is not None and self.app.frame.header.paused
        self.app.engine.pause(not paused)

    def action_step(self, seconds: int) -> None:
        """Go back or forward in time; back pauses, and the end of the history is live again."""
        past = self.app.past
        if seconds < 0 and past.at_start and past.behind_ns:
            limit = f"limit {fmt.age(SPAN_NS)} / {fmt.size(past.limit_bytes)}"
            self.notify(f"Start of history ({limit}, now {fmt.size(past.kept_bytes)})", markup=False)
        self.app.engine.step(seconds * 1_000_000_000)

    def action_speed(self, step: int) -> None:
        if self.app.frame is None or self.app.frame.header.replay is None:
            self.notify("Only a replay can change its speed", severity="warning", markup=False)
        else:
            self.app.engine.change_speed(step)

    @changes("no signals are sent")
    def action_signal(self) -> None:
        """Ask which signal to send, then send it to the tagged processes, else to the selected one."""
        tree = self.tree
        keys = tree.chosen()
        refusal = self._no_signals(keys)
        if refusal:
            self.notify(refusal, severity="warning", markup=False)
            return
        row = tree.cursor_row
        name = row.text if row is not None else ""
        to_whom = f"{keys[0].tgid} {name}" if not tree.tagged else f"{len(keys)} tagged"

        def send(name: str | None) -> None:
            for key in keys if name is not None else ():
                result = send_signal(self.app.settings.host, key, Signals[str(name)])
                severity = "information" if result.sent else "error"
                self.notify(result.detail, severity=severity, markup=False)  # type: ignore[arg-type]

        self.app.push_screen(SignalMenu(to_whom), send)

    def _no_signals(self, keys: tuple[ProcessKey, ...]) -> str:
        """Return why no signal can be sent; empty if one can."""
        if not self.app.settings.allow_signals:
            return "Signals are off: start with `ebpf-tui --allow-signals`"
        if not self.app.is_live:
            return "Signals need a live host: this is a recording"
        if self.app.past.rewound:
            return f"Signals need the live view; {_TO_LIVE}"
        return "" if keys else "No process selected: move to one, or tag some with v"

    def action_resolve(self, evict: bool) -> None:
        key = process_key(self.tree.cursor_row)
        if self.app.past.rewound:
            self.notify(f"Resolving again needs the live view; {_TO_LIVE}", severity="warning", markup=False)
        elif key is not None:
            self.app.engine.resolve(key.tgid, evict=evict)
