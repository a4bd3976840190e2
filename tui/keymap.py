"""The one registry of commands. Bindings, footer, help and palette are generated from it.

An id is stable and documented: users name it under `[keys]` in their configuration. A command is listed
here only when it works.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the screens.

    `keys` are Textual's names, separated by commas. `scope` is where the binding is live (see SCOPES).
    `effect`: `changes` if the command does something to the host; read-only screens refuse such a command.
    `help` is a whole phrase of at most 39 characters, `title` has at most 15: both fit the help screen.
    `footer` is the rank in the footer, 0 to leave it out. `priority`: the key is handled before the focused
    widget sees it, so that keys typed right after it already reach the widget that the command opens.
    """

    effect: Literal["looks", "changes"]
    id: str
    keys: str
    action: str
    title: str
    help: str
    scope: str
    footer: int = 0
    priority: bool = False

    @property
    def shown_keys(self) -> str:
        """The keys as users write them: `space`, `Left`, `ctrl+p`."""
        return " ".join(_shown(key) for key in self.keys.split(","))

    @property
    def first_key(self) -> str:
        """The key that the footer shows."""
        return self.shown_keys.split(" ")[0]


SCOPES = {
    "everywhere": "Everywhere",
    "list": "Navigation",
    "tree": "Process tree",
    "processes": "1 Processes",
    "build": "2 Build",
    "headers": "3 Headers",
    "objects": "4 Objects",
    "filter": "Filter line",
    "search": "Search line",
}

_TOGETHER = (
    ("tree", "list", "processes", "everywhere"),
    *(("list", screen, "everywhere") for screen in ("build", "headers", "objects")),
    ("filter",),
    ("search",),
)
"""Scopes that are live at the same time: among them a key has one meaning."""

_SHOWN = {
    "up": "Up",
    "down": "Down",
    "left": "Left",
    "right": "Right",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "escape": "esc",
    "slash": "/",
    "colon": ":",
    "question_mark": "?",
    "plus": "+",
    "minus": "-",
    "asterisk": "*",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "left_curly_bracket": "{",
    "right_curly_bracket": "}",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}

_looks = partial(Command, "looks")
_changes = partial(Command, "changes")
"""The only two ways into the registry: every command declares what it does to the host."""

# fmt: off
COMMANDS: tuple[Command, ...] = (
    _looks("screen.processes", "1", "screen('processes')", "Processes",
           "Show the live process tree", "everywhere"),
    _looks("screen.build", "2", "screen('build')", "Build", "Build objects and see progress", "everywhere"),
    _looks("screen.headers", "3", "screen('headers')", "Headers",
           "Show kernel headers and compiler flags", "everywhere"),
    _looks("screen.objects", "4", "screen('objects')", "Objects", "Inspect eBPF objects", "everywhere"),
    _looks("screen.resolver", "5", "screen('resolver')", "Resolver",
           "Show which tiers answer, and how often", "everywhere"),
    _changes("app.reload", "L", "reload", "Reload probe", "Load the newest build of the probe", "everywhere"),
    _looks("app.help", "question_mark,f1", "help", "Help", "List the keys that work here", "everywhere", 90),
    _looks("app.palette", "colon,ctrl+p", "command_palette", "Commands",
           "Run any command by name", "everywhere", 80),
    _looks("app.suspend", "ctrl+z", "suspend_process", "Suspend",
           "Suspend; fg resumes", "everywhere", 0, True),
    _looks("app.quit", "q", "quit", "Quit", "Quit ebpf-tui", "everywhere", 95),
    _looks("app.interrupt", "ctrl+c", "interrupt", "Interrupt",
           "Quit with exit code 130", "everywhere", 0, True),
    _looks("list.up", "up,k", "up", "Up", "Move up one row", "list"),
    _looks("list.down", "down,j", "down", "Down", "Move down one row", "list"),
    _looks("list.page_up", "pageup", "page_up", "Page up", "Move up one page", "list"),
    _looks("list.page_down", "pagedown", "page_down", "Page down", "Move down one page", "list"),
    _looks("list.first", "g,home", "first", "First", "Move to the first row", "list"),
    _looks("list.last", "G,end", "last", "Last", "Move to the last row", "list"),
    _looks("tree.toggle", "space", "toggle_fold", "Fold", "Fold or unfold this row", "tree", 30),
    _looks("tree.fold", "left,h", "fold", "Fold", "Fold, or go to the parent if folded", "tree"),
    _looks("tree.unfold", "right,l", "unfold", "Unfold", "Unfold, or go to the first child", "tree"),
    _looks("tree.unfold_all", "plus", "unfold_subtree", "Unfold subtree",
           "Unfold this row and all rows below it", "tree"),
    _looks("tree.fold_all", "minus", "fold_subtree", "Fold subtree",
           "Fold this row and all rows below it", "tree"),
    _looks("tree.fold_everything", "asterisk", "fold_everything", "Fold all",
           "Fold the whole tree, or unfold it", "tree"),
    _looks("tree.next_match", "n", "match(1)", "Next match", "Go to the next search match", "tree"),
    _looks("tree.previous_match", "N", "match(-1)", "Previous match",
           "Go to the previous search match", "tree"),
    _looks("tree.tag", "v", "tag", "Tag", "Tag this process for a signal", "tree"),
    _looks("tree.untag_all", "U", "untag_all", "Untag all", "Remove all tags", "tree"),
    _looks("tree.follow", "F", "follow", "Follow", "Keep the selected process in view", "tree", 45),
    _looks("processes.explain", "enter", "explain", "Explain",
           "Explain how this row is known", "processes", 10),
    _looks("processes.explain_more", "shift+down,ctrl+d", "explain_scroll(1)", "Scroll down",
           "Scroll the explanation down", "processes"),
    _looks("processes.explain_back", "shift+up,ctrl+u", "explain_scroll(-1)", "Scroll up",
           "Scroll the explanation up", "processes"),
    _looks("processes.filter", "slash", "filter", "Filter", "Show only matching rows", "processes", 20, True),
    _looks("processes.search", "ctrl+f", "search", "Search",
           "Find a row without hiding others", "processes", 25, True),
    _looks("processes.view", "t,f5", "view", "View",
           "Switch between containers and parents", "processes", 40),
    _looks("processes.sort", "s,f6", "sort_menu", "Sort", "Choose the sort order", "processes", 50),
    _looks("processes.sort_cpu", "P", "sort('cpu')", "Sort by CPU",
           "Sort by CPU, busiest first", "processes"),
    _looks("processes.sort_memory", "M", "sort('memory')", "Sort by memory",
           "Sort by memory, largest first", "processes"),
    _looks("processes.sort_age", "T", "sort('age')", "Sort by age",
           "Sort by age, youngest first", "processes"),
    _looks("processes.columns", "C", "columns", "Columns", "Choose the columns", "processes"),
    _looks("processes.invert", "I", "invert", "Invert", "Reverse the sort order", "processes"),
    _looks("processes.pause", "Z", "pause", "Pause", "Pause the display, or return to live", "processes", 60),
    _looks("processes.earlier", "left_square_bracket", "step(-1)", "Back 1 s",
           "Pause and go back 1 s", "processes"),
    _looks("processes.later", "right_square_bracket", "step(1)", "Forward 1 s",
           "Forward 1 s, then live", "processes"),
    _looks("processes.far_earlier", "left_curly_bracket", "step(-10)", "Back 10 s",
           "Pause and go back 10 s", "processes"),
    _looks("processes.far_later", "right_curly_bracket", "step(10)", "Forward 10 s",
           "Forward 10 s", "processes"),
    _looks("processes.slower", "less_than_sign", "speed(-1)", "Slower", "Slow down a replay", "processes"),
    _looks("processes.faster", "greater_than_sign", "speed(1)", "Faster", "Speed up a replay", "processes"),
    _changes("processes.signal", "f9,K", "signal", "Signal",
             "Send a signal (needs --allow-signals)", "processes"),
    _looks("processes.resolve", "r", "resolve(False)", "Resolve",
           "Resolve this process again", "processes", 55),
    _looks("processes.evict", "R", "resolve(True)", "Evict",
           "Evict from the cache, then resolve", "processes"),
    _looks("processes.back", "escape", "back", "Back", "Clear the filter, then close the pane", "processes"),
    _changes("build.target", "b", "build", "Build", "Build the target under the cursor", "build", 10),
    _changes("build.all", "B", "build_all", "Build all", "Build all targets of all projects", "build", 20),
    _changes("build.edit", "o", "edit", "Edit", "Open your editor at the error", "build", 25),
    _changes("build.watch", "w", "watch", "Watch", "Rebuild on save; press again to stop", "build", 28),
    _looks("build.cancel", "x", "cancel", "Cancel", "Cancel the build", "build", 30),
    _looks("build.again", "r", "again", "Refresh", "Read the projects again", "build", 40),
    _looks("headers.arch", "a", "arch", "Arch", "Show the next architecture", "headers", 10),
    _looks("headers.variant", "v", "variant", "Variant", "Show the flags of the next variant", "headers", 20),
    _looks("headers.copy", "c", "copy", "Copy command", "Copy the full compiler command", "headers", 25),
    _looks("headers.again", "r", "again", "Refresh", "Search for headers again", "headers", 30),
    _looks("objects.open", "enter", "open", "Open", "Open the object; inside, fold or unfold", "objects", 10),
    _looks("objects.toggle", "space", "toggle_fold", "Fold",
           "Fold or unfold, e.g. a program's code", "objects", 15),
    _looks("objects.fold", "left,h", "fold", "Fold", "Fold, or go to the parent if folded", "objects"),
    _looks("objects.unfold", "right", "unfold", "Unfold", "Unfold, or go to the first child", "objects"),
    _changes("objects.verify", "l", "verify", "Verify",
             "Check every program with the verifier", "objects", 20),
    _looks("objects.difference", "d", "difference", "Difference",
           "Compare with the previous build", "objects", 30),
    _looks("objects.back", "escape", "back", "Back", "Back to the object, then to the list", "objects", 40),
    _looks("objects.again", "r", "again", "Refresh", "Find and read the objects again", "objects", 50),
    _looks("filter.done", "enter,down", "done", "Done", "Keep the filter, return to the tree", "filter", 10),
    _looks("filter.clear", "escape", "clear", "Clear", "Clear and close the filter", "filter", 20),
    _looks("search.done", "enter,down", "done", "Done", "Close; n and N still find matches", "search", 10),
    _looks("search.clear", "escape", "clear", "Clear", "Clear and close the search", "search", 20),
)
# fmt: on

CHANGES = frozenset(command.id for command in COMMANDS if command.effect == "changes")
"""Commands that do something to the host: read-only screens refuse them (tui/read_only.py)."""


@cache
def _shown(key: str) -> str:
    if key in _SHOWN:
        return _SHOWN[key]
    if key[0] == "f" and key[1:].isdecimal():
        return key.upper()
    from textual.keys import key_to_character

    char = key_to_character(key)
    return char if char is not None and char.isprintable() and not char.isspace() else key


def bindings(scope: str) -> list[Binding]:
    """Return Textual's bindings of one scope, each with its command's id for `App.set_keymap`."""
    from textual.binding import Binding  # `config validate` reads the registry without Textual

    return [
        Binding(
            command.keys,
            command.action,
            command.title,
            show=False,
            priority=command.priority,
            id=command.id,
            tooltip=command.help,
        )
        for command in COMMANDS
        if command.scope == scope
    ]


def commands(scopes: Iterable[str], own: Mapping[str, str] = MappingProxyType({})) -> list[Command]:
    """Return the commands of these scopes in that order; `own` maps ids to the user's keys."""
    return [
        replace(command, keys=own.get(command.id, command.keys))
        for scope in scopes
        for command in COMMANDS
        if command.scope == scope
    ]


def key_for(command_id: str, own: Mapping[str, str]) -> str:
    """Return the first key of a command, as users write it."""
    command = next(command for command in COMMANDS if command.id == command_id)
    return replace(command, keys=own.get(command_id, command.keys)).first_key


def clash(own: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return (key, id, other id) if a key of `own` has two meanings in the same place, else None."""
    for scopes in _TOGETHER:
        owner: dict[str, str] = {}
        for command in commands(scopes, own):
            for key in command.keys.split(","):
                other = owner.setdefault(key, command.id)
                if other != command.id and (other in own or command.id in own):
                    mine, taken = (command.id, other) if command.id in own else (other, command.id)
                    return key, mine, taken
    return None


def key_name(text: str) -> str | None:
    """Return Textual's name of a key as users write it (`F`, `/`, `ctrl+t`, `f4`); None: not a key."""
    from textual.keys import Keys, _character_to_key

    if len(text) == 1 and text.isprintable() and not text.isspace():
        return _character_to_key(text)
    *modifiers, last = text.lower().split("+")
    names = {key.value for key in Keys if "+" not in key.value and "<" not in key.value}
    if len(last) != 1 and last not in names | {"space"} | set(_SHOWN):
        return None
    if not set(modifiers) <= {"ctrl", "alt", "shift"} or not last.isprintable() or not last:
        return None
    return "+".join([*modifiers, last])
