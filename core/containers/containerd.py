"""containerd's bundle of a container: STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json."""

from __future__ import annotations

from core.containers.bundle import facts_of_bundle
from core.containers.daemons import Home
from core.containers.facts import Facts
from core.containers.state_files import StateFiles

_STATES = ("/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd")
_TASKS = ("io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux")


class ContainerdState:
    """containerd, by itself or under Kubernetes (k3s and MicroK8s keep it elsewhere)."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files

    def facts(self, container_id: str, home: Home | None) -> Facts | None:
        """Return what the bundle says, None when there is none. Raises StateError."""
        for state in _STATES:
            for tasks in _TASKS:
                for namespace, _ in self._files.folders(f"{state}/{tasks}"):
                    bundle = f"{state}/{tasks}/{namespace}/{container_id}"
                    facts = facts_of_bundle(self._files, bundle, container_id)
                    if facts:
                        return facts
        return None
