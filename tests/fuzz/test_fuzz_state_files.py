"""The files in which container runtimes keep their state, read as the child of a user reads them."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from core.containers.containerd import ContainerdState
from core.containers.daemons import Daemons, Home
from core.containers.state_files import StateFiles
from core.containers.user_protocol import REPLY_LIMIT, Question, checked_facts, placed_of_claim
from core.containers.user_state import UserState
from core.containers.work import StateError
from core.system.host import Host
from core.text.safe import safe_text
from tests.fuzz.harness import corpus, fuzz, mutator

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
HOME = Home(os.geteuid(), "/home/joe")
STORAGE = "/home/joe/.local/share/containers/storage"
LIST = f"{STORAGE}/overlay-containers/containers.json"
RUNC = f"/run/user/{HOME.uid}/runc/web/state.json"
FILES = {
    "docker": f"/home/joe/.local/share/docker/containers/{A}/config.v2.json",
    "runc": RUNC,
    "crun": f"/run/user/{HOME.uid}/crun/web/status",
    "containers_json": LIST,
    "bundle": f"{STORAGE}/overlay-containers/{A}/userdata/config.json",
    "podman_bolt": f"{STORAGE}/libpod/bolt_state.db",
    "podman_sqlite": f"{STORAGE}/db.sql",
}
JSON = mutator([b"{", b"[", b'"', b",", b"null", b"1e999", b'"\\ud800"', b'"Name":', b'"Labels":'])
SQL = mutator([b"CREATE VIEW", b"CREATE TABLE", b"CREATE TRIGGER", b"PodConfig", b"table", b"view", b"AS"])
QUESTION = Question([(A, "docker"), (A, "podman"), (f"web@{HOME.uid}", "unknown")])


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="etf") as folder:
        yield Path(folder)


def _write(root: Path, path: str, data: bytes) -> Path:
    file = root / path[1:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def _reader(root: Path, path: str) -> Callable[[bytes], None]:
    """Return what reads a file with this content beside a container that is listed."""
    if path != LIST:
        _write(root, LIST, json.dumps([{"id": A, "names": ["web"]}]).encode())
    file = _write(root, path, b"")

    def read(data: bytes) -> None:
        file.write_bytes(data)
        reply = UserState(Host(root), HOME).answer(QUESTION)
        assert len(msgspec.msgpack.encode(reply)) < REPLY_LIMIT
        for told in reply.answers:
            facts = checked_facts(told.facts)
            for text in (told.reason, *(msgspec.structs.astuple(facts) if facts else ())):
                assert not isinstance(text, str) or text == safe_text(text)
        for claim in reply.claims or ():
            assert placed_of_claim(claim, HOME.uid) is not None

    return read


@pytest.mark.parametrize("name", FILES)
def test_state_of_a_user(root: Path, name: str) -> None:
    mutate = SQL if name == "podman_sqlite" else JSON
    fuzz(_reader(root, FILES[name]), corpus(f"state_{name}"), name=f"state_{name}", mutate=mutate)


def test_state_of_containerd(root: Path) -> None:
    """Root's own, which a container has a part in: labels in meta.db."""
    bundle = f"/run/containerd/io.containerd.runtime.v2.task/default/{A}/config.json"
    _write(root, bundle, b'{"annotations": {}}')
    file = _write(root, "/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", b"")

    def read(data: bytes) -> None:
        file.write_bytes(data)
        files = StateFiles(Host(root))
        facts = ContainerdState(files, Daemons(files)).facts(A, None)
        assert facts is not None
        for text in msgspec.structs.astuple(facts):
            assert not isinstance(text, str) or text == safe_text(text)

    fuzz(
        read, corpus("state_containerd"), (StateError,), name="state_containerd", mutate=mutator([A.encode()])
    )
