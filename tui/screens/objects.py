"""Screen 4: what is inside the objects that were built, and inside the probe that is shipped."""

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
from buildgen.objects.verify import verify_object
from buildgen.plan.ninja_file import PREVIOUS
from buildgen.project.toolchain import find_toolchain
from buildgen.session.board import UNASKED, read_board
from buildgen.verifier.model import ObjectVerdict
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
"""The probe that comes with the program, beside its source."""


class ObjectsScreen(BaseScreen):
    """Objects on the left; on the right what is inside of one, or what was asked of it."""

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
        """The objects that exist were found."""

        def __init__(self, objects: list[tuple[str, Path]]) -> None:
            super().__init__()
            self.objects = objects

    class Opened(Message):
        """The answer to question `number`; `overview` is what `esc` comes back to."""

        def __init__(self, number: int, page: Page, overview: bool) -> None:
            super().__init__()
            self.number = number
            self.page = page
            self.overview = overview

    class Code(Message):
        """The code of the program that `node` stands for."""

        def __init__(self, node: FoldNode, children: list[FoldNode]) -> None:
            super().__init__()
            self.node = node
            self.children = children

    class Judged(Message):
        """What the verifier said of the programs of an object."""

        def __init__(self, path: Path, found: ObjectVerdict) -> None:
            super().__init__()
            self.path = path
            self.found = found

    def __init__(self) -> None:
        super().__init__()
        self.objects = ListPane()
        self.inside = FoldPane()
        self._objects: list[tuple[str, Path]] = []
        self._shown: Path | None = None
        self._overview: Page | None = None
        self._page: Page | None = None
        self._place = 0
        """The row of the overview that a program was opened from."""
        self._question = 0
        """Number of the latest question: an answer to an older one comes too late."""

    def compose_body(self) -> ComposeResult:
        self.objects.id, self.inside.id = "objects", "inside"
        with Container(id="objects-body"):
            yield self.objects
            yield self.inside

    def on_mount(self) -> None:
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        """Look for objects anew, and read the one that is shown again."""
        self._shown = None
        if not self._objects:
            self.objects.show("objects", [[Cell("looking…", "dim")]])
        self._list()

    @work(thread=True, exclusive=True, group="objects", exit_on_error=False)
    def _list(self) -> None:
        probe, built = own_probe(user_cache_path("ebpf-tui"))
        found = [("the shipped probe", probe / SHIPPED)] if (probe / SHIPPED).exists() else []
        for row in read_board(self.app.settings.host, [(Path(), None), (probe, built)]).targets:
            if row.target.output.exists():
                found.append((safe_text(row.target.label), row.target.output))
        self.post_message(self.Listed(found))

    def on_objects_screen_listed(self, event: Listed) -> None:
        self._objects = event.objects
        rows: list[Line] = [[Cell(name)] for name, _ in event.objects]
        self.objects.show("objects", rows or [[Cell("none built yet: 2, then B", "warn")]])
        self._open_selected()

    @on(ListPane.Moved, "#objects")
    def _open_selected(self) -> None:
        if not self._objects:
            return
        path = self._objects[min(self.objects.cursor, len(self._objects) - 1)][1]
        if path != self._shown:
            self._shown, self._overview, self._page = path, None, None
            self._ask(path, _glance, overview=True)

    # --- what is asked of an object --------------------------------------------------------------

    def action_open(self) -> None:
        """Go into the object; in it, fold and unfold."""
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
        """Fold; from the outermost, back to the list."""
        if self.focused is self.inside:
            self.inside.fold()

    def action_unfold(self) -> None:
        """Unfold; from the list, into the object."""
        if self.focused is self.inside:
            self.inside.unfold()
        else:
            self.inside.focus()

    def on_fold_pane_wanted(self, event: FoldPane.Wanted) -> None:
        """A program was unfolded: ask for its code."""
        node, program = event.node, event.node.lazy
        if self._shown is not None and isinstance(program, Program):
            self.inside.fill(node, [FoldNode([Cell("reading its code…", "dim")])])
            self._disassemble(self._shown, node, program)

    @work(thread=True, group="code", exit_on_error=False)
    def _disassemble(self, path: Path, node: FoldNode, program: Program) -> None:
        try:
            children = _code(path, program)
        except (BuildgenError, OSError) as error:
            what = str(error).removeprefix(f"{path}: ")  # which object it is, the pane says
            children = [FoldNode([Cell(safe_text(what), "bad")])]
        self.post_message(self.Code(node, children))

    def on_objects_screen_code(self, event: Code) -> None:
        self.inside.fill(event.node, event.children)

    @changes("nothing is loaded into the kernel")
    def action_verify(self) -> None:
        """Let the kernel's verifier look at every program."""
        self._ask_shown("loading each program…", self._verdicts)

    def _verdicts(self, path: Path) -> Page:
        """Called in a worker."""
        found = verify_object(path)
        self.post_message(self.Judged(path, found))
        return views.verdicts(found)

    def on_objects_screen_judged(self, event: Judged) -> None:
        """Let the tree show the verdicts, too, when it is turned to again."""
        if event.path == self._shown and self._overview is not None:
            views.judge(self._overview.tree, event.found)

    def action_difference(self) -> None:
        """Compare with the object that the latest build replaced."""
        self._ask_shown("comparing…", _difference)

    def action_back(self) -> None:
        """From what was asked to the object, from there to the list."""
        self._question += 1
        if self._page is not self._overview and self._overview is not None:
            self._turn_to(self._overview, self._place)
        else:
            self.objects.focus()

    def _ask_shown(self, meanwhile: str, make: Callable[[Path], Page]) -> None:
        if self._shown is not None and self._overview is not None:
            if self._page is self._overview:
                self._place = self.inside.cursor
            self._turn_to(Page(self._overview.title, [[Cell(meanwhile, "dim")]]))
            self._ask(self._shown, make)

    def _ask(self, path: Path, make: Callable[[Path], Page], overview: bool = False) -> None:
        self._question += 1
        self._answer(self._question, path, make, overview)

    @work(thread=True, exclusive=True, group="object", exit_on_error=False)
    def _answer(self, number: int, path: Path, make: Callable[[Path], Page], overview: bool) -> None:
        try:
            page = make(path)
        except (BuildgenError, OSError) as error:
            lines: list[Line] = [[Cell(safe_text(str(error)), "bad")]]
            page = Page(safe_text(path.name), lines, "unreadable" if overview else "esc: back")
        self.post_message(self.Opened(number, page, overview))

    def on_objects_screen_opened(self, event: Opened) -> None:
        if event.number != self._question:
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
    """Read what is cheap to read; what is not waits until somebody asks for it."""
    sizes = [one.stat().st_size for one in (path, _previous(path)) if one.exists()]
    return views.unread(path, max(sizes)) if max(sizes, default=0) > UNASKED else _read(path)


def _read(path: Path) -> Page:
    found = read_object(path)
    return views.overview(found, _since(path, found))


def _previous(path: Path) -> Path:
    return path.with_name(path.name + PREVIOUS)


def _code(path: Path, program: Program) -> list[FoldNode]:
    return views.code(disassemble(read_object(path), program, find_toolchain().objdump))


def _since(path: Path, found: ObjectFile) -> Comparison | None:
    """Compare with the build before; None when there is none, or it cannot be read."""
    try:
        return compare(read_object(_previous(path)), found)
    except BuildgenError:
        return None


def _difference(path: Path) -> Page:
    since = _since(path, read_object(path))
    if since is None:
        said = "no other build of it is there: the next one that differs is compared with this"
        return Page("since the build before", [[Cell(said)]], "esc: back")
    return views.difference(since)
