"""What a runtime's state says about one container, and the labels that Kubernetes and nerdctl leave there."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from core.text.safe import safe_text
from core.text.secrets import scrub_value

NAME_LIMIT = 256
"""Longest name, image or pod that is kept, in characters; Kubernetes and image references stay below."""

_LABELS = 64
_LABEL_NAME = 128
_LABEL_VALUE = 256
_SCRUBBED = 16_384
"""Bytes of a value in which secrets are looked for: more than are shown, as a secret may begin in these."""

_LABELS_TOTAL = 8192
"""Characters that the labels of one container may have in all: thousands of containers are kept."""

_NAME = ("io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name")
_IMAGE = (
    "io.kubernetes.cri.image-name",
    "io.kubernetes.cri-o.UserRequestedImage",
    "io.kubernetes.cri-o.ImageName",
)
_POD = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name", "io.kubernetes.cri-o.KubeName")
_NAMESPACE = (
    "io.kubernetes.cri.sandbox-namespace",
    "io.kubernetes.pod.namespace",
    "io.kubernetes.cri-o.Namespace",
)
_POD_UID = ("io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid")
_TYPE = ("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType", "io.kubernetes.docker.type")


class ContainerFacts(msgspec.Struct, frozen=True):
    """One container as its runtime knows it. Text is safe; None is what the state does not say.

    `source` is the file it came from, as the host names it. `runtime` is who wrote that file, "" where
    the file does not tell. `note` says what cannot be known; `incomplete`: for now, it is worth another look.
    `is_users`: a user's child has read it (user_states.py), and looks whether it changes.
    """

    source: str
    runtime: str = ""
    name: str | None = None
    image: str | None = None
    pod: str | None = None
    namespace: str | None = None
    pod_uid: str | None = None
    note: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    incomplete: bool = False
    is_users: bool = False


def shown(value: str | None) -> str | None:
    """Return a value from a state file as safe text, None for an empty one."""
    return safe_text(value.encode("utf-8", "surrogatepass"), NAME_LIMIT) if value else None


def facts_from_labels(
    labels: Mapping[str, str] | None,
    source: str,
    runtime: str,
    name: str | None = None,
    image: str | None = None,
) -> ContainerFacts:
    """Return the facts that labels or OCI annotations hold; a label's name goes before `name`.

    (The runtime's own name of a pod's container is made of the label's and of much that repeats the pod.)
    """
    found = labels or {}
    kept, left_out = shown_labels(found)
    container = _first(found, _NAME) or name
    if _first(found, _TYPE) in ("sandbox", "podsandbox"):
        container = "POD"  # what the kubelet calls the container that holds a pod's namespaces
    return ContainerFacts(
        source=source,
        runtime=runtime,
        name=shown(container),
        image=shown(_first(found, _IMAGE) or image),
        pod=shown(_first(found, _POD)),
        namespace=shown(_first(found, _NAMESPACE)),
        pod_uid=shown(_first(found, _POD_UID)),
        note=left_out,
        labels=kept,
    )


def shown_labels(labels: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return labels as they may be kept and shown, by name, and what has to be said of those left out.

    The first ones are kept: who gives two kinds of them gives the more telling ones first.
    """
    kept: dict[str, str] = {}
    left = _LABELS_TOTAL
    for name, value in labels.items():
        if len(kept) == _LABELS or left < 0:
            break
        raw_name, raw_value = (text.encode("utf-8", "surrogatepass") for text in (name, value))
        text = safe_text(scrub_value(raw_name, raw_value[:_SCRUBBED]), _LABEL_VALUE)
        kept[shown_name := safe_text(raw_name, _LABEL_NAME)] = text
        left -= len(shown_name) + len(text)
    number = len(labels) - len(kept)
    return tuple(sorted(kept.items())), f"{number} of {len(labels)} labels are left out" if number else None


def joined(*notes: str | None) -> str | None:
    """Return what there is to be said as one text, None when there is nothing."""
    return "; ".join(note for note in notes if note) or None


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((labels[key] for key in keys if labels.get(key)), None)
