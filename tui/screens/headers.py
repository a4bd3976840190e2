"""Screen 3: the kernel headers that were found, which are used and why, and the compiler flags."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message

from buildgen.errors import ToolchainError
from buildgen.headers.find import Candidate, HeadersNotFound, find_header_dirs
from buildgen.project.flags import VARIANTS, Flag, compile_flags, whole_command
from buildgen.project.toolchain import find_toolchain
from core.system.arch import ARCHES, Arch, local_arch
from core.system.host import Host
from core.text.safe import safe_text
from tui.keymap import bindings
from tui.screens.base_screen import BaseScreen
from tui.widgets.list_pane import Cell, Line, ListPane, cells


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of the search for one architecture."""

    arch: Arch
    asked: str
    candidates: tuple[Candidate, ...]
    dirs: tuple[tuple[str, str], ...]
    """Pairs (tree, directory in it); both safe."""
    header_flags: tuple[Flag, ...]
    warnings: tuple[str, ...]
    problem: str = ""
    compiler: str = "clang"


def search(host: Host, arch: Arch) -> Findings:
    """Search for headers; finding none is a result too. Reads the disk."""
    try:
        headers = find_header_dirs(host, arch=arch)
    except HeadersNotFound as error:
        return Findings(
            arch,
            safe_text(host.kernel_release()),
            error.candidates,
            (),
            (),
            (),
            f"no headers found: {error.hint}",
        )
    dirs = tuple(_in_tree(path, headers.trees) for path in headers.dirs)
    return Findings(
        arch,
        headers.release.text,
        headers.candidates,
        dirs,
        headers.flags,
        headers.warnings,
        compiler=_compiler(),
    )


def _compiler() -> str:
    try:
        return str(find_toolchain().clang.path)
    except ToolchainError:
        return "clang"


def _in_tree(path: Path, trees: tuple[Path, ...]) -> tuple[str, str]:
    for tree in trees:
        if path.is_relative_to(tree):
            return safe_text(str(tree)), safe_text(str(path.relative_to(tree)))
    return "", safe_text(str(path))


class HeadersScreen(BaseScreen):
    """`a` shows the next architecture, `v` the flags of the next variant."""

    NAME = "headers"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("headers")]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012  # as in Screen
    DEFAULT_CSS = """
    HeadersScreen {
        & #findings { height: 1fr; layout: horizontal; }
        &.-narrow #findings { layout: vertical; }
        & #left, & #right { width: 1fr; height: 1fr; }
        &.-wide #right { border-left: solid $panel-lighten-1; }
        & #candidates { height: 1fr; }
        & #verdict { height: 7; }
        &.-narrow #verdict { height: 4; }
    }
    """

    class Found(Message):
        """The search is complete."""

        def __init__(self, findings: Findings) -> None:
            super().__init__()
            self.findings = findings

    def __init__(self) -> None:
        super().__init__()
        self._arch = local_arch()
        self._variant = VARIANTS[0]
        self._findings: Findings | None = None
        self.candidates = ListPane()
        self.verdict = ListPane(wraps=True)
        self.flags = ListPane(wraps=True)

    def compose_body(self) -> ComposeResult:
        self.candidates.id, self.verdict.id, self.flags.id = "candidates", "verdict", "flags"
        self.verdict.can_focus = False
        with Container(id="findings"):
            with Container(id="left"):
                yield self.candidates
                yield self.verdict
            with Container(id="right"):
                yield self.flags

    def on_mount(self) -> None:
        super().on_mount()
        self._look()

    def action_arch(self) -> None:
        names = [arch.name for arch in ARCHES]
        self._arch = ARCHES[(names.index(self._arch.name) + 1) % len(ARCHES)]
        self._look()

    def action_variant(self) -> None:
        self._variant = VARIANTS[(VARIANTS.index(self._variant) + 1) % len(VARIANTS)]
        self._show_flags()

    def action_copy(self) -> None:
        """Copy the command that `ebpf-tui flags` prints, through the terminal (OSC 52), so over ssh too."""
        findings = self._findings
        if findings is None:
            return
        command = whole_command(self._flags(findings), findings.compiler)
        self.app.copy_to_clipboard(command)
        self.notify(f"Copied: {safe_text(command, 60)}", markup=False)

    def _flags(self, findings: Findings) -> tuple[Flag, ...]:
        """Return all flags of the current variant."""
        prebuilt = self._variant.base == "prebuilt"
        return (*compile_flags(findings.arch, self._variant), *(findings.header_flags if prebuilt else ()))

    def action_again(self) -> None:
        self._look()

    def _look(self) -> None:
        self.candidates.show("candidates", [[Cell("searching…", "dim")]], self._arch.name)
        self._search(self.app.settings.host, self._arch)

    @work(thread=True, exclusive=True, group="headers", exit_on_error=False)
    def _search(self, host: Host, arch: Arch) -> None:
        self.post_message(self.Found(search(host, arch)))

    def on_headers_screen_found(self, event: Found) -> None:
        if event.findings.arch != self._arch:
            return  # another architecture was chosen in the meantime
        self._findings = findings = event.findings
        rows = [_candidate_row(candidate) for candidate in findings.candidates]
        self.candidates.show(
            f"candidates for {findings.asked}",
            rows or [[Cell("no candidate directory", "warn")]],
            findings.arch.name,
        )
        self._show_verdict()
        self._show_flags()

    @on(ListPane.Moved, "#candidates")
    def _show_verdict(self) -> None:
        findings = self._findings
        if findings is None or not findings.candidates:
            self.verdict.show("verdict", [])
            return
        candidate = findings.candidates[min(self.candidates.cursor, len(findings.candidates) - 1)]
        lines: list[Line] = [
            [Cell(safe_text(str(candidate.path)), "title")],
            [
                Cell("used: " if candidate.chosen else "not used: ", _kind(candidate)),
                Cell(candidate.reason),
            ],
        ]
        if candidate.resolved is not None and candidate.resolved != candidate.path:
            lines.append([Cell(f"resolves to {safe_text(str(candidate.resolved))}", "dim")])
        self.verdict.show("verdict", lines)

    def _show_flags(self) -> None:
        findings = self._findings
        if findings is None:
            return
        lines: list[Line] = [[Cell(f"! {warning}", "warn")] for warning in findings.warnings]
        if findings.problem:
            lines.append([Cell(f"! {findings.problem}", "bad")])
        lines.append([Cell("directories in search order", "title")])
        previous = ""
        for number, (tree, path) in enumerate(findings.dirs, 1):
            if tree != previous:
                lines.append([Cell(f"   {tree}/", "dim")])
                previous = tree
            lines.append([Cell(f"{number:>2} ", "dim"), Cell(path)])
        lines.append([Cell(f"flags of {self._variant}", "title")])
        for flag in self._flags(findings):
            lines.append([Cell(safe_text(flag.flag), "key"), Cell(f"  {flag.why}", "dim")])
        self.flags.show("directories and flags", lines, f"{findings.arch.name} · {self._variant}")


def _candidate_row(candidate: Candidate) -> Line:
    sign = "✓" if candidate.chosen else "·"
    return [
        Cell(f"{sign} ", _kind(candidate)),
        *cells((candidate.holds, 7, _kind(candidate)), (safe_text(candidate.release or "–"), 18)),
        Cell(safe_text(str(candidate.path)), "" if candidate.chosen else "dim"),
    ]


def _kind(candidate: Candidate) -> str:
    return "good" if candidate.chosen else "dim"
