"""Finds frozen cgroups: those of paused containers.

Cgroup v1 has the state in `freezer.state`, v2 in `cgroup.events`; a hybrid host has both, and a runtime uses
either. Reading both for 500 containers twice a second would cost 2 % of a core, so they are watched: inotify
reports a write to the one and a change of the other.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
import weakref
from collections import OrderedDict
from typing import NamedTuple

import msgspec

from core.system.host import Host

_KEPT = 16_384
_YOUNG_LOOKS = 6
"""How often a new cgroup is checked (3 s long): a runtime joins one hierarchy after the other."""

_TURNS = 60
"""Every cgroup is checked once in this many refreshes (half a minute): it may have been recreated."""

_LOOKS = 128
"""Limit of cgroups checked in one refresh, at 50 us each."""

_READ = 64 * 1024
_READS = 4
_EVENT = struct.Struct("iIII")
_IN_MODIFY, _IN_DONT_FOLLOW = 0x2, 0x02000000
_OVERFLOW = -1
"""The watch number with which the kernel reports that its event queue overflowed."""

_CLIMBS = re.compile(rb"(?:^|/)\.\.(?:/|$)|\0")


class _Look(NamedTuple):
    """The state in a cgroup's files. v1 sends no event when a `freezing` cgroup becomes frozen."""

    frozen: bool
    freezing: bool
    empty: bool


class _State(msgspec.Struct):
    """The state of one cgroup, and how many more checks it gets without an event."""

    look: _Look
    looks_due: int = _YOUNG_LOOKS


class FrozenCgroups:
    """The state of the cgroup paths that were requested. `refresh`, twice a second, checks for changes.

    Never raises: a cgroup that cannot be read is not frozen; changes of one that cannot be watched are
    detected later. Not thread-safe.
    """

    def __init__(self, host: Host) -> None:
        self._mounts = _mounts(os.fsencode(host.path("/sys/fs/cgroup")))
        self._states: OrderedDict[bytes, _State] = OrderedDict()
        self._path_of: dict[int, bytes] = {}
        self._watches_of: dict[bytes, set[int]] = {}
        self._inotify: _Inotify | None = None
        self._turn: list[bytes] = []

    def is_frozen(self, path: bytes) -> bool:
        """Return whether a cgroup or one above it is frozen; only the first call reads it."""
        state = self._states.get(path)
        if state is None:
            state = self._states[path] = _State(self._read(path))
            if len(self._states) > _KEPT:
                forgotten, _ = self._states.popitem(last=False)
                self._unwatch(forgotten)
        elif path not in self._watches_of:
            state.looks_due = (
                _YOUNG_LOOKS  # it was gone; the new request may be for a new cgroup with this path
            )
        return state.look.frozen

    def refresh(self) -> set[bytes]:
        """Return the paths with a changed answer."""
        if self._inotify is None:
            self._inotify = _Inotify()
        watches = self._inotify.changed_watches()
        if _OVERFLOW in watches:
            for state in self._states.values():
                state.looks_due = max(1, state.looks_due)
        reported = {path for watch in watches if (path := self._path_of.get(watch))}
        due = [path for path, state in self._states.items() if state.looks_due or state.look.freezing]
        changed = {path for path in (*reported, *due[:_LOOKS], *self._next_turn()) if self._look(path)}
        for path in reported:
            if self._states[path].look.empty:
                self._states[path].looks_due = _YOUNG_LOOKS  # it will be removed, which is not reported
        below = tuple(path + b"/" for path in changed)
        if below:
            changed |= {path for path in self._states if path.startswith(below) and self._look(path)}
        return changed

    def forget_all_but(self, paths: set[bytes]) -> None:
        """Keep these paths only; any other is read again when it is requested."""
        for path in self._states.keys() - paths:
            del self._states[path]
            self._unwatch(path)

    def _next_turn(self) -> list[bytes]:
        if not self._turn:
            self._turn = list(self._states)
        count = min(_LOOKS, len(self._states) // _TURNS + 1)
        turn, self._turn = self._turn[:count], self._turn[count:]
        return turn

    def _look(self, path: bytes) -> bool:
        """Watch a cgroup and read it; return whether its answer has changed."""
        state = self._states.get(path)
        if state is None:
            return False
        before = state.look
        complete = self._watch(path)
        state.look = self._read(path)
        state.looks_due = 0 if complete and not state.look.empty else max(0, state.looks_due - 1)
        return state.look.frozen != before.frozen

    def _read(self, path: bytes) -> _Look:
        lines = [line for file in self._files(path) for line in _content(file).splitlines()]
        frozen = b"FROZEN" in lines or b"frozen 1" in lines
        return _Look(frozen, not frozen and b"FREEZING" in lines, b"populated 0" in lines)

    def _files(self, path: bytes) -> list[bytes]:
        """Return the v1 and v2 files with a cgroup's state; none for a path with `..`."""
        if _CLIMBS.search(path) or path in (b"", b"/"):
            return []
        return [mount + path + name for mount, name in self._mounts]

    def _watch(self, path: bytes) -> bool:
        """Watch the files of a cgroup; return whether all exist."""
        assert self._inotify is not None
        watches = {watch for file in self._files(path) if (watch := self._inotify.watch(file)) >= 0}
        for gone in self._watches_of.pop(path, set()) - watches:
            self._path_of.pop(gone, None)
            self._inotify.unwatch(gone)
        if watches:
            self._watches_of[path] = watches
            self._path_of.update(dict.fromkeys(watches, path))
        return len(watches) == len(self._mounts)

    def _unwatch(self, path: bytes) -> None:
        for watch in self._watches_of.pop(path, ()):
            self._path_of.pop(watch, None)
            if self._inotify is not None:
                self._inotify.unwatch(watch)


def _mounts(place: bytes) -> list[tuple[bytes, bytes]]:
    """Return the hierarchies with a freezer, each with the name of its state file."""
    v2 = place if os.path.exists(place + b"/cgroup.controllers") else place + b"/unified"
    usual = ((place + b"/freezer", b"/freezer.state"), (v2, b"/cgroup.events"))
    return [(mount, name) for mount, name in usual if os.path.isdir(mount)]


def _content(file: bytes) -> bytes:
    """Return the start of a file, empty if it cannot be read. Below another root it may be of any type."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        return os.read(descriptor, 512) if stat.S_ISREG(os.fstat(descriptor).st_mode) else b""
    except OSError:  # the cgroup was removed meanwhile
        return b""
    finally:
        os.close(descriptor)


class _Inotify:
    """inotify watches on files. Without inotify (a limit is reached) it reports nothing."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor >= 0:
            weakref.finalize(self, os.close, self._descriptor)

    def watch(self, file: bytes) -> int:
        """Return the number of the watch on a file, the existing one if there is one; negative on failure."""
        watch: int = self._libc.inotify_add_watch(self._descriptor, file, _IN_MODIFY | _IN_DONT_FOLLOW)
        return watch

    def unwatch(self, watch: int) -> None:
        self._libc.inotify_rm_watch(self._descriptor, watch)

    def changed_watches(self) -> set[int]:
        """Return the watches with events since the last call."""
        watches: set[int] = set()
        for _ in range(_READS):
            try:
                data = os.read(self._descriptor, _READ)
            except OSError:  # there are no more events
                break
            at = 0
            while at + _EVENT.size <= len(data):
                watch, _, _, length = _EVENT.unpack_from(data, at)
                watches.add(watch)
                at += _EVENT.size + length
        return watches
