"""A runtime's facts about one container, including the labels of Kubernetes and nerdctl."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from core.text.safe import safe_text
from core.text.secrets import scrub_value

NAME_LIMIT = 256
"""Limit of a kept name, image or pod in characters; Kubernetes names and image references are shorter."""

_LABELS = 64
_LABEL_NAME = 128
_LABEL_VALUE = 256
_SCRUBBED = 16_384
"""Bytes of a value that are scanned for secrets: more than is shown, because a secret may cross the cut."""

_LABELS_TOTAL = 8192
"""Limit of one container's labels together, in characters: thousands of containers are kept."""

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
    """One container's facts from its runtime. Texts are safe to show; None for facts that the state lacks.

    `source` is the host's path of the file they came from. `runtime` is the runtime that wrote that file,
    "" when the file does not name it. `note` says what is not known and why; `incomplete`: reading again
    later may help. `is_users`: a user's child process read it (user_states.py) and checks it for changes.
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
    """Return the facts in labels or OCI annotations. A name in a label takes precedence over `name`.

    (The runtime's own name of a pod's container combines the label's name with the pod's.)
    """
    labels = labels or {}
    kept, left_out = shown_labels(labels)
    container = _first(labels, _NAME) or name
    if _first(labels, _TYPE) in ("sandbox", "podsandbox"):
        container = "POD"  # the kubelet's name of the container with the pod's namespaces
    return ContainerFacts(
        source=source,
        runtime=runtime,
        name=shown(container),
        image=shown(_first(labels, _IMAGE) or image),
        pod=shown(_first(labels, _POD)),
        namespace=shown(_first(labels, _NAMESPACE)),
        pod_uid=shown(_first(labels, _POD_UID)),
        note=left_out,
        labels=kept,
    )


def shown_labels(labels: Mapping[str, str]) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return labels that are safe to keep and show, sorted by name, and a note about omitted ones.

    The first labels are kept: callers with two kinds of labels pass the more useful kind first.
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
    """Return notes as one text, None when there are none."""
    return "; ".join(note for note in notes if note) or None


def _first(labels: Mapping[str, str], keys: tuple[str, ...]) -> str | None:
    return next((labels[key] for key in keys if labels.get(key)), None)
