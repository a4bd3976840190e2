"""Docker's own record of a container: DATA-ROOT/containers/ID/config.v2.json."""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from core.containers.daemons import Daemons, Home
from core.containers.facts import ContainerFacts, facts_from_labels
from core.containers.state_files import StateFiles

_DEFAULT_ROOTS = ("/var/lib/docker", "/var/snap/docker/common/var-lib-docker")
_REMAPPED = re.compile(r"[0-9]+\.[0-9]+")
"""With userns-remap the daemon keeps everything in a directory named after the mapped uid and gid."""


class _Inner(msgspec.Struct):
    Image: str = ""
    Labels: dict[str, str] | None = None


class _Config(msgspec.Struct):
    Name: str = ""
    Image: str = ""
    Config: _Inner | None = None


class DockerState:
    """Reads the state of Docker, rootful and rootless, and of Kubernetes on Docker."""

    def __init__(self, files: StateFiles, daemons: Daemons) -> None:
        self._files = files
        self._daemons = daemons

    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None:
        """Return Docker's facts about a container, None when it has no such container. Raises StateError."""
        for root, owner in self._roots(home):
            source = f"{root}/containers/{container_id}/config.v2.json"
            config = self._files.read_json(source, _Config, owner)
            if config is not None:
                inner = config.Config or _Inner()
                name = config.Name.removeprefix("/")
                return facts_from_labels(inner.Labels, source, "docker", name, inner.Image or config.Image)
        return None

    def _roots(self, home: Home | None) -> Iterator[tuple[str, int | None]]:
        """Yield the data-root of a user, else root's: the usual ones first, those of a scan last."""
        if home:
            yield f"{home.path}/.local/share/docker", home.uid
            return
        for root in (*_DEFAULT_ROOTS, *self._daemons.docker_roots(search=False)):
            yield root, None
        for root in (*_DEFAULT_ROOTS, *self._daemons.docker_roots(search=True)):
            yield root, None
            for name, _ in self._files.folders(root):
                if _REMAPPED.fullmatch(name):
                    yield f"{root}/{name}", None
