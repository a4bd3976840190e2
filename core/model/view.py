"""What a screen asks for and what it gets: a window of rows, immutable."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from core.model.entities import (
    ContainerContext,
    Origin,
    ProcessEntry,
    ProcessKey,
    Resolution,
    Tier,
    Tiers,
    Usage,
)
from core.model.events import MapFill
from core.model.latency import TierLatency


class ProcessView(msgspec.Struct, frozen=True, gc=False):
    """One process as the tree knows it. The session makes a new one whenever a fact changes.

    `parent` is the process cache's answer (an object there), not a pid look-up. `source` is the tier that
    answered the latest resolution; None for what was never resolved. `ended_ns` is set while an ended
    process is kept as history. core/resolve/engine.py makes it by position.
    """

    entry: ProcessEntry
    source: Tier | None
    origin: Origin
    parent: ProcessKey | None = None
    container: ContainerContext | None = None
    usage: Usage | None = None
    ended_ns: int | None = None
    note: str = ""
    """Why something of this row could not be read, or an empty text."""

    @property
    def key(self) -> ProcessKey:
        return self.entry.key


RowKey = ProcessKey | str
"""A process by its identity; a container by its id (`ctr:NAME` where that is a name); a pod as `pod:UID`;
the host group as the text `host`."""


class Grouping(StrEnum):
    CONTAINERS = "containers"
    PARENTS = "parents"


class SortKey(StrEnum):
    """`tree` is birth order, the stable default. The others sort siblings: CPU and memory by the sum of
    the subtree, largest first; age youngest first; pid and name upwards."""

    TREE = "tree"
    CPU = "cpu"
    MEMORY = "memory"
    AGE = "age"
    PID = "pid"
    NAME = "name"


class Find(msgspec.Struct, frozen=True):
    """A question: which row matches `text` (in the filter language), counted from the row `start`?

    `step` 1: the next one, -1: the one before, 0: `start` itself or else the next. At the end of the
    tree it goes on at the beginning. Rows in folded nodes are found too, rows the filter hides are not.
    """

    text: str
    start: RowKey | None = None
    step: int = 0


class SearchMatches(msgspec.Struct, frozen=True):
    """The answer: the row, None when nothing matches, and which of how many matches it is (from 1).

    `hidden_by` holds the folded nodes it stands in. `problem` says what is wrong with the text.
    """

    key: RowKey | None = None
    number: int = 0
    total: int = 0
    hidden_by: frozenset[RowKey] = frozenset()
    problem: str = ""


class ViewRequest(msgspec.Struct, frozen=True):
    """Which rows a screen wants. `top` is the first row; `height` how many.

    `anchor` and `anchor_offset`: keep this row at this distance from the top when rows come and go
    (None: keep `top` as a number). `folded` holds the keys of folded nodes. `below` asks for the keys
    of all nodes with children in one subtree (the empty text: in the whole tree), so that a screen
    can fold or unfold what it does not see. `find` asks where a text is. Both are asked anew with every
    window: a screen that has its answer leaves them out.
    """

    top: int = 0
    height: int = 50
    anchor: RowKey | None = None
    anchor_offset: int = 0
    grouping: Grouping = Grouping.CONTAINERS
    sort: SortKey = SortKey.TREE
    reverse: bool = False
    filter: str = ""
    folded: frozenset[RowKey] = frozenset()
    below: RowKey | None = None
    find: Find | None = None


class RowKind(StrEnum):
    """What a line of the tree is about."""

    PROCESS = "process"
    CONTAINER = "container"
    POD = "pod"
    HOST = "host"


class Row(msgspec.Struct, frozen=True):
    """One line of the tree, ready to be drawn. Text fields are safe; there is no markup in them.

    `guides` is the drawing in front of the name (`│  ├─ `), of a group inside another one its indentation.
    `folded` is None for a leaf. `dim` marks an ancestor that the filter keeps only for context. `count`,
    `cpu_percent` and `rss_bytes` of a group (and of a folded node) are sums over everything below it.
    """

    key: RowKey
    kind: RowKind
    guides: str
    text: str
    folded: bool | None = None
    source: str = ""
    pid: int = 0
    ppid: int = 0
    user: str = ""
    tty: str = ""
    state: str = ""
    threads: int = 0
    cpu_percent: float | None = None
    rss_bytes: int | None = None
    start_ns: int = 0
    count: int = 0
    container: str = ""
    detail: str = ""
    dim: bool = False
    ended: bool = False
    fresh: bool = False


class Window(msgspec.Struct, frozen=True):
    """The rows that were asked for. `top` is the index of the first one among `total`.

    `anchor_index` is the index (among all rows) of the anchor, or of the folded node that hides it;
    None when it is not there any more. `problem` says what is wrong with the filter, if anything is.
    `request` is the request that this answers, `below` and `found` the answers to its questions.
    """

    rows: tuple[Row, ...] = ()
    top: int = 0
    total: int = 0
    anchor_index: int | None = None
    processes: int = 0
    containers: int = 0
    problem: str = ""
    request: ViewRequest = ViewRequest()
    below: tuple[RowKey, ...] = ()
    found: SearchMatches | None = None


class Position(msgspec.Struct, frozen=True):
    """Where in a recording a replay is, and how many times as fast as it happened it runs."""

    ns: int
    length_ns: int
    speed: float


class Past(msgspec.Struct, frozen=True):
    """How far behind a paused tree stands, and how far back one can go from what is known now.

    `rewound`: it stands before the moment when it was paused. `at_start`: nothing older is kept.
    `full`: there is no room for what happens now; it will come as one step.
    """

    behind_ns: int = 0
    reach_ns: int = 0
    kept_bytes: int = 0
    limit_bytes: int = 0
    rewound: bool = False
    at_start: bool = False
    full: bool = False


class Header(msgspec.Struct, frozen=True):
    """The line above every screen. Rates are per second over the last seconds."""

    hostname: str
    kernel: str
    arch: str
    tiers: Tiers
    processes: int = 0
    containers: int = 0
    events_per_second: float = 0.0
    lost: int = 0
    drift: int = 0
    paused: bool = False
    now_ns: int = 0
    """Boot clock of the frame; an age is `now_ns - start_ns`."""
    message: str = ""
    """What is going on (`snapshot…`, `resync after 12 lost events`), or empty."""
    past: Past = Past()
    replay: Position | None = None
    """None: this is a live host."""


LabelledFacts = Iterable[tuple[str, str | None]]
"""Lines of the explain pane: label and text. Empty texts are left out, an empty label continues the last."""


class Explanation(msgspec.Struct, frozen=True):
    """What the explain pane shows of one row; texts are safe.

    `story` and `facts` are pairs (label, text), for example ("tty", "pts/0"); an empty label goes on
    with the line before. The story is how the row came to be, the facts what it is. Groups have
    no `resolution`, but their CPU percents over the last minutes (None: nobody looked), the newest last.
    """

    key: RowKey
    title: str
    story: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    resolution: Resolution | None = None
    cpu_history: tuple[float | None, ...] = ()


class Frame(msgspec.Struct, frozen=True):
    """One state of the session, published to the screen at most ten times a second."""

    revision: int
    header: Header
    window: Window
    explanation: Explanation | None = None
    stats: tuple[tuple[str, int], ...] = ()
    """Counters by name, for the Resolver screen: `hits cache`, `miss`, `added event`, …"""
    latency: tuple[TierLatency, ...] = ()
    fills: tuple[MapFill, ...] = ()
    """The probe's maps, some seconds old; empty where that cannot be known."""
    cached: int = 0
    """Live processes in the cache, of `cache_limit` at most."""
    cache_limit: int = 0
