"""Finds the containers of runc and crun for cgroup paths without an id, from the runtimes' state.

`runc run web` creates the cgroup `/web`, `ctr run … web` creates `/default/web`: nothing in these paths
identifies a container. The runtime's own state does: /run/runc/web/state.json lists the cgroup in each
hierarchy and the bundle; /run/crun/web/status has `cgroup-path`. This index is by path, so a look-up costs a
few dict accesses. Containers with ids of 64 digits are left out: their paths contain the id.

The id is the name, preceded by its containerd namespace (`jobs/web`) unless that is `default`, and followed
by the user of a rootless runtime (`web@1000`): none of these runtimes allows a slash or an @ in a name.
"""

from __future__ import annotations

import posixpath
import time
from collections.abc import Iterator, Sequence

from core.containers.container_id import Level
from core.containers.containerd import ContainerdState
from core.containers.daemons import Home
from core.containers.facts import ContainerFacts
from core.containers.oci_folder import (
    Placed,
    StateFolder,
    bundle_of,
    facts_in_bundle,
    read_state,
    runtime_of_folder,
)
from core.containers.state_files import StateFiles, is_file_name
from core.containers.storage import StorageState
from core.containers.work import StateError

_ROOTS = ("/run/runc", "/run/crun")
_ROOTS_BY_NAMESPACE = ("/run/containerd/runc", "/run/docker/runtime-runc", "/run/k3s/containerd/runc")

_KEPT_S = 5.0
"""As long as ended processes stay in the history, in seconds."""


class OciRuntimes:
    """Containers by cgroup path: root's own, and those that users claim. `levels` never reads the disk."""

    def __init__(self, files: StateFiles, storage: StorageState, containerd: ContainerdState) -> None:
        self._files = files
        self._storage = storage
        self._containerd = containerd
        self._folders: dict[str, StateFolder] = {}
        self._claims: tuple[Placed, ...] = ()
        self._live: dict[str, Placed] = {}
        self._removed: dict[str, tuple[Placed, float]] = {}
        self._by_path: dict[bytes, Placed] = {}
        self._by_id: dict[str, Placed] = {}
        self.problems: dict[str, str] = {}
        """State directories that could not be read, and why: their containers look like host processes."""

    def levels(self, path: bytes) -> list[Level]:
        """Return the containers with a cgroup that is `path` or above it, outermost first.

        The root cgroup is never a container's: one that was placed there would contain the whole host.
        """
        levels: list[Level] = []
        while len(path) > 1 and self._by_path:
            placed = self._by_path.get(path)
            if placed:
                levels.insert(0, Level(path, placed.id, placed.runtime))
            path = path[: path.rfind(b"/")] if b"/" in path else b""
        return levels

    def owner_of(self, container_id: str) -> int | None:
        """Return the user who claims a container, None for root's containers and those without state."""
        placed = self._by_id.get(container_id)
        return placed.owner if placed else None

    def refresh(self, claims: Sequence[Placed] | None = None) -> tuple[set[str], set[bytes]]:
        """Read what changed since the last call; return the ids with changed paths or bundles, and those
        paths, both old and new.

        `claims` are the containers of users; None: unchanged. A removed container keeps its paths for a
        while, because the exits of its processes may be reported after runc has removed its state. Costs
        about ten stat calls when nothing changed.
        """
        different = self._refresh_folders()
        if claims is not None and tuple(claims) != self._claims:
            self._claims, different = tuple(claims), True
        changed: dict[str, set[bytes]] = {}
        now = time.monotonic()
        if different:
            live = {placed.place: placed for placed in self._found()}
            for place, placed in live.items():
                earlier = self._previous(place)
                if earlier != placed:
                    changed.setdefault(placed.id, set()).update(
                        placed.paths, earlier.paths if earlier else ()
                    )
            for place in self._live.keys() - live.keys():
                self._removed[place] = (self._live[place], now + _KEPT_S)
            for place in self._removed.keys() & live.keys():
                del self._removed[place]
            self._live = live
        for place, (placed, until) in list(self._removed.items()):
            if until <= now:
                del self._removed[place]
                changed.setdefault(placed.id, set()).update(placed.paths)
        if changed:
            every = [*(placed for placed, _ in self._removed.values()), *self._live.values()]
            every.sort(key=lambda placed: placed.owner is None)  # root's state takes precedence over a user's
            self._by_path = {path: placed for placed in every for path in placed.paths}
            self._by_id = {placed.id: placed for placed in every}
        return set(changed), {path for paths in changed.values() for path in paths}

    def _found(self) -> Iterator[Placed]:
        for folder in self._folders.values():
            yield from folder.placed()
        yield from self._claims

    def _refresh_folders(self) -> bool:
        """Read root's directories again that may have changed; return whether any was read or has gone."""
        self.problems.clear()
        present = dict.fromkeys(self._state_folders())
        gone = self._folders.keys() - present.keys()
        for path in gone:
            del self._folders[path]
        for path in present.keys() - self._folders.keys():
            self._folders[path] = StateFolder(self._files, path)
        read = [folder.refresh() for folder in self._folders.values()]
        for folder in self._folders.values():
            self.problems |= folder.problems
        return bool(gone) or any(read)

    def _previous(self, place: str) -> Placed | None:
        removed = self._removed.get(place)
        return removed[0] if removed else self._live.get(place)

    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None:
        """Return the facts in the bundle of one of root's containers, found by runc's or crun's state."""
        placed = self._by_id.get(container_id)
        if placed and placed.owner is None:
            return None if placed.place in self._removed else self._facts_of(placed.place, placed.bundle)
        for folder in self._folders if is_file_name(container_id) else ():
            place = f"{folder}/{container_id}"
            state = read_state(self._files, place, None)
            if state is not None:
                return self._facts_of(place, bundle_of(state))
        return None

    def _facts_of(self, place: str, bundle: str) -> ContainerFacts:
        facts = facts_in_bundle(self._files, self._storage, place, bundle, None)
        folder, name = posixpath.split(place)
        if runtime_of_folder(folder) != "containerd":
            return facts
        return self._containerd.completed(facts, posixpath.basename(folder), name)

    def _state_folders(self) -> Iterator[str]:
        yield from _ROOTS
        for parent in _ROOTS_BY_NAMESPACE:
            try:
                for namespace, _ in self._files.folders(parent):
                    yield f"{parent}/{namespace}"
            except StateError as error:
                self.problems[parent] = str(error)
