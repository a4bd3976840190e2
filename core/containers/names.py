"""The names of a container: name, image and pod, from the runtime's own state on disk."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Protocol

import msgspec

from core.containers.answers import Answers, Key
from core.containers.claims import Claims
from core.containers.container_id import Level, container_of_cgroup, context_of_levels, levels_of_cgroup
from core.containers.containerd import ContainerdState
from core.containers.daemons import Daemons, Home
from core.containers.docker import DockerState
from core.containers.facts import ContainerFacts
from core.containers.freezer import FrozenCgroups
from core.containers.oci_folder import Placed
from core.containers.oci_runtimes import OciRuntimes
from core.containers.state_files import OthersFileError, StateFiles, is_file_name
from core.containers.storage import StorageState
from core.containers.user_state import BUNDLE
from core.containers.user_states import UserStates
from core.containers.work import StateError
from core.model.entities import ContainerContext
from core.system.host import Host
from core.text.safe import safe_text

if TYPE_CHECKING:
    from core.containers.sockets import RuntimeSockets

_PATHS_KEPT = 16_384
_CROWD = 1_024
"""Unused paths are removed only when there are more paths than this."""

_YOUNG_S = 3.0
"""How long a path is new, in seconds: runc moves its process into the cgroup some 50 ms before it writes its
state, on a busy host later."""

_SETTLE_LOOK_S = 0.02
_LOOK_S = 0.001
"""Interval of checks of runc's directories, in seconds, while events come from a new cgroup: a check takes
40 us, so at most 4 % of a core."""

_USER_SLICE = re.compile(rb"/user\.slice/user-([0-9]{1,9})\.slice/")
"""Where systemd puts a user's processes; further down a path it is a user of the container."""


class _RuntimeState(Protocol):
    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None: ...


class ContainerNames:
    """Containers of one host with names. Never raises, and keeps a bounded number of answers.

    Asks no daemon, unless `ask_runtimes` allows it for names not found on disk (see sockets.py).

    Root's state is read here, that of users by child processes with their rights (user_states.py).

    Not thread-safe: one thread owns it. `container_of` and `lookup` read files only for a container not
    seen before, and check runc's directories for a new path; `refresh`, called about twice a second, checks
    for changes.
    """

    def __init__(self, host: Host, *, ask_runtimes: bool = False) -> None:
        files = StateFiles(host)
        storage = StorageState(files)
        self._files = files
        self._daemons = Daemons(files)
        containerd = ContainerdState(files, self._daemons)
        self._oci = OciRuntimes(files, storage, containerd)
        self._sockets = _sockets(files, self._daemons) if ask_runtimes else None
        docker: _RuntimeState = DockerState(files, self._daemons)
        self._readers: dict[str, tuple[_RuntimeState, ...]] = {
            "docker": (docker, self._oci),
            "containerd": (containerd, docker, self._oci),  # docker also runs pods without a mark of its own
            "cri-o": (storage, self._oci),
            "podman": (storage, self._oci),
            "ecs": (docker, containerd),
            "unknown": (docker, containerd, storage, self._oci),
        }
        self._answers = Answers(files, self._search)
        self._users = UserStates(host, self._home_of)
        self._claims = Claims(host)
        self._contexts: OrderedDict[bytes, ContainerContext] = OrderedDict()
        self._tops: set[str] = set()
        """Ids of the containers that are not nested."""
        self._inner: set[str] = set()
        """Ids that are below another id in some path."""
        self._young: dict[bytes, float] = {}
        self._next_look = 0.0
        self._frozen = FrozenCgroups(host)
        self._changed: set[bytes] = set()
        self._crowd = _CROWD
        _, claimed = self._users.refresh()
        self._oci.refresh(self._claims.verified(claimed))

    @property
    def problems(self) -> tuple[str, ...]:
        """State that cannot be read, and the consequence for its containers."""
        missing = "containers of plain runc and ctr are missing here"
        return (
            *(f"{problem}; {missing}" for problem in self._oci.problems.values()),
            *(
                f"{problem}; containers of that user may have no name here"
                for problem in self._users.problems
            ),
        )

    def container_of(self, cgroup: bytes) -> ContainerContext:
        """Return the container of a cgroup path with its names, cached after the first call.

        Unlike `container_of_cgroup` it finds the containers of `runc run NAME` and `ctr run`, which have no
        id in their paths. Before the runtime has written its state such a path is no container: a new path
        is searched again on each call, and `refresh` reports all changes.
        """
        if cgroup not in self._contexts:
            self._note_top(cgroup)
            self._contexts[cgroup] = self._context(cgroup)
            self._young[cgroup] = time.monotonic() + _YOUNG_S
            if len(self._contexts) > _PATHS_KEPT:
                forgotten, _ = self._contexts.popitem(last=False)
                self._young.pop(forgotten, None)
        if cgroup in self._young:
            if _names_its_container(cgroup, self._contexts[cgroup]):
                del self._young[cgroup]
            else:
                self._look_for_new()
        return self._contexts[cgroup]

    def lookup(self, context: ContainerContext, place: bytes | None = None) -> ContainerContext:
        """Return `context` with the facts of the runtime's state, or with the `reason` why there are none.

        The runtime is corrected if the path does not identify it (docker's pods with the cgroupfs driver,
        `--cgroup-parent`). `place` is the container's own cgroup, if that is not the context's.
        """
        if context.id is None:
            return context
        facts, reason = self._facts((context.id, context.runtime or "unknown", _user(context.cgroup_path)))
        outer = self.lookup(context.outer) if context.outer else None
        paused = self._frozen.is_frozen(context.cgroup_path if place is None else place)
        if facts is None:
            return msgspec.structs.replace(context, reason=reason, outer=outer, paused=paused)
        return msgspec.structs.replace(
            context,
            outer=outer,
            paused=paused,
            runtime=facts.runtime or context.runtime,
            name=facts.name,
            image=facts.image,
            pod=facts.pod,
            namespace=facts.namespace,
            pod_uid=context.pod_uid or facts.pod_uid,
            reason=facts.note,
            labels=facts.labels,
            source=safe_text(facts.source, 1024) or None,
        )

    def refresh(self) -> set[bytes]:
        """Check for changes on disk; return the paths with a changed answer of `container_of`.

        Costs one stat per named container of root's; see answers.py for those without a name, and
        user_states.py for those of users, for which this never waits.
        """
        now = time.monotonic()
        self._young = {path: until for path, until in self._young.items() if until > now}
        of_users, claimed = self._users.refresh()
        ids, paths = self._refresh_runtimes(self._claims.verified(claimed))
        ids |= {key[0] for key in of_users | self._answers.refresh()}
        self._answer_again(ids, paths | self._frozen.refresh())
        changed, self._changed = self._changed, set()
        return changed

    def settle(self, seconds: float) -> None:
        """Wait for pending answers from users' state, `seconds` at most.

        For one-shot commands; sessions get late answers from `refresh`.
        """
        until = time.monotonic() + seconds
        while self._users.is_waiting and time.monotonic() < until:
            self._changed |= self.refresh()
            time.sleep(_SETTLE_LOOK_S)

    def forget_unused(self, used: Callable[[], set[bytes]]) -> None:
        """Forget the paths that `used` does not return, when there are twice as many as were last in use.

        Containers come and go all day. Each kept path is checked at every change of another container, and
        searched for repeatedly after its state is gone.
        """
        if len(self._contexts) <= self._crowd:
            return
        kept = used()
        for path in self._contexts.keys() - kept:
            del self._contexts[path]
            self._young.pop(path, None)
        kept_levels = [levels_of_cgroup(path) for path in self._contexts]
        self._tops &= {levels[0].id for levels in kept_levels if levels}
        self._inner = {level.id for levels in kept_levels for level in levels[1:]}
        ids = {level.id for context in self._contexts.values() for level in context.levels()}
        self._answers.forget_all_but({level_id for level_id in ids if level_id})
        self._users.forget_all_but({level_id for level_id in ids if level_id})
        self._frozen.forget_all_but(_with_those_above(self._contexts))
        self._crowd = max(_CROWD, 2 * len(self._contexts))

    def _look_for_new(self) -> None:
        """Check whether runc or crun has created a container since the last check."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._answer_again(*self._refresh_runtimes(None))

    def _refresh_runtimes(self, claims: list[Placed] | None) -> tuple[set[str], set[bytes]]:
        """Read changed state of runc and crun, and take claims; return the ids and cgroups that changed."""
        ids, paths = self._oci.refresh(claims)
        # A name may be reused by a container with another bundle.
        self._answers.forget(ids)
        return ids, paths

    def _answer_again(self, ids: set[str], cgroups: set[bytes]) -> None:
        """Look up the cached paths in these containers or cgroups again, and note changes.

        Only those: a user can keep changing their own containers.
        """
        if not ids and not cgroups:
            return
        below = tuple(path + b"/" for path in cgroups)
        for path, before in self._contexts.items():
            if path in cgroups or path.startswith(below) or any(level.id in ids for level in before.levels()):
                context = self._context(path)
                if context != before:
                    self._contexts[path] = context
                    self._changed.add(path)

    def _context(self, cgroup: bytes) -> ContainerContext:
        """Return the innermost container of a path, by ids in it or by the state of runc and crun."""
        # " (deleted)" is kept: that is a zombie of an earlier container, perhaps with the same name.
        placed = self._oci.levels(cgroup)
        levels = levels_of_cgroup(cgroup)
        levels, claimed = self._without_claims(levels, {level.path for level in placed})
        if placed:
            levels = tuple(sorted((*levels, *placed), key=lambda level: len(level.path)))
        context = context_of_levels(cgroup, levels) if placed or claimed else container_of_cgroup(cgroup)
        context = self.lookup(context, levels[-1].path if levels else None)
        if not claimed:
            return context
        claim = f"its cgroup has the name of container {claimed[0].id[:12]}, which runs elsewhere"
        reason = f"{context.reason}; {claim}" if context.reason else claim
        return msgspec.structs.replace(context, reason=reason)

    def _without_claims(
        self, levels: tuple[Level, ...], placed: set[bytes]
    ) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Split the containers along a path into genuine ones and names of containers that run elsewhere.

        A process in a container can create cgroups below its own with any name. A container that is not
        nested cannot be there; `placed` are the cgroups that an OCI runtime confirms.
        """
        claimed = tuple(level for level in levels[1:] if level.id in self._tops and level.path not in placed)
        return tuple(level for level in levels if level not in claimed), claimed

    def _note_top(self, cgroup: bytes) -> None:
        """Note the outermost container of a path. A user's own slice says nothing about other containers."""
        levels = levels_of_cgroup(cgroup)
        self._inner.update(level.id for level in levels[1:])
        if not levels or levels[0].id in self._tops or _user(cgroup) is not None:
            return
        self._tops.add(levels[0].id)
        if levels[0].id in self._inner:  # it was taken for a nested one
            self._answer_again({levels[0].id}, set())

    def _home_of(self, uid: int) -> Home | None:
        try:
            return self._daemons.home(uid)
        except StateError:
            return None

    def _facts(self, key: Key) -> tuple[ContainerFacts | None, str | None]:
        """Return a container's facts; in a user's slice the user's own state takes precedence over root's."""
        container_id, runtime, uid = key
        owner = self._oci.owner_of(container_id)
        if owner is None and uid and self._home_of(uid) is not None:
            owner = uid
        reason = None
        if owner is not None and runtime in self._readers and _can_be_looked_for(container_id):
            facts, reason = self._users.facts(owner, container_id, runtime)
            if facts is not None or self._users.is_waited_for(owner, container_id, runtime):
                return facts, reason
        answer = self._answers.get(key)
        return answer.facts, (reason if answer.facts is None else None) or answer.reason

    def _search(self, key: Key) -> tuple[ContainerFacts | None, str | None]:
        """Return the facts about a container in root's state, or why there are none."""
        container_id, runtime, uid = key
        if runtime in ("lxc", "nspawn"):
            return ContainerFacts(source="", name=container_id, note=f"{runtime} keeps no image name"), None
        if runtime not in self._readers or not _can_be_looked_for(container_id):
            return None, f"{runtime} has no state on this host that can be read"
        readers = self._readers[runtime]
        if len(container_id) < 64 and runtime in ("unknown", "containerd"):
            readers = (self._oci, *readers)  # `runc run web`, `ctr run … web`: found by their state
        problems = []
        for reader in readers:
            try:
                facts = reader.facts(container_id, self._home_of(0) if uid == 0 else None)
            except StateError as error:
                if isinstance(error, OthersFileError) and error.bundle:
                    return self._users.facts(error.uid, container_id, BUNDLE + error.bundle)
                problems.append(str(error))
                continue
            if facts is not None:
                return facts, None
        reason = problems[0] if problems else f"no state of this {runtime} container was found on disk"
        if self._sockets is None:
            return None, reason
        facts, problem = self._sockets.facts(container_id)
        return facts, None if facts else f"{reason}; {problem}"


def _sockets(files: StateFiles, daemons: Daemons) -> RuntimeSockets:
    from core.containers.sockets import RuntimeSockets  # noqa: PLC0415  an HTTP client that most never need

    return RuntimeSockets(files, daemons)


def _can_be_looked_for(container_id: str) -> bool:
    return all(map(is_file_name, container_id.split("/")))


def _with_those_above(paths: Iterable[bytes]) -> set[bytes]:
    ancestors: set[bytes] = set()
    for path in paths:
        while path and path not in ancestors:
            ancestors.add(path)
            path = path.rpartition(b"/")[0]  # noqa: PLW2901
    return ancestors


def _user(cgroup: bytes) -> int | None:
    user = _USER_SLICE.match(cgroup)
    return int(user.group(1)) if user else None


def _names_its_container(cgroup: bytes, context: ContainerContext) -> bool:
    """Return whether a path ends with its container's id: `/docker/ID`, not `/web` or `/docker/ID/web`."""
    return context.id is not None and context.id.encode() in cgroup[cgroup.rfind(b"/") :]
