"""One directory with the state of runc's or crun's containers: DIRECTORY/NAME/state.json or status."""

from __future__ import annotations

import posixpath
import re
import time
from collections.abc import Iterator
from itertools import islice

import msgspec

from core.containers.bundle import facts_of_bundle
from core.containers.facts import ContainerFacts
from core.containers.state_files import Stamp, StateFiles
from core.containers.storage import StorageState
from core.containers.work import StateError
from core.text.safe import safe_text

SIXTY_FOUR = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[A-Za-z0-9_+.-]{1,255}")  # what runc allows (libcontainer, validateID)
_STORAGE_BUNDLE = re.compile(r"(/.+/[a-z]+-containers)/([0-9a-f]{64})/userdata")
_CGROUP_MOUNT = "/sys/fs/cgroup"

_USERS_CONTAINERS = 256
"""Limit of the entries read from a user's directory."""

_USERS_STATE = 256 << 10
"""Limit of one state file of a user in bytes; runc's has about 20 kB."""

_PATHS = 64
"""Limit of cgroups of one container: there is one for each hierarchy, and there are 15 hierarchies."""

_SETTLED_NS = 100_000_000
"""A directory's mtime has steps of a few ms: content read within one of a change may be outdated."""


class Placed(msgspec.Struct, frozen=True):
    """A container and the cgroup paths, one for each hierarchy, that hold its processes."""

    id: str
    runtime: str
    place: str
    """The directory of its state."""

    bundle: str

    owner: int | None
    """The user of a rootless runtime."""

    paths: tuple[bytes, ...]


class RuncState(msgspec.Struct):
    """The state files of runc and crun; each has its own fields."""

    cgroup_paths: dict[str, str] | None = None
    config: dict[str, msgspec.Raw] | None = None
    cgroup_path: str = msgspec.field(default="", name="cgroup-path")
    bundle: str = ""


class StateFolder:
    """A state directory as of the last read. `owner` is the user of a rootless runtime."""

    def __init__(self, files: StateFiles, folder: str, owner: int | None = None) -> None:
        self._files = files
        self.folder = folder
        self.owner = owner
        self.problems: dict[str, str] = {}
        """State that could not be read, and why: its containers look like host processes."""
        self._stamp: Stamp | None = None
        self._settled = False
        self._containers: dict[str, tuple[Stamp, Placed | None]] = {}

    def placed(self) -> list[Placed]:
        """Return the containers that were found."""
        return [placed for _, placed in self._containers.values() if placed]

    def refresh(self) -> bool:
        """Read the directory again if it may have changed; return whether it was read."""
        stamp = self._files.stamp(self.folder)
        waiting = any(placed is None for _, placed in self._containers.values())
        if stamp == self._stamp and self._settled and not waiting:
            return False
        now = time.time_ns()
        self.problems.clear()
        before, self._containers = self._containers, {}
        try:
            limit = () if self.owner is None else (_USERS_CONTAINERS,)
            for name, own in self._files.folders(self.folder, *limit):
                if NAME.fullmatch(name) and not SIXTY_FOUR.fullmatch(name):
                    old = before.get(name)
                    placed = old[1] if old and old[0] == own else None
                    self._containers[name] = (own, placed or self._read(name))
        except StateError as error:
            self.problems[self.folder] = str(error)
            stamp = None
        self._stamp = stamp
        self._settled = stamp is None or now - stamp.mtime_ns > _SETTLED_NS
        return True

    def _read(self, name: str) -> Placed | None:
        """Return one container, None while the runtime has not written its state yet."""
        place = f"{self.folder}/{name}"
        try:
            state = read_state(self._files, place, self.owner)
        except StateError as error:
            self.problems[place] = str(error)
            return None
        if state is None:
            return None
        runtime = runtime_of_folder(self.folder)
        namespace = self.folder.rpartition("/")[2] if runtime == "containerd" else "default"
        container_id = name if namespace == "default" else f"{namespace}/{name}"
        if self.owner is not None:
            container_id = f"{name}@{self.owner}"
        paths = tuple(sorted({path for path in islice(_paths(state), _PATHS) if path}))
        return Placed(container_id, runtime, place, bundle_of(state), self.owner, paths)


def read_state(files: StateFiles, place: str, owner: int | None) -> RuncState | None:
    """Return the state in a container's directory, None when there is none. Raises StateError."""
    file = "status" if place.split("/")[-2] == "crun" else "state.json"
    limit = () if owner is None else (_USERS_STATE,)
    return files.read_json(f"{place}/{file}", RuncState, owner, *limit)


def facts_in_bundle(
    files: StateFiles, storage: StorageState, place: str, bundle: str, owner: int | None
) -> ContainerFacts:
    """Return the facts in the bundle of the container with its state in `place`. Raises StateError."""
    name = posixpath.basename(place)
    return _facts_in(files, storage, bundle, name, owner) or ContainerFacts(
        source=place,
        name=None if SIXTY_FOUR.fullmatch(name) else name,
        note=f"no image name: its bundle {safe_text(bundle)} does not exist"
        if bundle
        else "no image name: its state has no bundle",
    )


def _facts_in(
    files: StateFiles, storage: StorageState, bundle: str, container_id: str, owner: int | None
) -> ContainerFacts | None:
    if not bundle.startswith("/"):
        return None
    # podman or CRI-O with a configured storage directory
    stored = _STORAGE_BUNDLE.fullmatch(bundle)
    if stored and (facts := storage.facts_below(stored.group(1), stored.group(2), owner)):
        return facts
    return facts_of_bundle(files, bundle, container_id, owner)


def runtime_of_folder(folder: str) -> str:
    """Return the runtime that uses a state directory; `unknown` for runc or crun run by hand."""
    if folder.startswith("/run/docker/") or folder.endswith("/moby"):
        return "docker"
    return "containerd" if "/containerd/" in folder else "unknown"


def bundle_of(state: RuncState) -> str:
    """Return the bundle in a state, "" when the state has none."""
    if state.bundle:
        return state.bundle
    try:
        labels = msgspec.json.decode((state.config or {}).get("labels", b"[]"), type=list[str] | None)
    except (ValueError, RecursionError):
        return ""
    return next((label[len("bundle=") :] for label in labels or () if label.startswith("bundle=")), "")


def _paths(state: RuncState) -> Iterator[bytes]:
    """Yield a container's cgroup path in each hierarchy, from its path in the file system."""
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
