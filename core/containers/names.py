"""The words people use for a container: its name, image and pod, from the runtime's own state on disk."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Protocol

import msgspec

from core.containers.container_id import container_of_cgroup, context_of_levels, levels_of_cgroup
from core.containers.containerd import ContainerdState
from core.containers.daemons import Daemons, Home
from core.containers.docker import DockerState
from core.containers.facts import Facts
from core.containers.freezer import FrozenCgroups
from core.containers.oci_runtimes import OciRuntimes
from core.containers.sockets import RuntimeSockets
from core.containers.state_files import Stamp, StateError, StateFiles, is_file_name
from core.containers.storage import StorageState
from core.host import Host
from core.model import ContainerContext
from core.text import safe_text

_CONTAINERS_KEPT = 8192
_PATHS_KEPT = 16_384
_CROWD = 1_024
"""So many paths at least before those that nobody uses are looked for."""

_FIRST_RETRY_S = 0.25
_LAST_RETRY_S = 60.0
_YOUNG_S = 3.0
"""runc puts its process into the cgroup some 50 ms before it writes whose that is, a busy host later."""

_LOOK_S = 0.001
"""A look at the folders of runc takes 40 us: at most 4 % of a core, while events come from a new cgroup."""

_USER_SLICE = re.compile(rb"/user\.slice/user-([0-9]{1,9})\.slice/")
"""Where systemd puts what a user runs; the same further down is in a container, with users of its own."""


class _RuntimeState(Protocol):
    def facts(self, container_id: str, home: Home | None) -> Facts | None: ...


_Key = tuple[str, str, int | None]
"""Id and runtime as the path tells them (an lxc container and one of runc may share a name), and the user in
whose slice it runs: he can make a cgroup there with anybody's id, and write down a name for it."""


class _Answer(msgspec.Struct):
    """What is known of one container, and when to look again."""

    facts: Facts | None
    reason: str | None
    stamp: Stamp | None
    home: Home | None
    retry_s: float
    due: float
    """When the state is looked for again while there is none (before it is written, after it is removed)."""


class ContainerNames:
    """Containers of one host with names. Never raises, keeps a bounded number of answers.

    Asks no daemon, unless `ask_runtimes` allows it for what no file tells (see sockets.py).

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
        self._sockets = RuntimeSockets(files, self._daemons) if ask_runtimes else None
        docker: _RuntimeState = DockerState(files, self._daemons)
        self._readers: dict[str, tuple[_RuntimeState, ...]] = {
            "docker": (docker, self._oci),
            "containerd": (containerd, docker, self._oci),  # docker, too, runs pods without a mark of its own
            "cri-o": (storage, self._oci),
            "podman": (storage, self._oci),
            "ecs": (docker, containerd),
            "unknown": (docker, containerd, storage, self._oci),
        }
        self._answers: OrderedDict[_Key, _Answer] = OrderedDict()
        self._contexts: OrderedDict[bytes, ContainerContext] = OrderedDict()
        self._young: dict[bytes, float] = {}
        self._next_look = 0.0
        self._frozen = FrozenCgroups(host)
        self._news: set[bytes] = set()
        self._crowd = _CROWD
        self._oci.refresh()

    @property
    def problems(self) -> tuple[str, ...]:
        """State folders that cannot be read: their containers without an id look like host processes."""
        return tuple(self._oci.problems.values())

    def container_of(self, cgroup: bytes) -> ContainerContext:
        """Return the container of a cgroup path with its names, from the cache if it was asked before.

        Knows more than `container_of_cgroup`: the containers of `runc run NAME` and `ctr run`, whose
        paths hold no id. Before the runtime has written its state such a path is no container; a path
        that is new is looked for again each time it is asked about, and `refresh` tells of all changes.
        """
        if cgroup not in self._contexts:
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
        key = (context.id, context.runtime or "unknown", _user(context.cgroup_path))
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(key, self._home(key[2]), _FIRST_RETRY_S)
            if len(self._answers) > _CONTAINERS_KEPT:
                self._answers.popitem(last=False)
        facts = answer.facts
        outer = self.lookup(context.outer) if context.outer else None
        paused = self._frozen.is_frozen(context.cgroup_path if place is None else place)
        if facts is None:
            return msgspec.structs.replace(context, reason=answer.reason, outer=outer, paused=paused)
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

        One stat for each container with a name; one without is asked for again after 0.25 s, 0.5 s and
        so on up to a minute, because a process may start before its runtime has written everything.
        """
        now = time.monotonic()
        self._young = {path: until for path, until in self._young.items() if until > now}
        changed = self._refresh_runtimes()
        for key, answer in list(self._answers.items()):
            waits = answer.stamp is None or (answer.facts is not None and answer.facts.incomplete)
            if waits and now >= answer.due:
                pass
            elif answer.stamp is None or self._stamp(answer.facts) == answer.stamp:
                continue
            fresh = self._ask(key, answer.home, min(answer.retry_s * 2, _LAST_RETRY_S))
            if answer.facts is not None and fresh.facts is None:
                # The container was removed; its last processes keep the name they had.
                fresh.facts, fresh.reason = answer.facts, answer.reason
            self._answers[key] = fresh
            changed |= (fresh.facts, fresh.reason) != (answer.facts, answer.reason)
        changed |= bool(self._frozen.refresh())
        if changed:
            self._news |= self._ask_paths_again()
        news, self._news = self._news, set()
        return news

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
        ids = {level.id for context in self._contexts.values() for level in context.levels()}
        for key in [key for key in self._answers if key[0] not in ids]:
            del self._answers[key]
        self._frozen.forget_all_but(_with_those_above(self._contexts))
        self._crowd = max(_CROWD, 2 * len(self._contexts))

    def _look_for_new(self) -> None:
        """See whether runc or crun have made a container since the last look."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + _LOOK_S
            if self._refresh_runtimes(rootless=False):
                self._news |= self._ask_paths_again()

    def _refresh_runtimes(self, *, rootless: bool = True) -> bool:
        """Read runc's and crun's state where it changed; return whether it did."""
        changed = self._oci.refresh(rootless=rootless)
        if changed:
            # A name may be used again, by a container from another bundle.
            for key in [key for key in self._answers if key[0] in changed]:
                del self._answers[key]
        return bool(changed)

    def _ask_paths_again(self) -> set[bytes]:
        """Answer every known path anew; return those whose answer is another one."""
        changed = set()
        for path, before in self._contexts.items():
            context = self._context(path)
            if context != before:
                self._contexts[path] = context
                changed.add(path)
        return changed

    def _context(self, cgroup: bytes) -> ContainerContext:
        """Return the containers of a path by their ids or by the state of runc and crun, the inner one."""
        # Not without " (deleted)": that is a zombie of an earlier container, perhaps of the same name.
        placed = self._oci.levels(cgroup)
        levels = levels_of_cgroup(cgroup)
        if placed:
            levels = tuple(sorted((*levels, *placed), key=lambda level: len(level.path)))
        context = context_of_levels(cgroup, levels) if placed else container_of_cgroup(cgroup)
        return self.lookup(context, levels[-1].path if levels else None)

    def _home(self, uid: int | None) -> Home | None:
        try:
            return None if uid is None else self._daemons.home(uid)
        except StateError:
            return None

    def _ask(self, key: _Key, home: Home | None, retry_s: float) -> _Answer:
        container_id, runtime, _ = key
        facts, reason = None, None
        if runtime in ("lxc", "nspawn"):
            facts = Facts(source="", name=container_id, note=f"{runtime} keeps no image name")
        elif runtime not in self._readers or not all(map(is_file_name, container_id.split("/"))):
            reason = f"{runtime} keeps no names on this host that can be read"
        else:
            facts, reason = self._search(container_id, runtime, home)
        return _Answer(
            facts=facts,
            reason=reason,
            stamp=self._stamp(facts),
            home=home,
            retry_s=retry_s,
            due=time.monotonic() + retry_s,
        )

    def _stamp(self, facts: Facts | None) -> Stamp | None:
        return self._files.stamp(facts.source) if facts and facts.source else None

    def _search(self, container_id: str, runtime: str, home: Home | None) -> tuple[Facts | None, str | None]:
        readers = self._readers[runtime]
        if len(container_id) < 64 and runtime in ("unknown", "containerd"):
            readers = (self._oci, *readers)  # `runc run web`, `ctr run … web`: found by their state
        problems = []
        for reader in readers:
            try:
                facts = reader.facts(container_id, home)
            except StateError as error:
                problems.append(str(error))
                continue
            if facts is not None:
                return facts, None
        reason = problems[0] if problems else f"no state of this {runtime} container was found on disk"
        if self._sockets is None:
            return None, reason
        facts, problem = self._sockets.facts(container_id)
        return facts, None if facts else f"{reason}; {problem}"


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
