"""Reads podman's database: the pod of a container and its labels.

podman before 4.8 has a bolt database, which later versions keep using if it exists; else they use SQLite.
"""

from __future__ import annotations

import msgspec

from core.containers.state_files import StateFiles
from core.containers.work import StateError

_SQLITE = ("db.sql", "libpod/db.sql")
_TABLES = ("ContainerConfig", "PodConfig")
_QUERY = """
    SELECT ContainerConfig.JSON, ContainerConfig.PodID, PodConfig.Name
    FROM ContainerConfig LEFT JOIN PodConfig ON PodConfig.ID = ContainerConfig.PodID
    WHERE ContainerConfig.ID = ? LIMIT 1
"""


class PodMember(msgspec.Struct, frozen=True):
    """The database's facts about a container; None for unknown facts. The texts are not safe to show yet."""

    pod_id: str | None = None
    pod: str | None = None
    labels: dict[str, str] = {}


class _Config(msgspec.Struct):
    labels: dict[str, str] | None = None


def podman_member(files: StateFiles, root: str, container_id: str, owner: int | None) -> PodMember:
    """Return the facts about a container in podman's database of a storage directory. Raises StateError."""
    return (
        _in_bolt(files, f"{root}/libpod/bolt_state.db", container_id, owner)
        or _in_sqlite(files, root, container_id, owner)
        or PodMember()
    )


def _in_bolt(files: StateFiles, database: str, container_id: str, owner: int | None) -> PodMember | None:
    container = files.read_bolt(database, (b"ctr", container_id.encode()), owner)
    if container is None:
        return None
    pod_id = container.get(b"pod-id")
    name = None
    if pod_id:
        names = files.read_bolt(database, (b"id-registry",), owner) or {}
        name = names.get(pod_id)
    return _member(pod_id, name, container.get(b"config"), database)


def _in_sqlite(files: StateFiles, root: str, container_id: str, owner: int | None) -> PodMember | None:
    for name in _SQLITE:
        database = f"{root}/{name}"
        rows = files.read_sqlite(database, _TABLES, _QUERY, (container_id,), owner)
        if rows:
            config, pod_id, pod = (value if isinstance(value, bytes) else None for value in rows[0])
            return _member(pod_id, pod, config, database)
    return None


def _member(pod_id: bytes | None, pod: bytes | None, config: bytes | None, database: str) -> PodMember:
    try:
        labels = msgspec.json.decode(config or b"{}", type=_Config).labels
    except (ValueError, RecursionError):
        raise StateError(database, "the labels of the container are not understood") from None
    if not pod_id:
        return PodMember(labels=labels or {})
    return PodMember(_text(pod_id), _text(pod or pod_id), labels or {})


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
