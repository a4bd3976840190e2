"""Reads containerd's state: the bundle of a container, and the database with its labels and ctr's image.

The bundle is STATE/io.containerd.runtime.v2.task/NAMESPACE/ID/config.json, the database
ROOT/io.containerd.metadata.v1.bolt/meta.db.
"""

from __future__ import annotations

import msgspec

from core.containers.bundle import facts_of_bundle
from core.containers.daemons import Daemons, Home
from core.containers.facts import ContainerFacts, facts_from_labels, joined, shown, shown_labels
from core.containers.state_files import StateFiles
from core.containers.work import StateError

_STATES = ("/run/containerd", "/run/k3s/containerd", "/var/snap/microk8s/common/run/containerd")
_TASKS = ("io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux")
_ROOTS = (
    "/var/lib/containerd",
    "/var/lib/rancher/k3s/agent/containerd",
    "/var/snap/microk8s/common/var/lib/containerd",
)


class ContainerdState:
    """Reads the state of containerd, alone or under Kubernetes; k3s and MicroK8s keep it elsewhere."""

    def __init__(self, files: StateFiles, daemons: Daemons) -> None:
        self._files = files
        self._daemons = daemons

    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None:
        """Return the facts of a container's bundle, None when there is none. Raises StateError."""
        for state in _STATES:
            for tasks in _TASKS:
                for namespace, _ in self._files.folders(f"{state}/{tasks}"):
                    bundle = f"{state}/{tasks}/{namespace}/{container_id}"
                    facts = facts_of_bundle(self._files, bundle, container_id)
                    if facts:
                        return self.completed(facts, namespace, container_id)
        return None

    def completed(self, facts: ContainerFacts, namespace: str, container_id: str) -> ContainerFacts:
        """Return the facts of a bundle with those that only the database has: labels, and ctr's image."""
        bucket = (b"v1", namespace.encode(), b"containers", container_id.encode())
        roots = dict.fromkeys((*_ROOTS, *self._daemons.containerd_roots()))
        for root in roots:
            database = f"{root}/io.containerd.metadata.v1.bolt/meta.db"
            try:
                record = self._files.read_bolt(database, bucket)
                if record is None:
                    continue
                labels = self._files.read_bolt(database, (*bucket, b"labels")) or {}
            except StateError as error:
                note = f"its labels are not known: {error}" if facts.image else str(error)
                return msgspec.structs.replace(facts, note=joined(facts.note, note), incomplete=True)
            return _merged(facts, record.get(b"image", b""), labels, database)
        return facts


def _merged(facts: ContainerFacts, image: bytes, labels: dict[bytes, bytes], database: str) -> ContainerFacts:
    texts = {_text(key): _text(value) for key, value in labels.items()}
    stored = facts_from_labels(texts, database, facts.runtime, facts.name)
    known_image = facts.image or stored.image or shown(_text(image))
    kept, left_out = shown_labels(texts | {name: text for name, text in facts.labels if name not in texts})
    return msgspec.structs.replace(
        facts,
        name=stored.name,
        image=known_image,
        pod=facts.pod or stored.pod,
        namespace=facts.namespace or stored.namespace,
        pod_uid=facts.pod_uid or stored.pod_uid,
        note=joined(None if known_image else f"created without an image, according to {database}", left_out),
        labels=kept,
    )


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
