"""The protocol between this program and the child that reads the state of one user (user_child.py).

Each message is a length of four bytes and MessagePack. The child has the rights of the user, who may have
taken control of it: its answers are trusted no more than the user's files, and are bounded and checked again.
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
"""Limit of one user's containers that are accepted from the child; the child reads no more either."""

_RUNTIMES = ("docker", "podman", "cri-o", "containerd")
_PATHS = 16
_PATH = 4096
_NOTE = 1024


class Settings(msgspec.Struct, frozen=True):
    """The user that the child reads for. `root` and `note` are descriptors: the host's root directory (-1:
    this host's own), and a page of shared memory with the path of the file that the child is reading."""

    uid: int
    gid: int
    home: str
    root: int
    note: int


class Question(msgspec.Struct):
    """The next task of the child. `avoid` are files that it must not read, and why."""

    new: list[tuple[str, str]] = []
    """Containers to answer for from now on, by id and runtime."""

    forget: list[tuple[str, str]] = []
    avoid: dict[str, str] = {}


class ContainerAnswer(msgspec.Struct):
    """The answer for one container; sent once, and again when it changes."""

    id: str
    runtime: str
    facts: ContainerFacts | None
    reason: str | None


class Claim(msgspec.Struct):
    """A container of runc or crun (`folder`) by name, and the cgroups that its state claims."""

    folder: str
    name: str
    bundle: str
    paths: list[bytes]


class Reply(msgspec.Struct):
    """The changes since the last reply, or a part of them: ask again. `claims` None: unchanged."""

    answers: list[ContainerAnswer] = []
    claims: list[Claim] | None = None
    exceeded: str | None = None
    """The file that exceeded the budget of work, and why."""


def framed(message: Question | Reply) -> bytes:
    """Return a message as it is sent."""
    data = msgspec.msgpack.encode(message)
    return LENGTH.pack(len(data)) + data


def checked_facts(facts: ContainerFacts | None) -> ContainerFacts | None:
    """Return facts with the guarantees of `facts_from_labels`: safe text within all limits."""
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
    """Return the container of a claim; None for a claim that runc and crun cannot have made."""
    if claim.folder not in RUNTIME_FOLDERS or not NAME.fullmatch(claim.name):
        return None
    paths = tuple(path for path in claim.paths[:_PATHS] if len(path) <= _PATH)
    place = f"/run/user/{uid}/{claim.folder}/{claim.name}"
    return Placed(f"{claim.name}@{uid}", "unknown", place, claim.bundle[:_PATH], uid, paths)


def claim_of(placed: Placed) -> Claim:
    """Return the claim that the child sends for a container."""
    _, folder, name = placed.place.rsplit("/", 2)
    return Claim(folder, name, placed.bundle[:_PATH], list(placed.paths[:_PATHS]))
