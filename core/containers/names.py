"""The words people use for a container: its name, image and pod, from the runtime's own state on disk."""

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
"""So many paths at least before those that nobody uses are looked for."""

_YOUNG_S = 3.0
"""runc puts its process into the cgroup some 50 ms before it writes whose that is, a busy host later."""

_SETTLE_LOOK_S = 0.02
_LOOK_S = 0.001
"""A look at the folders of runc takes 40 us: at most 4 % of a core, while events come from a new cgroup."""

_USER_SLICE = re.compile(rb"/user\.slice/user-([0-9]{1,9})\.slice/")
"""Where systemd puts what a user runs; the same further down is in a container, with users of its own."""


class _RuntimeState(Protocol):
    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None: ...


class ContainerNames:
    """Containers of one host with names. Never raises, keeps a bounded number of answers.

    Asks no daemon, unless `ask_runtimes` allows it for what no file tells (see sockets.py).

    State of root's is read here, that of users by children with their rights (user_states.py).

    Not thread-safe: one thread owns it. `container_of` and `lookup` read files only for a container not
    seen before, and look at runc's folders for a path that is new; `refresh`, called about twice a second,
    looks for what has changed since.
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
            "containerd": (containerd, docker, self._oci),  # docker, too, runs pods without a mark of its own
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
        """Ids of the containers that are in no other one."""
        self._inner: set[str] = set()
        """Ids that stand below another one in a path."""
        self._young: dict[bytes, float] = {}
        self._next_look = 0.0
        self._frozen = FrozenCgroups(host)
        self._news: set[bytes] = set()
        self._crowd = _CROWD
        _, claimed = self._users.refresh()
        self._oci.refresh(self._claims.verified(claimed))

    @property
    def problems(self) -> tuple[str, ...]:
        """State that cannot be read, and what that means for the containers it is about."""
        missing = "containers of plain runc and ctr are missing here"
        return (
            *(f"{problem}; {missing}" for problem in self._oci.problems.values()),
            *(
                f"{problem}; containers of that user may have no name here"
                for problem in self._users.problems
            ),
        )

    def container_of(self, cgroup: bytes) -> ContainerContext:
        """Return the container of a cgroup path with its names, from the cache if it was asked before.

        Knows more than `container_of_cgroup`: the containers of `runc run NAME` and `ctr run`, whose
        paths hold no id. Before the runtime has written its state such a path is no container; a path
        that is new is looked for again each time it is asked about, and `refresh` tells of all changes.
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
        """Return `context` with what the runtime's state says; without it, with the `reason`.

        The runtime is corrected where the path could not tell it (pods of docker with the cgroupfs
        driver, `--cgroup-parent`). `place` is the container's own cgroup, if that is not the context's.
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
        """Look for changes on disk; return the paths that `container_of` answers otherwise than before.

        One stat for each container of root's with a name; see answers.py for those without, and
        user_states.py for those of users. Never waits for these.
        """
        now = time.monotonic()
        self._young = {path: until for path, until in self._young.items() if until > now}
        of_users, claimed = self._users.refresh()
        ids, paths = self._refresh_runtimes(self._claims.verified(claimed))
        ids |= {key[0] for key in of_users | self._answers.refresh()}
        self._answer_again(ids, paths | self._frozen.refresh())
        news, self._news = self._news, set()
        return news

    def settle(self, seconds: float) -> None:
        """Wait until what users' state says of the known paths is known, `seconds` at most.

        For those who ask once; whoever goes on hears of it from `refresh`.
        """
        until = time.monotonic() + seconds
        while self._users.is_waiting and time.monotonic() < until:
            self._news |= self.refresh()
            time.sleep(_SETTLE_LOOK_S)

    def forget_unused(self, used: Callable[[], set[bytes]]) -> None:
        """Forget the paths that `used` does not tell, once there are twice as many as it told last.

        Containers come and go all day. Each that is known is looked at in every change of another one, and
        asked for again and again after its state is gone.
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
        """See whether runc or crun have made a container since the last look."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            self._answer_again(*self._refresh_runtimes(None))

    def _refresh_runtimes(self, claims: list[Placed] | None) -> tuple[set[str], set[bytes]]:
        """Read runc's and crun's state where it changed, and take claims; return the ids and cgroups of
        what changed."""
        ids, paths = self._oci.refresh(claims)
        # A name may be used again, by a container from another bundle.
        self._answers.forget(ids)
        return ids, paths

    def _answer_again(self, ids: set[str], cgroups: set[bytes]) -> None:
        """Answer those known paths again that are in these containers or cgroups, and note the news.

        Only those: a user can change containers of his own all day.
        """
        if not ids and not cgroups:
            return
        below = tuple(path + b"/" for path in cgroups)
        for path, before in self._contexts.items():
            if path in cgroups or path.startswith(below) or any(level.id in ids for level in before.levels()):
                context = self._context(path)
                if context != before:
                    self._contexts[path] = context
                    self._news.add(path)

    def _context(self, cgroup: bytes) -> ContainerContext:
        """Return the containers of a path by their ids or by the state of runc and crun, the inner one."""
        # Not without " (deleted)": that is a zombie of an earlier container, perhaps of the same name.
        placed = self._oci.levels(cgroup)
        levels = levels_of_cgroup(cgroup)
        levels, claimed = self._without_claims(levels, {level.path for level in placed})
        if placed:
            levels = tuple(sorted((*levels, *placed), key=lambda level: len(level.path)))
        context = context_of_levels(cgroup, levels) if placed or claimed else container_of_cgroup(cgroup)
        context = self.lookup(context, levels[-1].path if levels else None)
        if not claimed:
            return context
        claim = f"its cgroup is named like container {claimed[0].id[:12]}, which runs elsewhere"
        reason = f"{context.reason}; {claim}" if context.reason else claim
        return msgspec.structs.replace(context, reason=reason)

    def _without_claims(
        self, levels: tuple[Level, ...], placed: set[bytes]
    ) -> tuple[tuple[Level, ...], tuple[Level, ...]]:
        """Return the containers along a path that are what they are named, and those that run elsewhere.

        Who is in a container can make cgroups below its own, with any name. A container that runs outside
        of all others is not in there; `placed` are those of which their OCI runtime says that they are.
        """
        claimed = tuple(level for level in levels[1:] if level.id in self._tops and level.path not in placed)
        return tuple(level for level in levels if level not in claimed), claimed

    def _note_top(self, cgroup: bytes) -> None:
        """Note which container a path is in first. A user's own slice says nothing of others."""
        levels = levels_of_cgroup(cgroup)
        self._inner.update(level.id for level in levels[1:])
        if not levels or levels[0].id in self._tops or _user(cgroup) is not None:
            return
        self._tops.add(levels[0].id)
        if levels[0].id in self._inner:  # it was believed to be in another one
            self._answer_again({levels[0].id}, set())

    def _home_of(self, uid: int) -> Home | None:
        try:
            return self._daemons.home(uid)
        except StateError:
            return None

    def _facts(self, key: Key) -> tuple[ContainerFacts | None, str | None]:
        """Return what is known of a container: a user's own state goes before root's in the user's slice."""
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
        """Return what root's state says of a container, or why there is nothing."""
        container_id, runtime, uid = key
        if runtime in ("lxc", "nspawn"):
            return ContainerFacts(source="", name=container_id, note=f"{runtime} keeps no image name"), None
        if runtime not in self._readers or not _can_be_looked_for(container_id):
            return None, f"{runtime} keeps no names on this host that can be read"
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
    found: set[bytes] = set()
    for path in paths:
        while path and path not in found:
            found.add(path)
            path = path.rpartition(b"/")[0]  # noqa: PLW2901
    return found


def _user(cgroup: bytes) -> int | None:
    user = _USER_SLICE.match(cgroup)
    return int(user.group(1)) if user else None


def _names_its_container(cgroup: bytes, context: ContainerContext) -> bool:
    """True for `/docker/ID`, which can be nobody else's cgroup; not for `/web` or for `/docker/ID/web`."""
    return context.id is not None and context.id.encode() in cgroup[cgroup.rfind(b"/") :]
