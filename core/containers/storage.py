"""Reads the containers of podman and CRI-O from STORAGE/DRIVER-containers/containers.json."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

import msgspec

from core.containers.bundle import facts_of_bundle
from core.containers.daemons import Home
from core.containers.facts import NAME_LIMIT, ContainerFacts, joined, shown, shown_labels
from core.containers.podman import PodMember, podman_member
from core.containers.state_files import Stamp, StateFiles
from core.containers.work import StateError

_DEFAULT_ROOT = "/var/lib/containers/storage"
_DRIVERS = ("overlay", "vfs", "btrfs", "zfs")
_RECORDS = 16_384
_METADATA = 64 << 10
_FILES_KEPT = 8
"""Limits: containers in one file, characters of metadata of each, and files that are kept."""

_TRANSIENT_ROOT = "/run/containers/storage"  # with transient_store, and on read-only hosts


class _Record(msgspec.Struct):
    id: str
    names: list[str] | None = None
    metadata: str = ""


class _Metadata(msgspec.Struct):
    image_name: str = msgspec.field(default="", name="image-name")
    name: str = ""


class StorageState:
    """Reads the state of podman, rootful and rootless, and CRI-O: both use containers/storage."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files
        self._records: dict[str, tuple[Stamp, dict[str, _Record]]] = {}

    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None:
        """Return the storage's facts about a container, None when it has none. Raises StateError."""
        for root, owner in self._roots(home):
            for driver in _DRIVERS:
                facts = self.facts_below(f"{root}/{driver}-containers", container_id, owner)
                if facts:
                    return facts
        return None

    def facts_below(self, folder: str, container_id: str, owner: int | None = None) -> ContainerFacts | None:
        """Return the facts of one container in a `DRIVER-containers` directory."""
        source = f"{folder}/containers.json"
        record = self._index(source, owner).get(container_id)
        if record is None:
            return None
        metadata = self._metadata(record, source)
        bundle = facts_of_bundle(self._files, f"{folder}/{container_id}/userdata", container_id, owner)
        facts = bundle or ContainerFacts(source=source)
        member, problem = PodMember(), None
        if facts.runtime != "cri-o":
            try:
                member = podman_member(self._files, posixpath.dirname(folder), container_id, owner)
            except StateError as error:
                problem = f"its pod and labels are not known: {error}"
        others = {name: text for name, text in facts.labels if name not in member.labels}
        labels, left_out = shown_labels(member.labels | others)
        return msgspec.structs.replace(
            facts,
            source=source,
            name=facts.name or shown(metadata.name or next(iter(record.names or ()), None)),
            image=facts.image or shown(metadata.image_name),
            pod=facts.pod or shown(member.pod),
            pod_uid=facts.pod_uid or shown(member.pod_id),
            note=joined(problem, left_out),
            incomplete=problem is not None,
            labels=labels,
        )

    def _index(self, source: str, owner: int | None) -> dict[str, _Record]:
        """Return the records of one containers.json by id; it is read again only after a change."""
        stamp = self._files.stamp(source)
        if stamp is None:
            self._records.pop(source, None)
            # The file may exist although its stat failed: reading it raises the reason.
            self._files.read(source, owner)
            return {}
        cached = self._records.get(source)
        if cached is None or cached[0] != stamp:
            self._records.pop(source, None)
            records = self._files.read_json(source, list[_Record], owner) or []
            if len(records) > _RECORDS:
                raise StateError(source, f"holds more than the {_RECORDS} containers that are read")
            cached = self._records[source] = (stamp, {record.id: _kept(record) for record in records})
            if len(self._records) > _FILES_KEPT:
                del self._records[next(iter(self._records))]
        return cached[1]

    @staticmethod
    def _metadata(record: _Record, source: str) -> _Metadata:
        try:
            return msgspec.json.decode(record.metadata or "{}", type=_Metadata)
        except (ValueError, RecursionError):
            raise StateError(source, "the metadata of the container is not understood") from None

    def _roots(self, home: Home | None) -> Iterator[tuple[str, int | None]]:
        """Yield the storage directories of a user with their owner; root's without `home`."""
        if home:
            yield f"{home.path}/.local/share/containers/storage", home.uid
            return
        yield _DEFAULT_ROOT, None
        yield _TRANSIENT_ROOT, None
        config = self._files.read_toml("/etc/containers/storage.conf").get("storage")
        configured = config.get("graphroot") if isinstance(config, dict) else None
        if isinstance(configured, str) and configured.startswith("/") and configured != _DEFAULT_ROOT:
            yield configured, None


def _kept(record: _Record) -> _Record:
    """Return the used part of a record: names and metadata may be as long as the file."""
    name = next(iter(record.names or ()), "")[:NAME_LIMIT]
    return _Record(record.id, [name] if name else None, record.metadata[:_METADATA])
