"""Screen 4: the contents of the objects that were built, and of the shipped probe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from platformdirs import user_cache_path
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from buildgen.errors import BuildgenError
from buildgen.objects import Comparison, ObjectFile, Program, compare, read_object
from buildgen.objects.disassembly import disassemble
from buildgen.plan.ninja_file import PREVIOUS
from buildgen.project.toolchain import find_toolchain
from buildgen.session.board import UNASKED, read_board
from buildgen.verifier.model import ObjectVerdict
from buildgen.verifier.verify import verify_object
from core.text.safe import safe_text
from tui.keymap import bindings
from tui.read_only import changes
from tui.reload import own_probe
from tui.screens import object_views as views
from tui.screens.base_screen import BaseScreen
from tui.screens.object_views import Page
from tui.widgets.fold_pane import FoldNode, FoldPane
from tui.widgets.list_pane import Cell, Line, ListPane

SHIPPED = "process.bpf.o"
"""The probe that is shipped with the program, in the directory of its source."""


class ObjectsScreen(BaseScreen):
    """Objects on the left; on the right the contents of one, its verdicts or its comparison."""

    NAME = "objects"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("objects")]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  # as in Screen
    DEFAULT_CSS = """
    ObjectsScreen {
        & #objects-body { height: 1fr; layout: horizontal; }
        &.-narrow #objects-body { layout: vertical; }
        & #objects { width: 36; height: 1fr; }
        &.-narrow #objects { width: 1fr; height: 6; }
        & #inside { width: 1fr; height: 1fr; }
        &.-wide #inside { border-left: solid $panel-lighten-1; }
    }
    """

    class Listed(Message):
        """The list of existing objects is complete."""

        def __init__(self, objects: list[tuple[str, Path]]) -> None:
            super().__init__()
            self.objects = objects

    class Opened(Message):
        """The answer to request `number`; `overview`: it is the page to which `esc` returns."""

        def __init__(self, number: int, page: Page, overview: bool) -> None:
            super().__init__()
            self.number = number
            self.page = page
            self.overview = overview

    class Code(Message):
        """The code of the program that `node` represents."""

        def __init__(self, node: FoldNode, children: list[FoldNode]) -> None:
            super().__init__()
            self.node = node
            self.children = children

    class Judged(Message):
        """The verifier's verdicts on the programs of an object."""

        def __init__(self, path: Path, verdict: ObjectVerdict) -> None:
            super().__init__()
            self.path = path
            self.verdict = verdict

    def __init__(self) -> None:
        super().__init__()
        self.objects = ListPane()
        self.inside = FoldPane()
        self._objects: list[tuple[str, Path]] = []
        self._shown: Path | None = None
        self._overview: Page | None = None
        self._page: Page | None = None
        self._place = 0
        """The row of the overview to return to."""
        self._request_number = 0
        """Number of the latest request: answers to older ones are dropped."""

    def compose_body(self) -> ComposeResult:
        self.objects.id, self.inside.id = "objects", "inside"
        with Container(id="objects-body"):
            yield self.objects
            yield self.inside

    def on_mount(self) -> None:
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        """Search for objects again, and read the selected one again."""
        self._shown = None
        if not self._objects:
            self.objects.show("objects", [[Cell("searching…", "dim")]])
        self._list()

    @work(thread=True, exclusive=True, group="objects", exit_on_error=False)
    def _list(self) -> None:
        probe, built = own_probe(user_cache_path("ebpf-tui"))
        objects = [("the shipped probe", probe / SHIPPED)] if (probe / SHIPPED).exists() else []
        for row in read_board(self.app.settings.host, [(Path(), None), (probe, built)]).targets:
            if row.target.output.exists():
                objects.append((safe_text(row.target.label), row.target.output))
        self.post_message(self.Listed(objects))

    def on_objects_screen_listed(self, event: Listed) -> None:
        self._objects = event.objects
        rows: list[Line] = [[Cell(name)] for name, _ in event.objects]
        self.objects.show("objects", rows or [[Cell("nothing built yet: press 2, then B", "warn")]])
        self._open_selected()

    @on(ListPane.Moved, "#objects")
    def _open_selected(self) -> None:
        if not self._objects:
            return
        path = self._objects[min(self.objects.cursor, len(self._objects) - 1)][1]
        if path != self._shown:
            self._shown, self._overview, self._page = path, None, None
            self._ask(path, _glance, overview=True)

    # --- requests about an object -----------------------------------------------------------------

    def action_open(self) -> None:
        """Move into the object; inside it, fold or unfold."""
        if self._page is not None and not self._page.is_read and self._shown is not None:
            self.inside.show(self._page.title, [[Cell("reading…", "dim")]])
            self._ask(self._shown, _read, overview=True)
        if self.focused is not self.inside:
            self.inside.focus()
        else:
            self.inside.toggle()

    def action_toggle_fold(self) -> None:
        if self.focused is self.inside:
            self.inside.toggle()

    def action_fold(self) -> None:
        """Fold the line, or go to its parent."""
        if self.focused is self.inside:
            self.inside.fold()

    def action_unfold(self) -> None:
        """Unfold the line; on the list, move into the object."""
        if self.focused is self.inside:
            self.inside.unfold()
        else:
            self.inside.focus()

    def on_fold_pane_wanted(self, event: FoldPane.Wanted) -> None:
        """A program was unfolded: read its code."""
        node, program = event.node, event.node.lazy
        if self._shown is not None and isinstance(program, Program):
            self.inside.fill(node, [FoldNode([Cell("reading code…", "dim")])])
            self._disassemble(self._shown, node, program)

    @work(thread=True, group="code", exit_on_error=False)
    def _disassemble(self, path: Path, node: FoldNode, program: Program) -> None:
        try:
            children = _code(path, program)
        except (BuildgenError, OSError) as error:
            reason = str(error).removeprefix(f"{path}: ")  # the pane already names the object
            children = [FoldNode([Cell(safe_text(reason), "bad")])]
        self.post_message(self.Code(node, children))

    def on_objects_screen_code(self, event: Code) -> None:
        self.inside.fill(event.node, event.children)

    @changes("nothing is loaded into the kernel")
    def action_verify(self) -> None:
        """Load every program of the object to get the verifier's verdict."""
        self._ask_shown("loading each program…", self._verdicts)

    def _verdicts(self, path: Path) -> Page:
        """Called on a worker thread."""
        verdict = verify_object(path)
        self.post_message(self.Judged(path, verdict))
        return views.verdicts(verdict)

    def on_objects_screen_judged(self, event: Judged) -> None:
        """Add the verdicts to the overview, for when it is shown again."""
        if event.path == self._shown and self._overview is not None:
            views.judge(self._overview.tree, event.verdict)

    def action_difference(self) -> None:
        """Compare with the object that the latest build replaced."""
        self._ask_shown("comparing…", _difference)

    def action_back(self) -> None:
        """Return from a page to the object, from the object to the list."""
        self._request_number += 1
        if self._page is not self._overview and self._overview is not None:
            self._turn_to(self._overview, self._place)
        else:
            self.objects.focus()

    def _ask_shown(self, progress: str, make: Callable[[Path], Page]) -> None:
        if self._shown is not None and self._overview is not None:
            if self._page is self._overview:
                self._place = self.inside.cursor
            self._turn_to(Page(self._overview.title, [[Cell(progress, "dim")]]))
            self._ask(self._shown, make)

    def _ask(self, path: Path, make: Callable[[Path], Page], overview: bool = False) -> None:
        self._request_number += 1
        self._answer(self._request_number, path, make, overview)

    @work(thread=True, exclusive=True, group="object", exit_on_error=False)
    def _answer(self, number: int, path: Path, make: Callable[[Path], Page], overview: bool) -> None:
        try:
            page = make(path)
        except (BuildgenError, OSError) as error:
            lines: list[Line] = [[Cell(safe_text(str(error)), "bad")]]
            page = Page(safe_text(path.name), lines, "unreadable" if overview else "esc: back")
        self.post_message(self.Opened(number, page, overview))

    def on_objects_screen_opened(self, event: Opened) -> None:
        if event.number != self._request_number:
            return
        if event.overview:
            self._overview = event.page
        self._turn_to(event.page)

    def _turn_to(self, page: Page, cursor: int = 0) -> None:
        self._page = page
        self.inside.top = 0
        if page.tree:
            self.inside.show_tree(page.title, page.tree, page.note)
        else:
            self.inside.show(page.title, page.lines, page.note)
        self.inside.move_to(cursor)


def _glance(path: Path) -> Page:
    """Read an object if it is small; a large one is read only on request."""
    sizes = [file.stat().st_size for file in (path, _previous(path)) if file.exists()]
    return views.unread(path, max(sizes)) if max(sizes, default=0) > UNASKED else _read(path)


def _read(path: Path) -> Page:
    content = read_object(path)
    return views.overview(content, _since(path, content))


def _previous(path: Path) -> Path:
    return path.with_name(path.name + PREVIOUS)


def _code(path: Path, program: Program) -> list[FoldNode]:
    return views.code(disassemble(read_object(path), program, find_toolchain().objdump))


def _since(path: Path, content: ObjectFile) -> Comparison | None:
    """Compare with the previous build; None if there is none or it cannot be read."""
    try:
        return compare(read_object(_previous(path)), content)
    except BuildgenError:
        return None


def _difference(path: Path) -> Page:
    since = _since(path, read_object(path))
    if since is None:
        text = "There is no earlier build; the next build that differs is compared with this one."
        return Page("since the previous build", [[Cell(text)]], "esc: back")
    return views.difference(since)
