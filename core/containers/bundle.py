"""Reads the OCI bundle of a container: its config.json and the labels of the runtime that made it."""

from __future__ import annotations

import msgspec

from core.containers.facts import ContainerFacts, facts_from_labels, joined
from core.containers.state_files import StateFiles
from core.containers.work import StateError

_CRIO_LABELS = "io.kubernetes.cri-o.Labels"


class _Spec(msgspec.Struct):
    annotations: dict[str, str] | None = None


def facts_of_bundle(
    files: StateFiles, bundle: str, container_id: str, owner: int | None = None
) -> ContainerFacts | None:
    """Return the facts of BUNDLE/config.json, None when there is none. Raises StateError.

    The name comes from an annotation, else it is the id if that is a word (`ctr run … web`), not 64 digits.
    """
    source = f"{bundle}/config.json"
    spec = files.read_json(source, _Spec, owner)
    if spec is None:
        return None
    annotations = spec.annotations or {}
    labels = _crio_labels(annotations, source)
    labels = labels | {
        name: value for name, value in annotations.items() if name not in (*labels, _CRIO_LABELS)
    }
    name = labels.get("io.kubernetes.cri-o.ContainerName") or (
        container_id if len(container_id) < 64 else None
    )
    facts = facts_from_labels(labels, source, _runtime(bundle, labels), name)
    if facts.image is None:
        return msgspec.structs.replace(facts, note=joined(f"no image name in {source}", facts.note))
    return facts


def _runtime(bundle: str, labels: dict[str, str]) -> str:
    """Return the runtime that made the bundle, "" when the bundle does not name one (runc by hand)."""
    manager = labels.get("io.container.manager", "")
    if manager in ("libpod", "cri-o"):
        return "podman" if manager == "libpod" else "cri-o"
    if "/io.containerd.runtime.v" in bundle:
        return "docker" if "/moby/" in bundle else "containerd"
    return ""


def _crio_labels(annotations: dict[str, str], source: str) -> dict[str, str]:
    """Return the kubelet's labels, which CRI-O keeps as JSON in one annotation."""
    text = annotations.get(_CRIO_LABELS)
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, str])
    except (ValueError, RecursionError):
        raise StateError(source, f"the annotation {_CRIO_LABELS} is not understood") from None
