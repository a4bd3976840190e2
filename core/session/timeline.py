"""The last minutes of the tree: the changes of each second, packed, within a hard limit of bytes.

The tree is between its past and its future. A step of the past holds the processes as they were before the
step, a step of the future as they are after it; crossing a step converts one into the other. Only changes
are kept, as bytes that the garbage collector never walks, with an exactly known total.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable

import msgspec

from core.model.entities import ProcessKey, Tiers, Usage
from core.model.view import ProcessView
from core.tree.tree import Tree

SPAN_NS = 600_000_000_000
"""How far back the history of a live session reaches, in ns: ten minutes."""

LIMIT_BYTES = 64 * 1024 * 1024
"""The history takes at most this many bytes; the oldest steps are dropped first."""

GRAIN_NS = 1_000_000_000
"""Changes closer together than this form one step."""

_OVERHEAD = 400
"""Bytes of a step besides its data: its own fields and the header facts that it holds."""

_WORTH_PACKING = 256


class HeaderFacts(msgspec.Struct, frozen=True, gc=False):
    """The header's facts about a moment that the tree does not hold."""

    tiers: Tiers
    events_per_second: float = 0.0
    lost: int = 0
    drift: int = 0


class Absent(msgspec.Struct, frozen=True, array_like=True, tag=0, gc=False):
    """The process does not exist on the other side of the step."""

    pid: int
    start_ns: int


class UsageChanged(msgspec.Struct, frozen=True, array_like=True, tag=1, gc=False):
    """Only the usage of the process differs: most changes are of this kind."""

    pid: int
    start_ns: int
    usage: Usage | None


class Present(msgspec.Struct, frozen=True, array_like=True, tag=2, gc=False):
    """The process on the other side of the step."""

    view: ProcessView


Delta = Absent | UsageChanged | Present


class _Step(msgspec.Struct, frozen=True, gc=False):
    """Changes that happened from `opened_ns` to `closed_ns`, and the header's facts on both sides."""

    opened_ns: int
    closed_ns: int
    before: HeaderFacts
    after: HeaderFacts
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data) + _OVERHEAD


class Timeline:
    """The tree and the steps around it. One thread owns both and changes the tree only through this.

    When not held, the tree is live: `put` and `drop` change it. When held, `back` and `forward` move it
    in time, and new changes wait in the future.
    """

    def __init__(
        self, tree: Tree, facts: HeaderFacts, *, limit_bytes: int = LIMIT_BYTES, span_ns: int = SPAN_NS
    ) -> None:
        """`span_ns` 0: only `limit_bytes` bounds the history."""
        self._tree = tree
        self._limit = limit_bytes
        self._span_ns = span_ns
        self._past: deque[_Step] = deque()
        self._future: deque[_Step] = deque()
        self._open: dict[ProcessKey, ProcessView | None] = {}
        self._opened_ns = 0
        self._opened_facts = self._latest_facts = facts
        self._latest_ns = 0
        self.bytes = 0
        """Total size of all steps."""
        self.held = False
        self.held_ns = 0
        """When it was held."""
        self.at_ns = 0
        """The boot clock of the moment that the tree shows."""
        self.facts = facts

    @property
    def rewound(self) -> bool:
        """Return whether the tree shows a moment before it was held."""
        return self.held and self.at_ns < self.held_ns

    @property
    def at_start(self) -> bool:
        """Return whether the tree is at the start of the history."""
        return not self._past

    @property
    def full(self) -> bool:
        """Return whether the future uses up the limit: new changes have to wait outside the timeline."""
        return self.held and not self._past and self.bytes >= self._limit

    @property
    def reach_ns(self) -> int:
        """Return the oldest moment that `back` can reach."""
        return self._past[0].opened_ns if self._past else self.at_ns

    def begin(self, now_ns: int, facts: HeaderFacts) -> None:
        """Set the time of the changes that are put next."""
        if self._open and now_ns - self._opened_ns >= GRAIN_NS:
            self._close()
        if not self._open:
            self._opened_ns, self._opened_facts = now_ns, self._latest_facts
        self._latest_ns, self._latest_facts = now_ns, facts
        if not self.held:
            self.at_ns, self.facts = now_ns, facts

    def put(self, view: ProcessView) -> None:
        """Add a process, or replace its view."""
        if self.held:
            self._open[view.key] = view
            return
        self._note(view.key)
        self._tree.put(view)

    def drop(self, key: ProcessKey) -> None:
        """Remove a process from the tree."""
        if self.held:
            self._open[key] = None
            return
        self._note(key)
        self._tree.drop(key)

    def begin_here(self) -> None:
        """Start the history with the tree as it is: filling it was not a change."""
        self._open.clear()
        self._past.clear()
        self.bytes = 0

    def hold(self, now_ns: int) -> None:
        """Pause the tree."""
        if not self.held:
            self._close()
            self.held = True
            self.held_ns = self.at_ns = now_ns

    def release(self) -> None:
        """Bring the tree to the present and return it to live."""
        if not self.held:
            return
        self._close()
        while self._future:
            self._redo()
        self.held = False
        self.at_ns, self.facts = self._latest_ns, self._latest_facts
        self._trim()

    def back(self, span_ns: int) -> bool:
        """Go back by `span_ns`, at least to the change before. Return False at the start of the history."""
        if not self._past:
            return False
        target = self.at_ns - span_ns
        self._undo()
        while self._past and self._past[-1].closed_ns > target:
            self._undo()
        if self._past:
            self.at_ns = min(self.at_ns, target)
        return True

    def forward(self, span_ns: int) -> bool:
        """Go forward by `span_ns`, at least to the next change. Return False at the end of the history."""
        if not self._future:
            return False  # even if a step is open: on a busy host one always is, and live shows it
        target = self.at_ns + span_ns
        self._redo()
        while self._future and self._future[0].closed_ns <= target:
            self._redo()
        ends_ns = self._future[0].opened_ns - 1 if self._future else self.held_ns
        self.at_ns = max(self.at_ns, min(target, ends_ns))
        if self.at_ns < self.held_ns <= ends_ns:
            self.at_ns = self.held_ns  # nothing more happened before it was held
        return True

    def _note(self, key: ProcessKey) -> None:
        """Keep a process as it was before its first change in the open step."""
        if key not in self._open:
            self._open[key] = self._tree.view(key)

    def _close(self) -> None:
        """End the open step and append it to the past, or to the future while held."""
        if not self._open:
            return
        changes, self._open = self._open, {}
        if self.held:  # the tree's state at that time is unknown: keep whole views
            data = pack(_delta(key, view, None) for key, view in changes.items())
        else:
            data = pack(_delta(key, before, self._tree.view(key)) for key, before in changes.items())
        step = _Step(self._opened_ns, self._latest_ns, self._opened_facts, self._latest_facts, data)
        self.bytes += step.size
        (self._future if self.held else self._past).append(step)
        self._opened_ns, self._opened_facts = self._latest_ns, self._latest_facts
        self._trim()

    def _trim(self) -> None:
        oldest = self._latest_ns - self._span_ns if self._span_ns and not self.held else 0
        while self._past and (self.bytes > self._limit or self._past[0].closed_ns < oldest):
            self.bytes -= self._past.popleft().size

    def _undo(self) -> None:
        step = self._past.pop()
        self._future.appendleft(self._turned(step))
        self.at_ns, self.facts = (
            step.opened_ns - 1,
            step.before,
        )  # that state lasted until just before the step

    def _redo(self) -> None:
        step = self._future.popleft()
        self._past.append(self._turned(step))
        self.at_ns, self.facts = step.closed_ns, step.after

    def _turned(self, step: _Step) -> _Step:
        """Take the tree across a step; return the inverse step."""
        inverse = []
        tree = self._tree
        for delta in unpack(step.data):
            key = delta.view.key if isinstance(delta, Present) else ProcessKey(delta.pid, delta.start_ns)
            now = tree.view(key)
            then = _after(delta, now)
            inverse.append(_delta(key, now, then))
            if then is None:
                tree.drop(key)
            else:
                tree.put(then)
        turned = msgspec.structs.replace(step, data=pack(inverse))
        self.bytes += turned.size - step.size
        return turned


def _delta(key: ProcessKey, wanted: ProcessView | None, other: ProcessView | None) -> Delta:
    """Return the delta that turns `other` into `wanted`."""
    if wanted is None:
        return Absent(*key)
    if other is not None and _same_but_usage(wanted, other):
        return UsageChanged(*key, wanted.usage)
    return Present(wanted)


def _after(delta: Delta, now: ProcessView | None) -> ProcessView | None:
    if isinstance(delta, Present):
        return delta.view
    if isinstance(delta, Absent) or now is None:
        return None
    return msgspec.structs.replace(now, usage=delta.usage)


def _same_but_usage(view: ProcessView, other: ProcessView) -> bool:
    return (
        view.entry is other.entry
        and view.source is other.source
        and view.origin is other.origin
        and view.ended_ns == other.ended_ns
        and view.parent == other.parent
        and view.container == other.container
        and view.note == other.note
    )


_encode = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(list[Delta])


def pack(deltas: Iterable[Delta]) -> bytes:
    """Return deltas as bytes: a mark, then msgpack, deflated when it is large enough."""
    data = _encode(list(deltas))
    return b"z" + zlib.compress(data, 1) if len(data) > _WORTH_PACKING else b"m" + data


def unpack(data: bytes) -> list[Delta]:
    """Return the deltas from the bytes that `pack` made."""
    return _decoder.decode(zlib.decompress(data[1:]) if data[:1] == b"z" else data[1:])
