"""Reads the state of one user's rootless runtimes. Runs in the child, with the rights of that user."""

from __future__ import annotations

from typing import Protocol

import msgspec

from core.containers.answers import Answers, Key
from core.containers.bundle import facts_of_bundle
from core.containers.daemons import Daemons, Home
from core.containers.docker import DockerState
from core.containers.facts import ContainerFacts
from core.containers.oci_folder import (
    Placed,
    StateFolder,
    bundle_of,
    facts_in_bundle,
    read_state,
)
from core.containers.state_files import StateFiles, is_file_name
from core.containers.storage import StorageState
from core.containers.user_protocol import RUNTIME_FOLDERS, ContainerAnswer, Question, Reply, claim_of
from core.containers.work import StateError, Work
from core.system.host import Host

WORK, WORK_PER_S = 40_000_000, 5_000_000
"""Units of work for the files of one user: 0.4 s of processor time at first, then a twentieth of the time."""

_REPLY_SIZE = 1 << 20

BUNDLE = "bundle:"
"""Prefix of a bundle's path in place of a runtime: a container of root's with a bundle of this user's."""


class _Reader(Protocol):
    def __call__(self, container_id: str, home: Home, /) -> ContainerFacts | None: ...


class UserState:
    """Answers one question at a time; keeps what it has read until its files change."""

    def __init__(self, host: Host, home: Home) -> None:
        self._home = home
        self.files = StateFiles(host, Work(WORK, WORK_PER_S))
        self._storage = StorageState(self.files)
        self._docker = DockerState(self.files, Daemons(self.files))
        self._folders = [
            StateFolder(self.files, f"/run/user/{home.uid}/{name}", home.uid) for name in RUNTIME_FOLDERS
        ]
        self._answers = Answers(self.files, self._search)
        self._claims: list[Placed] = []
        self._unanswered: dict[Key, None] = {}

    def answer(self, question: Question) -> Reply:
        """Answer a question: check for changes and return them. No content of the files makes it raise."""
        self.files.avoid |= question.avoid
        claims = self._look_for_claims()
        self._answers.forget(container_id for container_id, _ in question.forget)
        for key in self._answers.refresh():
            self._unanswered[key] = None
        for container_id, runtime in question.new:
            self._unanswered[container_id, runtime, self._home.uid] = None
        reply = Reply(claims=[claim_of(placed) for placed in claims] if claims is not None else None)
        size = 0
        while self._unanswered and size < _REPLY_SIZE:
            key = next(iter(self._unanswered))
            del self._unanswered[key]
            answer = self._answers.get(key)
            container = ContainerAnswer(key[0], key[1], answer.facts, answer.reason)
            reply.answers.append(container)
            size += len(msgspec.msgpack.encode(container))
        reply.exceeded = self.files.work.take_exceeded()
        self.files.forget_database()
        return reply

    def _look_for_claims(self) -> list[Placed] | None:
        """Return the containers of the user's runc and crun if they changed since then, else None."""
        for folder in self._folders:
            folder.refresh()
        claims = [placed for folder in self._folders for placed in folder.placed()]
        if claims == self._claims:
            return None
        changed = {placed.id for placed in set(claims) ^ set(self._claims)}
        self._answers.forget(changed)
        self._claims = claims
        return claims

    def _search(self, key: Key) -> tuple[ContainerFacts | None, str | None]:
        container_id, runtime, _ = key
        problems = []
        for reader in self._readers(runtime):
            try:
                facts = reader(container_id, self._home)
            except StateError as error:
                problems.append(str(error))
                continue
            if facts is not None:
                return facts, None
        return None, problems[0] if problems else None

    def _readers(self, runtime: str) -> tuple[_Reader, ...]:
        if runtime.startswith(BUNDLE):
            bundle = runtime.removeprefix(BUNDLE)
            return (lambda container_id, home: facts_of_bundle(self.files, bundle, container_id, home.uid),)
        return {
            "podman": (self._storage.facts, self._oci_facts),
            "cri-o": (self._storage.facts, self._oci_facts),
            "unknown": (self._docker.facts, self._storage.facts, self._oci_facts),
        }.get(runtime, (self._docker.facts, self._oci_facts))

    def _oci_facts(self, container_id: str, home: Home) -> ContainerFacts | None:
        for placed in self._claims:
            if placed.id == container_id:
                return facts_in_bundle(self.files, self._storage, placed.place, placed.bundle, home.uid)
        for folder in self._folders if is_file_name(container_id) else ():
            place = f"{folder.folder}/{container_id}"
            state = read_state(self.files, place, home.uid)
            if state is not None:
                return facts_in_bundle(self.files, self._storage, place, bundle_of(state), home.uid)
        return None
