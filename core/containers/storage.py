"""podman's and CRI-O's record of their containers: STORAGE/DRIVER-containers/containers.json."""

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
"""Containers of one file, characters of what each says about itself, and files of which they are kept."""

_TRANSIENT_ROOT = "/run/containers/storage"  # with transient_store, and on read-only hosts


class _Record(msgspec.Struct):
    id: str
    names: list[str] | None = None
    metadata: str = ""


class _Metadata(msgspec.Struct):
    image_name: str = msgspec.field(default="", name="image-name")
    name: str = ""


class StorageState:
    """podman, rootful and rootless, and CRI-O: both use containers/storage."""

    def __init__(self, files: StateFiles) -> None:
        self._files = files
        self._records: dict[str, tuple[Stamp, dict[str, _Record]]] = {}

    def facts(self, container_id: str, home: Home | None) -> ContainerFacts | None:
        """Return what the storage knows of a container, None when it knows none. Raises StateError."""
        for root, owner in self._roots(home):
            for driver in _DRIVERS:
                found = self.facts_below(f"{root}/{driver}-containers", container_id, owner)
                if found:
                    return found
        return None

    def facts_below(self, folder: str, container_id: str, owner: int | None = None) -> ContainerFacts | None:
        """Return the facts of one container of one `DRIVER-containers` folder."""
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
        """Return the records of one containers.json by id, read again only when it changed."""
        stamp = self._files.stamp(source)
        if stamp is None:
            self._records.pop(source, None)
            # What cannot be looked at may still be there: let the read say so.
            self._files.read(source, owner)
            return {}
        known = self._records.get(source)
        if known is None or known[0] != stamp:
            self._records.pop(source, None)
            records = self._files.read_json(source, list[_Record], owner) or []
            if len(records) > _RECORDS:
                raise StateError(source, f"holds more than the {_RECORDS} containers that are read")
            known = self._records[source] = (stamp, {record.id: _kept(record) for record in records})
            if len(self._records) > _FILES_KEPT:
                del self._records[next(iter(self._records))]
        return known[1]

    @staticmethod
    def _metadata(record: _Record, source: str) -> _Metadata:
        try:
            return msgspec.json.decode(record.metadata or "{}", type=_Metadata)
        except (ValueError, RecursionError):
            raise StateError(source, "the metadata of the container is not understood") from None

    def _roots(self, home: Home | None) -> Iterator[tuple[str, int | None]]:
        """Yield the storage folders of a user, without one those of root."""
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
    """Return what is used of a record: names and metadata may be as long as the file."""
    name = next(iter(record.names or ()), "")[:NAME_LIMIT]
    return _Record(record.id, [name] if name else None, record.metadata[:_METADATA])
