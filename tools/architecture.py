"""Prints the rooms of each top-level package, their floors and arrows; fails on a circle or an arrow up.

A room is a direct child of `core`, `buildgen` or `tui`. An arrow is an import between two rooms, including
imports for type checkers only. A room is on the floor above the highest room that it imports. An arrow goes
up if it contradicts the layers that pyproject.toml sets for import-linter. `--page` writes the floors into
docs/architecture.md.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("core", "buildgen", "tui")
PAGE = ROOT / "docs/architecture.md"
_BEGIN = "<!-- floors: written by `python tools/architecture.py --page` -->\n"
_END = "<!-- end of floors -->\n"
_WIDTH = 96


@dataclass(frozen=True)
class Graph:
    """The imports between the children of one package. `arrows` maps an importer to its imports."""

    package: str
    arrows: dict[str, frozenset[str]]
    ranks: dict[str, int]
    """Layer of each child in the contract, 0 being the highest; children outside the contract are omitted."""

    @cached_property
    def circles(self) -> list[list[str]]:
        """Return the groups of children that import each other, each in alphabetical order."""
        reached = {room: _reachable(self.arrows, room) for room in self.arrows}
        groups = {
            tuple(sorted({room} | {other for other in reached[room] if room in reached[other]}))
            for room in self.arrows
        }
        return [list(group) for group in sorted(groups) if len(group) > 1]

    @cached_property
    def floors(self) -> list[list[str]]:
        """Return the children by floor, the highest first. Children of a circle share a floor."""
        circle_of = {room: group[0] for group in self.circles for room in group}
        height: dict[str, int] = {}

        def climb(room: str) -> int:
            representative = circle_of.get(room, room)
            if representative not in height:
                members = [other for other in self.arrows if circle_of.get(other, other) == representative]
                below = {target for member in members for target in self.arrows[member]} - set(members)
                height[representative] = 1 + max(map(climb, below), default=0)
            return height[representative]

        by_floor: dict[int, list[str]] = {}
        for room in sorted(self.arrows):
            by_floor.setdefault(climb(room), []).append(room)
        return [by_floor[floor] for floor in sorted(by_floor, reverse=True)]

    @property
    def upward(self) -> Iterator[tuple[str, str]]:
        for importer, imported in sorted(self.arrows.items()):
            for target in sorted(imported):
                ranks = self.ranks.get(importer), self.ranks.get(target)
                if ranks[0] is not None and ranks[1] is not None and ranks[0] > ranks[1]:
                    yield importer, target


def _reachable(arrows: dict[str, frozenset[str]], start: str) -> set[str]:
    reached: set[str] = set()
    waiting = list(arrows[start])
    while waiting:
        room = waiting.pop()
        if room not in reached:
            reached.add(room)
            waiting.extend(arrows[room])
    return reached


def _layers(package: str) -> dict[str, int]:
    """Return the rank of each child in the layers contract of a package."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    for contract in settings["tool"]["importlinter"]["contracts"]:
        if contract["type"] == "layers" and contract["layers"][0].lstrip("(").startswith(f"{package}."):
            return {
                room.strip().strip("()").split(".")[1]: rank
                for rank, layer in enumerate(contract["layers"])
                for room in layer.replace("|", ":").split(":")
            }
    return {}


def graph_of(package: str, imports: grimp.ImportGraph) -> Graph:
    """Return the graph of the children of one package."""
    arrows: dict[str, set[str]] = {}
    for module in imports.modules:
        if not module.startswith(f"{package}."):
            continue
        room = module.split(".")[1]
        targets = arrows.setdefault(room, set())
        for target in imports.find_modules_directly_imported_by(module):
            if target.startswith(f"{package}."):
                targets.add(target.split(".")[1])
    return Graph(
        package, {room: frozenset(targets - {room}) for room, targets in arrows.items()}, _layers(package)
    )


def drawing(package: str, graph: Graph) -> str:
    """Return the floors of a package as text, the highest first, with the first line of each docstring."""
    lines = [f"{package}/  {_story(package)}"]
    for floor in graph.floors:
        lines.append("  " + "─" * (_WIDTH - 2))
        lines += [f"  {room + _kind(package, room):<17}{_story(f'{package}.{room}')}" for room in floor]
    return "\n".join(line[: _WIDTH - 1] + "…" if len(line) > _WIDTH else line for line in lines)


def _kind(package: str, room: str) -> str:
    return "/" if (ROOT / package / room).is_dir() else ""


def _story(module: str) -> str:
    """Return the first line of a module's docstring."""
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def page_with(graphs: dict[str, Graph]) -> str:
    """Return docs/architecture.md with the floors as they are now."""
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    drawn = "\n\n".join(drawing(package, graphs[package]) for package in reversed(PACKAGES))
    return f"{before}{_BEGIN}```\n{drawn}\n```\n{_END}{after}"


def graphs() -> dict[str, Graph]:
    """Return the graph of each package of this checkout."""
    imports = grimp.build_graph(*PACKAGES, cache_dir=None)
    return {package: graph_of(package, imports) for package in PACKAGES}


def main() -> int:
    measured = graphs()
    if "--page" in sys.argv:
        PAGE.write_text(page_with(measured))
        return 0
    wrong = 0
    for package, graph in measured.items():
        upward = list(graph.upward)
        wrong += len(graph.circles) + len(upward)
        print(
            f"{package}: {len(graph.arrows)} rooms on {len(graph.floors)} floors,"
            f" {len(graph.circles)} circles, {len(upward)} arrows up"
        )
        for floor in graph.floors:
            for room in floor:
                below = ", ".join(sorted(graph.arrows[room])) or "nothing in this package"
                print(f"    {room:<16} imports {below}")
            print()
        for circle in graph.circles:
            print(f"  circle: {' <-> '.join(circle)}")
        for importer, target in upward:
            print(f"  up: {importer} -> {target}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
