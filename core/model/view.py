"""What a screen requests and what it gets: a window of rows, immutable."""

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
    """One process as the tree holds it. The session makes a new view whenever a fact changes.

    `parent` comes from the process cache, where it is a reference to an object, not from a pid look-up.
    `source` is the tier that answered the latest resolution; None if there was none. `ended_ns` is set while
    an ended process is kept as history. core/resolve/engine.py makes it by position.
    """

    entry: ProcessEntry
    source: Tier | None
    origin: Origin
    parent: ProcessKey | None = None
    container: ContainerContext | None = None
    usage: Usage | None = None
    ended_ns: int | None = None
    note: str = ""
    """Why a fact of this row could not be read, or an empty text."""

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
    the subtree, largest first; age youngest first; pid and name ascending."""

    TREE = "tree"
    CPU = "cpu"
    MEMORY = "memory"
    AGE = "age"
    PID = "pid"
    NAME = "name"


class Find(msgspec.Struct, frozen=True):
    """A search for a row that matches `text` (in the filter language), from the row `start`.

    `step` 1: the next match, -1: the previous, 0: `start` itself, else the next. The search wraps around at
    the ends of the tree. It finds rows in folded nodes, but not rows that the filter hides.
    """

    text: str
    start: RowKey | None = None
    step: int = 0


class SearchMatches(msgspec.Struct, frozen=True):
    """The result of a search: the row (None: no match), its number among the matches (from 1), and the total.

    `hidden_by` holds the folded nodes around the row. `problem` says what is wrong with the text.
    """

    key: RowKey | None = None
    number: int = 0
    total: int = 0
    hidden_by: frozenset[RowKey] = frozenset()
    problem: str = ""


class ViewRequest(msgspec.Struct, frozen=True):
    """The rows that a screen requests. `top` is the index of the first row, `height` the number of rows.

    `anchor` and `anchor_offset`: keep this row at this distance from the top when rows come and go
    (None: keep `top` as a number). `folded` holds the keys of folded nodes. `below` asks for the keys
    of all nodes with children in one subtree (the empty text: in the whole tree), so that a screen
    can fold or unfold what it does not see. `find` asks where a text is. Both are evaluated for every
    window: a screen that has the answer leaves them out.
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
    """What a row of the tree is about."""

    PROCESS = "process"
    CONTAINER = "container"
    POD = "pod"
    HOST = "host"


class Row(msgspec.Struct, frozen=True):
    """One row of the tree, ready to be drawn. Text fields are safe and contain no markup.

    `guides` are the lines in front of the name (`│  ├─ `), for a nested group its indentation. `folded` is
    None for a leaf. `dim` marks an ancestor that the filter keeps only as context. `count`, `cpu_percent`
    and `rss_bytes` of a group and of a folded node are sums over the subtree.
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
    """The requested rows. `top` is the index of the first one among `total` rows.

    `anchor_index` is the index (among all rows) of the anchor, or of the folded node that hides it; None
    when the anchor is gone. `problem` says what is wrong with the filter, if anything is. `request` is the
    request that this answers, `below` and `found` the answers to its `below` and `find`.
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
    """The position of a replay in its recording, and its speed as a factor of real time."""

    ns: int
    length_ns: int
    speed: float


class Past(msgspec.Struct, frozen=True):
    """How far a paused tree is behind the present, and how far back the history reaches.

    `rewound`: the tree shows a moment before it was paused. `at_start`: nothing older is kept.
    `full`: the history is full; new changes merge into one step.
    """

    behind_ns: int = 0
    reach_ns: int = 0
    kept_bytes: int = 0
    limit_bytes: int = 0
    rewound: bool = False
    at_start: bool = False
    full: bool = False


class Header(msgspec.Struct, frozen=True):
    """The line above every screen. Rates are per second, averaged over the last seconds."""

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
    """A message about the session's work (`loading the probe again…`), or empty."""
    past: Past = Past()
    replay: Position | None = None
    """None on a live host."""


LabelledFacts = Iterable[tuple[str, str | None]]
"""Lines of the explain pane: label and text. Empty texts are left out; an empty label continues the last."""


class Explanation(msgspec.Struct, frozen=True):
    """What the explain pane shows about one row; texts are safe.

    `story` and `facts` are pairs (label, text), for example ("tty", "pts/0"); an empty label continues the
    line before. The story is how the row came to be, the facts are what it is now. Groups have no
    `resolution`; they have CPU percents over the last minutes (None: not sampled), newest last.
    """

    key: RowKey
    title: str
    story: tuple[tuple[str, str], ...]
    facts: tuple[tuple[str, str], ...]
    resolution: Resolution | None = None
    cpu_history: tuple[float | None, ...] = ()


class Frame(msgspec.Struct, frozen=True):
    """One state of the session, published in answer to a command or at most every 250 ms (replay: 100 ms)."""

    revision: int
    header: Header
    window: Window
    explanation: Explanation | None = None
    stats: tuple[tuple[str, int], ...] = ()
    """Counters by name, for the Resolver screen: `hits cache`, `miss`, `added event`, …"""
    latency: tuple[TierLatency, ...] = ()
    fills: tuple[MapFill, ...] = ()
    """How full the probe's maps are, some seconds ago; empty when that is not known."""
    cached: int = 0
    """Live processes in the cache, at most `cache_limit`."""
    cache_limit: int = 0
