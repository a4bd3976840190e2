"""Finds the container of a cgroup path from the path alone, without reading any file.

Three shapes are ids anywhere in a path: 64 hex digits (docker, containerd, cri-o, podman),
32 hex digits, a dash and digits (ECS), and 8-4-4-4-4 hex digits (Garden). A shape with a hex digit right
before or after it is part of something longer (a UUID, a digest) and is ignored. LXC and systemd-nspawn have
no such ids: the container's name is used as its id. The last valid id of a path is the innermost container,
the ids before it are the containers around it.

The runtime is the marker nearest before the id. It is found separately, because the marker may be in a parent
directory of the id, or be missing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import NamedTuple

import msgspec

from core.model.entities import ContainerContext
from core.text.safe import safe_text

_PATH_MAX = 4096
"""Longest path of the kernel (include/uapi/linux/limits.h); longer text is parsed but not cached."""

_CACHED_PATHS = 16_384
_NAME_MAX = 255

LEVELS = 8
"""Limit of reported nested containers; a path of 4096 bytes could name sixty."""

_ID = re.compile(
    rb"(?<![0-9a-fA-F])"
    rb"(?:(?P<hex>[0-9a-fA-F]{64})|(?P<ecs>[0-9a-fA-F]{32}-[0-9]++)|(?P<garden>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){4}))"
    rb"(?![0-9a-fA-F])"
)
_RUNTIME_OF_SHAPE = {"hex": "unknown", "ecs": "ecs", "garden": "garden"}

_MARK = re.compile(rb"(docker|cri-containerd|nerdctl|crio|libpod)[-:]|(kubepods)")
"""In front of an id in one component: `docker-ID.scope` by the systemd driver, `slice:cri-containerd:ID`
when a systemd-style path meets the cgroupfs driver. kubepods alone means a kubelet that talks to
containerd: docker and cri-o leave their own mark (with cgroupfs docker does not; its state on disk then
corrects the runtime, see names.py)."""

_RUNTIME_OF_MARK = {
    b"docker": "docker",
    b"cri-containerd": "containerd",
    b"nerdctl": "containerd",
    b"kubepods": "containerd",
    b"crio": "cri-o",
    b"libpod": "podman",
}
_RUNTIME_OF_FOLDER = {b"docker": "docker", b"ecs": "ecs", b"libpod_parent": "podman"}

_POD_UID = re.compile(
    rb"(?:^|[/-])pod(?:([0-9a-f]{8})([-_])([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{12})|([0-9a-f]{32}))"
    rb"(?![0-9a-f])"
    rb"|(?:libpod_pod_|/libpod_parent/)([0-9a-f]{64})(?![0-9a-f])",
    re.IGNORECASE,
)
"""A UUID with dashes (cgroupfs driver) or underscores (systemd driver), or the 32 digits of a static pod;
podman's pods have an id of 64 digits."""

_NOT_A_CONTAINER = re.compile(
    rb"(?:crio|libpod)-conmon-|(?:machine-|user-)?libpod_pod_|lxc\.monitor(?:\.|$)|.*\.mount$", re.DOTALL
)
"""Components with an id that is not a container's: conmon and lxc.monitor watch a container from outside;
mount units have the id of the container they were made for; a podman pod has an id of its own."""

_LIBVIRT = re.compile(rb"(qemu|lxc)-[0-9]+-")
"""libvirt registers its machines with machined under these names; the qemu ones are no containers."""

_ESCAPED = re.compile(rb"\\x([0-9a-fA-F]{2})")


class Level(NamedTuple):
    """One container along a path; `path` ends at the container's own cgroup."""

    path: bytes
    id: str
    runtime: str


class _Match(NamedTuple):
    parts: int
    id: str
    runtime: str


def container_of_cgroup(path: bytes) -> ContainerContext:
    """Return the container (or systemd unit) that the cgroup `path` belongs to.

    `path` is the third field of a line of /proc/PID/cgroup, or the kernel's path of the cgroup; relative
    paths of cgroup namespaces (`/../docker/ID`) are accepted. Reads no file, never raises, takes linear time;
    answers are cached, with a limit. `id` is a name for lxc and nspawn. `name`, `image` and so on stay None:
    core.containers.names fills them in.
    """
    return _cached(path) if len(path) <= _PATH_MAX else _parse(path)


def levels_of_cgroup(path: bytes) -> tuple[Level, ...]:
    """Return the containers along a path, outermost first: at most eight, the outermost and the innermost.

    A process in the outermost container can invent the rest of the path, so that one is never left out.
    """
    return _cached_levels(path) if len(path) <= _PATH_MAX else _levels(path)


def _levels(path: bytes) -> tuple[Level, ...]:
    # The kernel appends this to the path of a removed cgroup; it is not part of the unit's name.
    parts = path.removesuffix(b" (deleted)").split(b"/")
    containers = _containers(parts)
    if len(containers) > LEVELS:
        containers = [containers[0], *containers[1 - LEVELS :]]
    return tuple(Level(b"/".join(parts[: match.parts]), match.id, match.runtime) for match in containers)


def context_of_levels(path: bytes, levels: Sequence[Level]) -> ContainerContext:
    """Return the container of `path`, given the containers along it, outermost first.

    Of a container that appears inside itself (its processes can create such a cgroup) only the outer counts.
    """
    kept: dict[str, Level] = {}
    for level in levels:
        kept.setdefault(level.id, level)
    context = None
    for level in kept.values():
        context = ContainerContext(
            id=level.id,
            runtime=level.runtime,
            pod_uid=_pod_uid(level.path),
            cgroup_path=level.path,
            outer=context,
        )
    if context is not None:
        return msgspec.structs.replace(context, cgroup_path=path)
    name = path.removesuffix(b" (deleted)")
    return ContainerContext(
        runtime="systemd" if name.endswith((b".service", b".scope")) else None,
        pod_uid=_pod_uid(path),
        cgroup_path=path,
    )


def _parse(path: bytes) -> ContainerContext:
    return context_of_levels(path, levels_of_cgroup(path))


_cached = lru_cache(maxsize=_CACHED_PATHS)(_parse)
_cached_levels = lru_cache(maxsize=_CACHED_PATHS)(_levels)


def _containers(parts: list[bytes]) -> list[_Match]:
    """Return the containers along a path, outermost first."""
    containers: list[_Match] = []
    runtime: str | None = None
    skip_next = False
    pairs = zip_longest(parts, parts[1:], fillvalue=b"")
    for number, (part, following) in enumerate(pairs, start=1):
        if skip_next:
            skip_next = False
            continue
        if _NOT_A_CONTAINER.match(part):
            skip_next = part == b"lxc.monitor"
            continue
        if named := _named_container(part, following):
            skip_next = part in (b"lxc", b"lxc.payload")
            containers.append(_Match(number + skip_next, *named))
            runtime = None  # containers below it were started by another runtime
            continue
        runtime = _runtime_of(part) or runtime
        # podman with cgroupfs: /libpod_parent/POD/libpod-ID, the pod's id bare.
        skip_next = part == b"libpod_parent" and not following.startswith(b"libpod-")
        for match in _ID.finditer(part):
            shape = match.lastgroup or "hex"
            name = match.group().decode("ascii")
            containers.append(_Match(number, name, runtime or _RUNTIME_OF_SHAPE[shape]))
    return containers


def _runtime_of(part: bytes) -> str | None:
    """Return the runtime that one component of a path names, the last one if it names several."""
    if part in _RUNTIME_OF_FOLDER:
        return _RUNTIME_OF_FOLDER[part]
    runtime = None
    for match in _MARK.finditer(part):
        runtime = _RUNTIME_OF_MARK[match.group(1) or match.group(2)]
    return runtime


def _named_container(part: bytes, following: bytes) -> tuple[str, str] | None:
    """Return id and runtime if a component names a container of lxc or systemd-nspawn, which have no ids."""
    if part in (b"lxc", b"lxc.payload"):  # before LXC 4, and with lxc.cgroup.dir
        return (_name(following), "lxc") if following else None
    if part.startswith(b"lxc.payload."):
        return _name(part[len(b"lxc.payload.") :]), "lxc"
    # On cgroup v2 nspawn itself runs in `supervisor`, beside the container's `payload`.
    return None if following == b"supervisor" else _machine(part)


def _machine(part: bytes) -> tuple[str, str] | None:
    """Return the container of a unit created by systemd-machined or nspawn's service."""
    if part.startswith(b"systemd-nspawn@") and part.endswith(b".service"):
        return _name(part[len(b"systemd-nspawn@") : -len(b".service")]), "nspawn"
    if not (part.startswith(b"machine-") and part.endswith(b".scope")):
        return None
    name = _unescape(part[len(b"machine-") : -len(b".scope")])
    libvirt = _LIBVIRT.match(name)
    if libvirt and libvirt.group(1) == b"qemu":
        return None
    return _name(name), "lxc" if libvirt else "nspawn"


def _name(name: bytes) -> str:
    return safe_text(name, _NAME_MAX)


def _unescape(name: bytes) -> bytes:
    r"""Undo systemd's `\x2d` in unit names."""
    return _ESCAPED.sub(lambda match: bytes([int(match.group(1), 16)]), name)


def _pod_uid(path: bytes) -> str | None:
    uid = None
    for match in _POD_UID.finditer(path):
        groups = match.groups()
        uid = groups[7] or groups[6] or b"-".join((groups[0], *groups[2:6]))
    return uid.decode("ascii").lower() if uid else None
