"""What is said between this program and the child that reads the state of one user (user_child.py).

Each message is a length of four bytes and MessagePack. The child has the rights of the user, who may have
taken it over: what it answers counts no more than the user's files do, and is bounded and checked again.
"""

from __future__ import annotations

import struct

import msgspec

from core.containers.facts import ContainerFacts, shown, shown_labels
from core.containers.oci_folder import NAME, Placed
from core.text.safe import safe_text

LENGTH = struct.Struct("=I")
QUESTION_LIMIT = 128 << 10
REPLY_LIMIT = 2 << 20
"""Bytes of one message."""

RUNTIME_FOLDERS = ("runc", "crun")
CLAIMS = 2 * 256
"""Containers of one user that are taken from the child; it looks at as many."""

_RUNTIMES = ("docker", "podman", "cri-o", "containerd")
_PATHS = 16
_PATH = 4096
_NOTE = 1024


class Settings(msgspec.Struct, frozen=True):
    """Which user the child reads for. `root` and `note` are descriptors: the host's root folder (-1: this
    host's own) and a page of memory in which the child keeps the path of the file that it reads."""

    uid: int
    gid: int
    home: str
    root: int
    note: int


class Question(msgspec.Struct):
    """What the child is to do next. `avoid` are files that are not to be read, and why."""

    new: list[tuple[str, str]] = []
    """Containers, by id and runtime, that are asked about from now on."""

    forget: list[tuple[str, str]] = []
    avoid: dict[str, str] = {}


class Told(msgspec.Struct):
    """The answer for one container; told once, and when it changes."""

    id: str
    runtime: str
    facts: ContainerFacts | None
    reason: str | None


class Claim(msgspec.Struct):
    """A container of runc or crun (`folder`) by its name, and the cgroups that it says it has."""

    folder: str
    name: str
    bundle: str
    paths: list[bytes]


class Reply(msgspec.Struct):
    """What has changed since the last reply, or a part of it: ask again. `claims` None: nothing."""

    told: list[Told] = []
    claims: list[Claim] | None = None
    exceeded: str | None = None
    """The file that was too much for the budget of work, and why."""


def framed(message: Question | Reply) -> bytes:
    """Return a message as it is sent."""
    data = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(data)) + data


def checked_facts(facts: ContainerFacts | None) -> ContainerFacts | None:
    """Return facts as `facts_from_labels` would have made them: safe text, with all its limits."""
    if facts is None:
        return None
    labels, left_out = shown_labels(dict(facts.labels))
    return ContainerFacts(
        source=safe_text(facts.source, _NOTE),
        runtime=facts.runtime if facts.runtime in _RUNTIMES else "",
        name=shown(facts.name),
        image=shown(facts.image),
        pod=shown(facts.pod),
        namespace=shown(facts.namespace),
        pod_uid=shown(facts.pod_uid),
        note=checked_text(facts.note) or left_out,
        labels=labels,
        is_users=True,
    )


def checked_text(text: str | None) -> str | None:
    """Return a reason as safe text."""
    return safe_text(text, _NOTE) if text else None


def placed_of_claim(claim: Claim, uid: int) -> Placed | None:
    """Return the container of a claim; None for what runc and crun cannot have made."""
    if claim.folder not in RUNTIME_FOLDERS or not NAME.fullmatch(claim.name):
        return None
    paths = tuple(path for path in claim.paths[:_PATHS] if len(path) <= _PATH)
    place = f"/run/user/{uid}/{claim.folder}/{claim.name}"
    return Placed(f"{claim.name}@{uid}", "unknown", place, claim.bundle[:_PATH], uid, paths)


def claim_of(placed: Placed) -> Claim:
    """Return what the child says of a container it has found."""
    _, folder, name = placed.place.rsplit("/", 2)
    return Claim(folder, name, placed.bundle[:_PATH], list(placed.paths[:_PATHS]))
