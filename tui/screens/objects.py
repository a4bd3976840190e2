"""Screen 4: what is inside the objects that were built, and inside the probe that is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from platformdirs import user_cache_path
from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from buildgen.errors import BuildgenError
from buildgen.objects import ObjectFile, read_object
from core.text import safe_text
from tui.keymap import bindings
from tui.screens.build_board import own_probe, read_board
from tui.screens.room import Room
from tui.widgets import format as fmt
from tui.widgets.list_pane import Cell, Line, ListPane, cells

SHIPPED = "process.bpf.o"
"""The probe that comes with the program, beside its source."""


class ObjectsScreen(Room):
    """Objects on the left; programs, maps, variables and relocations of one on the right."""

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
        """An object was read, or could not be."""

        def __init__(self, path: Path, lines: list[Line], note: str) -> None:
            super().__init__()
            self.path = path
            self.lines = lines
            self.note = note

    def __init__(self) -> None:
        super().__init__()
        self.objects = ListPane()
        self.inside = ListPane(wraps=True)
        self._objects: list[tuple[str, Path]] = []
        self._shown: Path | None = None

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

    @work(thread=True, exclusive=True, group="objects")
    def _list(self) -> None:
        probe, built = own_probe(user_cache_path("ebpf-tui"))
        found = [("the shipped probe", probe / SHIPPED)] if (probe / SHIPPED).exists() else []
        for row in read_board(self.app.settings.host, [(Path.cwd(), None), (probe, built)]).targets:
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
            self._shown = path
            self._open(path)

    @work(thread=True, exclusive=True, group="object")
    def _open(self, path: Path) -> None:
        try:
            found = read_object(path)
        except (BuildgenError, OSError) as error:
            lines: list[Line] = [[Cell(safe_text(str(error)), "bad")]]
            self.post_message(self.Opened(path, lines, "unreadable"))
            return
        self.post_message(
            self.Opened(path, list(describe(found)), f"{found.machine} · {found.endian} endian")
        )

    def on_objects_screen_opened(self, event: Opened) -> None:
        if event.path == self._shown:
            self.inside.cursor = self.inside.top = 0
            self.inside.show(safe_text(event.path.name), event.lines, event.note)


def describe(found: ObjectFile) -> Iterator[Line]:
    """Yield the lines that show an object."""
    btf = found.btf
    yield [Cell(safe_text(str(found.path)), "dim")]
    about = f"{fmt.size(found.size)} · license {found.license or 'none: most helpers will be refused'}"
    yield [Cell(about)]
    if btf is None:
        yield [Cell("no BTF: it cannot be CO-RE", "warn")]
    else:
        ext = "with .BTF.ext" if btf.ext else "without .BTF.ext"
        yield [Cell(f"BTF {fmt.size(btf.size)} · {btf.types} types · {ext}", "dim")]
    yield from _programs(found)
    yield from _maps(found)
    yield from _variables(found)
    yield from _relocations(found)
    yield _title("sections", len(found.sections))
    for section in found.sections:
        yield cells((section.name, 30), (section.type, 16, "dim"), (fmt.size(section.size), -7))


def _title(name: str, count: int) -> Line:
    return [Cell(f"{name} ", "title"), Cell(str(count), "dim")]


def _programs(found: ObjectFile) -> Iterator[Line]:
    programs = [program for program in found.programs if not program.subprogram]
    yield _title("programs", len(programs))
    for program in programs:
        yield [
            *cells((program.name, 26), (f"{program.insns} insns", -11, "key"), (program.type, 14, "dim")),
            Cell(program.attach_to or program.section, "dim"),
        ]
    subprograms = [program for program in found.programs if program.subprogram]
    if subprograms:
        yield _title("subprograms", len(subprograms))
    for program in subprograms:
        yield cells((program.name, 26), (f"{program.insns} insns", -11, "key"))


def _maps(found: ObjectFile) -> Iterator[Line]:
    yield _title("maps", len(found.maps))
    for one in found.maps:
        shape = f"{one.key_size} → {one.value_size} B × {fmt.count(one.max_entries)}"
        yield [*cells((one.name, 26), (one.type, 14, "key"), (shape, 24)), Cell(one.defined_in, "dim")]


def _variables(found: ObjectFile) -> Iterator[Line]:
    yield _title("variables", len(found.variables))
    for one in found.variables:
        place = "extern" if one.offset is None else f"+{one.offset}"
        yield cells((one.name, 26), (f"{one.size} B", -11), (one.section, 14, "dim"), (place, 8, "dim"))


def _relocations(found: ObjectFile) -> Iterator[Line]:
    yield _title("CO-RE relocations", len(found.core_relocations))
    for one in found.core_relocations:
        yield [
            *cells((one.section, 26, "dim"), (f"insn {one.insn}", -11), (one.kind, 14, "key")),
            Cell(f"{one.type}.{one.access}" if one.access else one.type),
        ]
