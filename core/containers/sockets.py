"""Asks Docker's and podman's sockets about a container, only with --ask-runtimes. It changes nothing.

`GET /containers/ID/json` is the only request. It is sent on a separate thread, because a daemon may be slow
or hang; the caller waits briefly for each answer, and one second in all, then continues without. containerd
and CRI-O use gRPC on their sockets and are not asked.
"""

from __future__ import annotations

import http.client
import os
import queue
import re
import socket
import struct
import threading
import time
from collections import OrderedDict
from typing import Any

import msgspec

from core.containers.daemons import Daemons
from core.containers.facts import ContainerFacts, facts_from_labels
from core.containers.state_files import StateFiles
from core.text.safe import safe_text

_TIMEOUT_S = 2.0
_ANSWER_LIMIT = 1 << 20
_RECEIVED_LIMIT = _ANSWER_LIMIT + (64 << 10)
"""Limits in bytes of an answer's body, and of the answer with its headers."""

_KEPT = 8192
_WAITING_LIMIT = 1024
_ASK_AGAIN_S = 5.0
_IDLE_S = 1.0
_ONE_WAIT_S = 0.25
_ALL_WAITS_S = 1.0

_ID = re.compile(r"[0-9a-f]{64}")
_PEER = struct.Struct("3i")


class _Config(msgspec.Struct):
    Image: str = ""
    Labels: dict[str, str] | None = None


class _Container(msgspec.Struct):
    Id: str
    Name: str = ""
    Config: _Config | None = None


class _Answer(msgspec.Struct):
    """The sockets' facts about a container, and when they were asked."""

    facts: ContainerFacts | None
    problem: str
    asked: float


class RuntimeSockets:
    """Asks about one container at a time. `facts` may be called from one thread only."""

    def __init__(self, files: StateFiles, daemons: Daemons) -> None:
        self._files = files
        self._daemons = daemons
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._requests: queue.Queue[tuple[str, tuple[tuple[str, str], ...]]] = queue.Queue(_WAITING_LIMIT)
        self._pending: set[str] = set()
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._patience_s = _ALL_WAITS_S

    def facts(self, container_id: str) -> tuple[ContainerFacts | None, str]:
        """Return the runtimes' facts about a container, or None and why there are none (yet)."""
        if not _ID.fullmatch(container_id):
            return None, "runtimes are asked only about ids of 64 digits"
        with self._lock:
            answer = self._answers.get(container_id)
            if answer is None or (answer.facts is None and time.monotonic() - answer.asked > _ASK_AGAIN_S):
                self._request(container_id)
                answer = self._wait(container_id)
        return (answer.facts, answer.problem) if answer else (None, "its runtime has not answered yet")

    def _request(self, container_id: str) -> None:
        if container_id in self._pending:
            return
        # Finding sockets reads files through StateFiles, which belongs to the caller's thread.
        sockets = tuple((path, place) for path in self._sockets() if (place := self._files.place(path)))
        try:
            self._requests.put_nowait((container_id, sockets))
        except queue.Full:
            return  # it is requested again later
        self._pending.add(container_id)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="runtimes", daemon=True)
            self._thread.start()

    def _wait(self, container_id: str) -> _Answer | None:
        before = time.monotonic()
        wait_s = min(_ONE_WAIT_S, self._patience_s)
        self._lock.wait_for(lambda: container_id not in self._pending, wait_s)
        self._patience_s = max(0.0, self._patience_s - (time.monotonic() - before))
        return self._answers.get(container_id)

    def _sockets(self) -> list[str]:
        runtime_dir = f"/run/user/{os.getuid()}"
        own = [f"{runtime_dir}/docker.sock", f"{runtime_dir}/podman/podman.sock"] if os.getuid() else []
        usual = ["/run/docker.sock", "/run/podman/podman.sock", *own]
        return list(dict.fromkeys([*usual, *self._daemons.docker_sockets()]))

    def _run(self) -> None:
        """Send requests until there have been none for a while."""
        while True:
            try:
                container_id, sockets = self._requests.get(timeout=_IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._requests.empty():
                        self._thread = None
                        return
                continue
            answer = _ask(container_id, sockets)
            with self._lock:
                self._answers[container_id] = answer
                self._answers.move_to_end(container_id)
                if len(self._answers) > _KEPT:
                    self._answers.popitem(last=False)
                self._pending.discard(container_id)
                self._lock.notify_all()


class _BoundedSocket(socket.socket):
    """A socket with a limit of bytes and a deadline for all of them: servers may send one byte a second."""

    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._until = time.monotonic() + _TIMEOUT_S
        self._left = _RECEIVED_LIMIT
        self.settimeout(_TIMEOUT_S)

    def recv_into(self, *arguments: Any) -> int:
        left_s = self._until - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("timed out")
        if self._left <= 0:
            raise ValueError(f"its answer has more than {_ANSWER_LIMIT} bytes")
        self.settimeout(left_s)
        size = super().recv_into(*arguments)
        self._left -= size
        return size


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket; the server must run as root or as the same user as this program."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = _BoundedSocket()
        self.sock.connect(self._path)
        peer = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        _, uid, _ = _PEER.unpack(peer)
        if uid not in (0, os.getuid()):
            raise PermissionError(f"its server runs as user {uid}")


def _ask(container_id: str, sockets: tuple[tuple[str, str], ...]) -> _Answer:
    """Ask one socket after the other; `sockets` are pairs of the displayed path and the path to open."""
    problems = []
    for shown_path, path in sockets:
        try:
            facts = _ask_one(container_id, shown_path, path)
        except (FileNotFoundError, ConnectionRefusedError):  # no such runtime, or it is not running
            continue
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            problems.append(f"{shown_path}: {safe_text(str(error) or type(error).__name__, 200)}")
            continue
        if facts is not None:
            return _Answer(facts, "", time.monotonic())
        problems.append(f"{shown_path} does not have this container")
    return _Answer(None, "; ".join(problems) or "no socket of Docker or podman was found", time.monotonic())


def _ask_one(container_id: str, shown_path: str, path: str) -> ContainerFacts | None:
    """Return one runtime's facts, None when it does not have the container."""
    connection = _UnixConnection(path)
    try:
        connection.request("GET", f"/containers/{container_id}/json")
        response = connection.getresponse()
        if response.status == http.client.NOT_FOUND:
            return None
        if response.status != http.client.OK:
            raise ValueError(f"it answered with status {response.status}")
        text = response.read(_ANSWER_LIMIT + 1)
        if len(text) > _ANSWER_LIMIT:
            raise ValueError(f"its answer has more than {_ANSWER_LIMIT} bytes")
    finally:
        connection.close()
    try:
        container = msgspec.json.decode(text, type=_Container)
    except ValueError as error:
        raise ValueError(f"its answer is not understood: {error}") from None
    if container.Id != container_id:
        raise ValueError("its answer is about another container")
    inner = container.Config or _Config()
    runtime = "podman" if "podman" in shown_path else "docker"
    name = container.Name.removeprefix("/")
    return msgspec.structs.replace(
        facts_from_labels(inner.Labels, shown_path, runtime, name, inner.Image), source=""
    )
