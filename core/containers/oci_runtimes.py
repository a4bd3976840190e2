"""The state of runc and crun: which cgroup belongs to which container, without an id in its path.

`runc run web` makes the cgroup `/web`, `ctr run … web` makes `/default/web`: nothing in these paths says
"container". The runtime's own state does: /run/runc/web/state.json lists the cgroup in each hierarchy and
the bundle; /run/crun/web/status has `cgroup-path`. This index keeps them by path, so that a path costs
a few dict lookups. Containers with 64 digits are left out: their paths speak for themselves.

The id is the name, with its namespace of containerd in front (`jobs/web`) unless that is `default`, and with
the user of a rootless one behind (`web@1000`): none of these runtimes allows a slash or an @ in a name.
"""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Iterator

import msgspec

from core.containers.bundle import facts_of_bundle
from core.containers.container_id import Level
from core.containers.containerd import ContainerdState
from core.containers.daemons import Home
from core.containers.facts import Facts
from core.containers.rootless import CONTAINERS, STATE_LIMIT, belongs_to, rootless_folders
from core.containers.state_files import Stamp, StateError, StateFiles, is_file_name
from core.containers.storage import StorageState
from core.text import safe_text

_ROOTS = ("/run/runc", "/run/crun")
_ROOTS_BY_NAMESPACE = ("/run/containerd/runc", "/run/docker/runtime-runc", "/run/k3s/containerd/runc")
_SIXTY_FOUR = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z0-9_+.-]{1,255}")  # what runc allows (libcontainer, validateID)
_STORAGE_BUNDLE = re.compile(r"(/.+/[a-z]+-containers)/([0-9a-f]{64})/userdata")
_CGROUP_MOUNT = "/sys/fs/cgroup"

_KEPT_S = 5.0
"""As long as ended processes are kept as history."""

_SETTLED_NS = 100_000_000
"""A folder's time moves in steps of a few ms: what was read within a step of its last change may be old."""


class Placed(msgspec.Struct, frozen=True):
    """A container and the cgroup paths, one for each hierarchy, that hold its processes."""

    id: str
    runtime: str
    place: str
    """The folder of its state."""

    bundle: str

    owner: int | None
    """The user of a rootless runtime."""

    paths: tuple[bytes, ...]


class _RuncState(msgspec.Struct):
    """What runc and crun write; each fills its own fields."""

    cgroup_paths: dict[str, str] | None = None
    config: dict[str, msgspec.Raw] | None = None
    cgroup_path: str = msgspec.field(default="", name="cgroup-path")
    bundle: str = ""


class _Root:
    """One state folder as it was when it was last read. `owner` is the user of a rootless runtime."""

    def __init__(self, owner: int | None) -> None:
        self.owner = owner
        self.stamp: Stamp | None = None
        self.settled = False
        self.containers: dict[str, tuple[Stamp, Placed | None]] = {}

    def placed(self) -> list[Placed]:
        return [placed for _, placed in self.containers.values() if placed]


class OciRuntimes:
    """Containers by cgroup path. `refresh` looks at the disk, `levels` never does."""

    def __init__(self, files: StateFiles, storage: StorageState, containerd: ContainerdState) -> None:
        self._files = files
        self._storage = storage
        self._containerd = containerd
        self._roots: dict[str, _Root] = {}
        self._live: dict[str, Placed] = {}
        self._removed: dict[str, tuple[Placed, float]] = {}
        self._by_path: dict[bytes, Placed] = {}
        self._by_id: dict[str, Placed] = {}
        self.problems: dict[str, str] = {}
        """State folders that could not be read, and why: their containers look like host processes."""

    def levels(self, path: bytes) -> list[Level]:
        """Return the containers whose cgroup is `path` or above it, outermost first.

        The root cgroup is nobody's: a container that was put there would swallow the host.
        """
        found: list[Level] = []
        while len(path) > 1 and self._by_path:
            placed = self._by_path.get(path)
            if placed:
                found.insert(0, Level(path, placed.id, placed.runtime))
            path = path[: path.rfind(b"/")] if b"/" in path else b""
        return found

    def refresh(self, *, rootless: bool = True) -> set[str]:
        """Read what changed since the last call; return the ids whose paths or bundle are others now.

        A container that was removed keeps its paths for a while: the end of its processes may be
        told later than runc has cleared its state. Costs about ten stat calls when nothing changed,
        and three for each user who is logged in, unless `rootless` is false: then their folders wait.
        """
        self.problems.clear()
        folders = dict(self._state_folders())
        if rootless:
            folders |= rootless_folders(self._files)
        else:
            folders |= {folder: root.owner for folder, root in self._roots.items() if root.owner is not None}
        gone = self._roots.keys() - folders.keys()
        for folder in gone:
            del self._roots[folder]
        for folder in folders.keys() - self._roots.keys():
            self._roots[folder] = _Root(folders[folder])
        read = [
            self._refresh_root(folder, root)
            for folder, root in self._roots.items()
            if rootless or root.owner is None
        ]
        changed: set[str] = set()
        now = time.monotonic()
        if gone or any(read):
            live = {placed.place: placed for root in self._roots.values() for placed in root.placed()}
            changed |= {placed.id for place, placed in live.items() if self._known(place) != placed}
            for place in self._live.keys() - live.keys():
                self._removed[place] = (self._live[place], now + _KEPT_S)
            for place in self._removed.keys() & live.keys():
                del self._removed[place]
            self._live = live
        for place, (placed, until) in list(self._removed.items()):
            if until <= now:
                del self._removed[place]
                changed.add(placed.id)
        if changed:
            every = [*(placed for placed, _ in self._removed.values()), *self._live.values()]
            every.sort(key=lambda placed: placed.owner is None)  # root's word counts before a user's
            self._by_path = {path: placed for placed in every for path in placed.paths}
            self._by_id = {placed.id: placed for placed in every}
        return changed

    def _known(self, place: str) -> Placed | None:
        removed = self._removed.get(place)
        return removed[0] if removed else self._live.get(place)

    def facts(self, container_id: str, home: Home | None) -> Facts | None:
        """Return what the bundle of a container says, found through runc's or crun's state."""
        placed = self._by_id.get(container_id)
        if placed:
            gone = placed.place in self._removed
            return None if gone else self._facts_of(placed.place, placed.bundle, placed.owner)
        for folder, root in self._roots.items() if is_file_name(container_id) else ():
            if root.owner is not None and (home is None or root.owner != home.uid):
                continue
            place = f"{folder}/{container_id}"
            state = self._read_state(place, root.owner)
            if state is not None:
                return self._facts_of(place, _bundle(state), root.owner)
        return None

    def _facts_of(self, place: str, bundle: str, owner: int | None) -> Facts:
        name = place.rpartition("/")[2]
        facts = self._facts_in(bundle, name, owner) or Facts(
            source=place,
            name=None if _SIXTY_FOUR.fullmatch(name) else name,
            note=f"no image name: there is no bundle in {safe_text(bundle) or 'the state'} any more",
        )
        folder = posixpath.dirname(place)
        if _runtime_of_root(folder) != "containerd":
            return facts
        return self._containerd.completed(facts, posixpath.basename(folder), name)

    def _facts_in(self, bundle: str, container_id: str, owner: int | None) -> Facts | None:
        if not bundle.startswith("/"):
            return None
        # podman or CRI-O with a storage folder of their own choice
        storage = _STORAGE_BUNDLE.fullmatch(bundle)
        if storage and (facts := self._storage.facts_below(storage.group(1), storage.group(2), owner)):
            return facts
        return facts_of_bundle(self._files, bundle, container_id, owner)

    def _state_folders(self) -> Iterator[tuple[str, int | None]]:
        yield from ((folder, None) for folder in _ROOTS)
        for parent in _ROOTS_BY_NAMESPACE:
            try:
                for namespace, _ in self._files.folders(parent):
                    yield f"{parent}/{namespace}", None
            except StateError as error:
                self.problems[parent] = str(error)

    def _refresh_root(self, folder: str, root: _Root) -> bool:
        """Read a folder again if it may have changed; return whether."""
        stamp = self._files.stamp(folder)
        # A user's claims are examined each time: a cgroup may have been made anew by somebody else.
        waiting = any(placed is None or placed.owner is not None for _, placed in root.containers.values())
        if stamp == root.stamp and root.settled and not waiting:
            return False
        now = time.time_ns()
        known, root.containers = root.containers, {}
        try:
            limit = () if root.owner is None else (CONTAINERS,)
            for name, own in self._files.folders(folder, *limit):
                if _NAME.fullmatch(name) and not _SIXTY_FOUR.fullmatch(name):
                    old = known.get(name)
                    fresh = old and old[0] == own and self._is_his_still(old[1]) and old[1]
                    root.containers[name] = (own, fresh or self._read(folder, name, root.owner))
        except StateError as error:
            self.problems[folder] = str(error)
            stamp = None
        root.stamp = stamp
        root.settled = stamp is None or now - stamp.mtime_ns > _SETTLED_NS
        return True

    def _is_his_still(self, placed: Placed | None) -> bool:
        if placed is None or placed.owner is None:
            return True
        owner = placed.owner
        return all(belongs_to(self._files.host, path, owner) for path in placed.paths)

    def _read(self, folder: str, name: str, owner: int | None) -> Placed | None:
        """Return one container, None as long as the runtime has not written its state."""
        place = f"{folder}/{name}"
        try:
            state = self._read_state(place, owner)
        except StateError as error:
            if owner is None:  # what a user has written there is his problem
                self.problems[place] = str(error)
            return None
        if state is None:
            return None
        runtime = _runtime_of_root(folder)
        namespace = folder.rpartition("/")[2] if runtime == "containerd" else "default"
        container_id = name if namespace == "default" else f"{namespace}/{name}"
        paths = sorted(set(_paths(state)))
        if owner is not None:
            container_id = f"{name}@{owner}"
            paths = [path for path in paths if belongs_to(self._files.host, path, owner)]
            if not paths:
                return None
        return Placed(container_id, runtime, place, _bundle(state), owner, tuple(paths))

    def _read_state(self, place: str, owner: int | None = None) -> _RuncState | None:
        file = "status" if place.split("/")[-2] == "crun" else "state.json"
        limit = () if owner is None else (STATE_LIMIT,)
        return self._files.read_json(f"{place}/{file}", _RuncState, owner, *limit)


def _runtime_of_root(folder: str) -> str:
    """Return who uses a state folder; runc or crun by hand has no name among the runtimes."""
    if folder.startswith("/run/docker/") or folder.endswith("/moby"):
        return "docker"
    return "containerd" if "/containerd/" in folder else "unknown"


def _paths(state: _RuncState) -> Iterator[bytes]:
    """Yield a container's path in each hierarchy, from its place in the file system."""
    hierarchies = state.cgroup_paths or {}
    hybrid = any(hierarchies)  # the key of cgroup v2 is ""
    for hierarchy, place in hierarchies.items():
        rest = place.removeprefix(_CGROUP_MOUNT)
        if hierarchy:  # v1: one mount for each hierarchy
            rest = rest[rest.find("/", 1) :] if "/" in rest[1:] else ""
        elif hybrid:
            rest = rest.removeprefix("/unified")
        yield rest.encode("utf-8", "surrogatepass")
    yield state.cgroup_path.encode("utf-8", "surrogatepass")


def _bundle(state: _RuncState) -> str:
    if state.bundle:
        return state.bundle
    try:
        labels = msgspec.json.decode((state.config or {}).get("labels", b"[]"), type=list[str] | None)
    except ValueError:
        return ""
    return next((label[len("bundle=") :] for label in labels or () if label.startswith("bundle=")), "")
