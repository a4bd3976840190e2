"""The one registry of commands. Bindings, footer, help and palette are all made from it.

An id is stable and documented: it is what a person's own `[keys]` will name. A command stands here
only when it works.
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
    """One thing that a person can do.

    `keys` are Textual's names, separated by commas. `scope` is where the binding lives (see SCOPES).
    `effect`: whether it `changes` something on the host; such a command is refused on screens that only look.
    `footer` is the rank in the footer, 0 for not there. `priority`: works before the focused widget sees
    the key, which is what makes keys typed right after it go where it leads.
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
        """The keys as people write them: `space`, `Left`, `ctrl+p`."""
        return " ".join(_shown(key) for key in self.keys.split(","))

    @property
    def first_key(self) -> str:
        """The one key that the footer names."""
        return self.shown_keys.split(" ")[0]


SCOPES = {
    "everywhere": "everywhere",
    "list": "moving about",
    "tree": "process tree",
    "processes": "1 Processes",
    "build": "2 Build",
    "headers": "3 Headers",
    "objects": "4 Objects",
    "filter": "filter line",
    "search": "search line",
}

_TOGETHER = (
    ("tree", "list", "processes", "everywhere"),
    *(("list", room, "everywhere") for room in ("build", "headers", "objects")),
    ("filter",),
    ("search",),
)
"""Scopes that are live at the same time: there a key has one meaning."""

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
"""There is no third way into the registry: whoever adds a command says what it does to the host."""

COMMANDS: tuple[Command, ...] = (
    _looks("screen.processes", "1", "screen('processes')", "Processes", "the live tree", "everywhere"),
    _looks("screen.build", "2", "screen('build')", "Build", "objects, progress, diagnoses", "everywhere"),
    _looks(
        "screen.headers", "3", "screen('headers')", "Headers", "header directories and flags", "everywhere"
    ),
    _looks("screen.objects", "4", "screen('objects')", "Objects", "what is inside an object", "everywhere"),
    _looks("screen.resolver", "5", "screen('resolver')", "Resolver", "who answers, how often", "everywhere"),
    _changes("app.reload", "L", "reload", "Load probe", "load the probe anew, as it was built", "everywhere"),
    _looks("app.help", "question_mark,f1", "help", "Help", "this list of keys", "everywhere", 90),
    _looks(
        "app.palette", "colon,ctrl+p", "command_palette", "Commands", "all commands by name", "everywhere", 80
    ),
    _looks("app.suspend", "ctrl+z", "suspend_process", "Suspend", "fg comes back", "everywhere", 0, True),
    _looks("app.quit", "q", "quit", "Quit", "leave the program", "everywhere", 95),
    _looks("app.interrupt", "ctrl+c", "interrupt", "Interrupt", "with exit code 130", "everywhere", 0, True),
    _looks("list.up", "up,k", "up", "Up", "one row up", "list"),
    _looks("list.down", "down,j", "down", "Down", "one row down", "list"),
    _looks("list.page_up", "pageup", "page_up", "Page up", "one page up", "list"),
    _looks("list.page_down", "pagedown", "page_down", "Page down", "one page down", "list"),
    _looks("list.first", "g,home", "first", "First", "to the first row", "list"),
    _looks("list.last", "G,end", "last", "Last", "to the last row", "list"),
    _looks("tree.toggle", "space", "toggle_fold", "Fold", "fold or unfold the row", "tree", 30),
    _looks("tree.fold", "left,h", "fold", "Fold", "fold; on a folded row: to its parent", "tree"),
    _looks("tree.unfold", "right,l", "unfold", "Unfold", "unfold; on an open row: to its child", "tree"),
    _looks("tree.unfold_all", "plus", "unfold_subtree", "Unfold subtree", "and everything in it", "tree"),
    _looks("tree.fold_all", "minus", "fold_subtree", "Fold subtree", "and everything in it", "tree"),
    _looks("tree.fold_everything", "asterisk", "fold_everything", "Fold all", "or unfold all", "tree"),
    _looks("tree.next_match", "n", "match(1)", "Next match", "of the search", "tree"),
    _looks("tree.previous_match", "N", "match(-1)", "Previous match", "of the search", "tree"),
    _looks("tree.tag", "v", "tag", "Tag", "one of those that a signal goes to", "tree"),
    _looks("tree.untag_all", "U", "untag_all", "Untag all", "no row is tagged any more", "tree"),
    _looks("tree.follow", "F", "follow", "Follow", "stay with the process", "tree", 45),
    _looks("processes.explain", "enter", "explain", "Explain", "how this row is known", "processes", 10),
    _looks(
        "processes.explain_more",
        "shift+down,ctrl+d",
        "explain_scroll(1)",
        "More",
        "of the explain pane",
        "processes",
    ),
    _looks(
        "processes.explain_back",
        "shift+up,ctrl+u",
        "explain_scroll(-1)",
        "Less",
        "of the explain pane: back",
        "processes",
    ),
    _looks(
        "processes.filter", "slash", "filter", "Filter", "src:procfs ctr:web !kthread", "processes", 20, True
    ),
    _looks(
        "processes.search", "ctrl+f", "search", "Search", "find a row; hides nothing", "processes", 25, True
    ),
    _looks("processes.view", "t,f5", "view", "View", "containers or parents", "processes", 40),
    _looks("processes.sort", "s,f6", "sort_menu", "Sort", "choose the order", "processes", 50),
    _looks("processes.sort_cpu", "P", "sort('cpu')", "By CPU", "busiest first", "processes"),
    _looks("processes.sort_memory", "M", "sort('memory')", "By memory", "largest first", "processes"),
    _looks("processes.sort_age", "T", "sort('age')", "By age", "youngest first", "processes"),
    _looks("processes.columns", "C", "columns", "Columns", "choose which are shown", "processes"),
    _looks("processes.invert", "I", "invert", "Invert", "the other way round", "processes"),
    _looks("processes.pause", "Z", "pause", "Pause", "hold still; keys still work", "processes", 60),
    _looks(
        "processes.earlier", "left_square_bracket", "step(-1)", "Back", "pause; a second back", "processes"
    ),
    _looks(
        "processes.later", "right_square_bracket", "step(1)", "Forward", "a second on, and live", "processes"
    ),
    _looks("processes.far_earlier", "left_curly_bracket", "step(-10)", "Back 10 s", "ten back", "processes"),
    _looks("processes.far_later", "right_curly_bracket", "step(10)", "On 10 s", "ten on", "processes"),
    _looks("processes.slower", "less_than_sign", "speed(-1)", "Slower", "a replay only", "processes"),
    _looks("processes.faster", "greater_than_sign", "speed(1)", "Faster", "a replay only", "processes"),
    _changes("processes.signal", "f9,K", "signal", "Signal", "needs --allow-signals", "processes"),
    _looks("processes.resolve", "r", "resolve(False)", "Resolve", "ask the tiers again", "processes", 55),
    _looks("processes.evict", "R", "resolve(True)", "Evict", "forget, then ask again", "processes"),
    _looks("processes.back", "escape", "back", "Back", "clear the filter, then close the pane", "processes"),
    _changes("build.target", "b", "build", "Build", "build the target under the cursor", "build", 10),
    _changes("build.all", "B", "build_all", "Build all", "all targets of all projects", "build", 20),
    _changes("build.edit", "o", "edit", "Edit", "your editor, where the error is", "build", 25),
    _changes("build.watch", "w", "watch", "Watch", "rebuild what is saved; again: stop", "build", 28),
    _looks("build.cancel", "x", "cancel", "Cancel", "stop the build", "build", 30),
    _looks("build.again", "r", "again", "Look again", "read the projects anew", "build", 40),
    _looks("headers.arch", "a", "arch", "Arch", "next architecture", "headers", 10),
    _looks("headers.variant", "v", "variant", "Variant", "flags of the next variant", "headers", 20),
    _looks("headers.copy", "c", "copy", "Copy command", "the compiler's whole command", "headers", 25),
    _looks("headers.again", "r", "again", "Look again", "search the disk anew", "headers", 30),
    _looks("objects.open", "enter", "open", "Open", "the object; in it, fold and unfold", "objects", 10),
    _looks(
        "objects.toggle", "space", "toggle_fold", "Fold", "fold or unfold: a program's code", "objects", 15
    ),
    _looks("objects.fold", "left,h", "fold", "Fold", "fold; on a folded line: to the one above", "objects"),
    _looks("objects.unfold", "right", "unfold", "Unfold", "unfold; on an open line: into it", "objects"),
    _changes("objects.verify", "l", "verify", "Verify", "what the kernel's verifier says", "objects", 20),
    _looks("objects.difference", "d", "difference", "Difference", "to the build before", "objects", 30),
    _looks("objects.back", "escape", "back", "Back", "to the object, then to the list", "objects", 40),
    _looks("objects.again", "r", "again", "Look again", "find and read objects anew", "objects", 50),
    _looks("filter.done", "enter,down", "done", "Done", "back to the tree, filter stays", "filter", 10),
    _looks("filter.clear", "escape", "clear", "Clear", "clear and close", "filter", 20),
    _looks("search.done", "enter,down", "done", "Done", "close; n and N go on", "search", 10),
    _looks("search.clear", "escape", "clear", "Clear", "clear and close", "search", 20),
)

CHANGES = frozenset(command.id for command in COMMANDS if command.effect == "changes")
"""Commands that do something to the host: refused on screens that only look (tui/read_only.py)."""


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
    """Return Textual's bindings of one scope; every one carries its id, for keymaps."""
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
    """Return the commands of these scopes, in the order of the scopes, with the person's `own` keys by id."""
    return [
        replace(command, keys=own.get(command.id, command.keys))
        for scope in scopes
        for command in COMMANDS
        if command.scope == scope
    ]


def key_for(command_id: str, own: Mapping[str, str]) -> str:
    """Return the first key of a command, as people write it."""
    command = next(command for command in COMMANDS if command.id == command_id)
    return replace(command, keys=own.get(command_id, command.keys)).first_key


def clash(own: Mapping[str, str]) -> tuple[str, str, str] | None:
    """Return (key, id, other id) when a key of `own` means two things in the same place, else None."""
    for scopes in _TOGETHER:
        owner: dict[str, str] = {}
        for command in commands(scopes, own):
            for key in command.keys.split(","):
                other = owner.setdefault(key, command.id)
                if other != command.id and (other in own or command.id in own):
                    one, two = (command.id, other) if command.id in own else (other, command.id)
                    return key, one, two
    return None


def key_name(text: str) -> str | None:
    """Return Textual's name of a key as people write it: `F`, `/`, `ctrl+t`, `f4`, `space`; None: no key."""
    from textual.keys import Keys, _character_to_key

    if len(text) == 1 and text.isprintable() and not text.isspace():
        return _character_to_key(text)
    *modifiers, last = text.lower().split("+")
    named = {key.value for key in Keys if "+" not in key.value and "<" not in key.value}
    if len(last) != 1 and last not in named | {"space"} | set(_SHOWN):
        return None
    if not set(modifiers) <= {"ctrl", "alt", "shift"} or not last.isprintable() or not last:
        return None
    return "+".join([*modifiers, last])
