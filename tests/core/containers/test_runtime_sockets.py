"""The sockets of runtimes: what is sent, what is made of the answer, and daemons that are not well."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.containers import ContainerNames
from core.containers.daemons import unix_sockets
from core.model.entities import ContainerContext
from core.system.host import Host

A = "1b060cc81653a5c4a1d5bb6b1ea0e8b9f3b1d2c3e4f5061728394a5b6c7d8e9f"
PATH = f"/docker/{A}".encode()
WEB = {"Id": A, "Name": "/web", "Config": {"Image": "busybox:1.36", "Labels": {"a": "b"}, "Env": ["X=1"]}}


def answer(body: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


class Daemon:
    """A server on /run/docker.sock of a host root; `reply` is called with each connection."""

    def __init__(self, root: Path, reply: Callable[[socket.socket], None]) -> None:
        (root / "run").mkdir(exist_ok=True)
        self.requests: list[bytes] = []
        self._reply = reply
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.getcwd()
        os.chdir(root / "run")  # the path of a socket has 107 bytes at most
        self._server.bind("docker.sock")
        os.chdir(before)
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection, contextlib.suppress(BrokenPipeError):
                self.requests.append(connection.recv(65536))
                self._reply(connection)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def root() -> Iterator[Path]:
    """A host root with a short path, as it holds a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ets") as folder:
        (Path(folder) / "proc").mkdir()
        yield Path(folder)


def when_answered(names: ContainerNames) -> ContainerContext:
    """Ask until there is an answer: usually the first one is, but this machine may be busy."""
    deadline = time.monotonic() + 10
    while "not answered yet" in (names.container_of(PATH).reason or "") and time.monotonic() < deadline:
        time.sleep(0.02)
        names.refresh()
    return names.container_of(PATH)


def asked(root: Path, reply: Callable[[socket.socket], None]) -> tuple[str | None, str, list[bytes]]:
    """Return name, reason and the requests that a daemon got."""
    daemon = Daemon(root, reply)
    try:
        context = when_answered(ContainerNames(Host(root), ask_runtimes=True))
    finally:
        daemon.close()
    assert context.id == A
    return context.name, context.reason or "", daemon.requests


def test_one_get_is_all_that_is_sent(root: Path) -> None:
    name, reason, requests = asked(root, lambda c: c.sendall(answer(json.dumps(WEB).encode())))
    assert (name, reason) == ("web", "")
    [request] = requests
    assert request.startswith(f"GET /containers/{A}/json HTTP/1.1\r\n".encode())


def test_nobody_is_asked_without_the_option(root: Path) -> None:
    daemon = Daemon(root, lambda c: c.sendall(answer(json.dumps(WEB).encode())))
    assert ContainerNames(Host(root)).container_of(PATH).name is None
    daemon.close()
    assert daemon.requests == []


def test_a_file_that_tells_the_name_goes_before_the_socket(root: Path) -> None:
    state = root / f"var/lib/docker/containers/{A}"
    state.mkdir(parents=True)
    (state / "config.v2.json").write_text(json.dumps({"Name": "/disk"}))
    name, _, requests = asked(root, lambda c: c.sendall(answer(json.dumps(WEB).encode())))
    assert (name, requests) == ("disk", [])


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (
            lambda c: c.sendall(answer(b"{}", "404 Not Found")),
            "/run/docker.sock does not have this container",
        ),
        (lambda c: c.sendall(answer(b"{}", "500 Oh")), "status 500"),
        (lambda c: c.sendall(answer(b'{"Name": 7}')), "not understood"),
        (lambda c: c.sendall(answer(b'{"Id": "other", "Name": "/web"}')), "another container"),
        (lambda c: c.sendall(answer(b" " * 2_000_000)), "more than"),
        (lambda c: c.sendall(answer(b"[" * 100_000)), "not understood"),
        (lambda c: c.sendall(b"\x1b[2J\xff\n"), "/run/docker.sock: "),
        (lambda c: None, "/run/docker.sock: "),
        (lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n{}"), "/run/docker.sock: "),
    ],
)
def test_a_daemon_that_has_no_answer(root: Path, reply: Callable[[socket.socket], None], reason: str) -> None:
    name, told, _ = asked(root, reply)
    assert name is None
    assert reason in told
    assert "\x1b" not in told


def test_a_daemon_that_answers_a_byte_at_a_time_does_not_keep_the_thread(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.containers.sockets._TIMEOUT_S", 0.5)

    def reply(connection: socket.socket) -> None:
        for number in range(600):  # within a minute: each byte comes in time, all of them never do
            connection.sendall(b"HTTP/1.1 200 OK\r\nX: "[number : number + 1] or b"x")
            time.sleep(0.1)

    name, reason, _ = asked(root, reply)
    assert name is None
    assert "timed out" in reason


def test_a_daemon_that_answers_with_endless_headers(root: Path) -> None:
    def reply(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        with contextlib.suppress(OSError):
            while True:
                connection.sendall(b"X: " + b"x" * 60_000 + b"\r\n")

    name, reason, _ = asked(root, reply)
    assert name is None
    assert "more than" in reason


def test_an_answer_from_outside_cannot_steer_a_terminal(root: Path) -> None:
    name, _, _ = asked(root, lambda c: c.sendall(answer(json.dumps(WEB | {"Name": "/\x1b[2Jx"}).encode())))
    assert name == "\\x1b[2Jx"


def test_a_daemon_that_hangs_costs_a_moment_and_its_answer_comes_later(root: Path) -> None:
    go = threading.Event()

    def reply(connection: socket.socket) -> None:
        go.wait(10)
        connection.sendall(answer(json.dumps(WEB).encode()))

    daemon = Daemon(root, reply)
    names = ContainerNames(Host(root), ask_runtimes=True)
    before = time.monotonic()
    assert "not answered yet" in (names.container_of(PATH).reason or "")
    assert time.monotonic() - before < 0.6
    go.set()
    deadline = time.monotonic() + 5
    while not names.refresh() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert names.container_of(PATH).name == "web"
    daemon.close()


def test_many_containers_of_a_daemon_that_hangs_wait_a_second_in_all(root: Path) -> None:
    daemon = Daemon(root, lambda connection: time.sleep(10))
    names = ContainerNames(Host(root), ask_runtimes=True)
    before = time.monotonic()
    for number in range(50):
        assert names.container_of(f"/docker/{number:064x}".encode()).name is None
    assert time.monotonic() - before < 1.6
    daemon.close()


def test_a_server_of_another_user_is_not_believed(root: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can run a server as somebody else")
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.chdir(root)
        os.mkdir("run")
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind("run/docker.sock")
        os.setresuid(65534, 65534, 65534)
        server.listen()  # whose credentials the peer gets
        os.write(ready[1], b"!")
        connection, _ = server.accept()
        connection.recv(65536)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        context = when_answered(ContainerNames(Host(root), ask_runtimes=True))
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
    assert "runs as user 65534" in (context.reason or "")


def test_sockets_of_an_argv() -> None:
    argv = b"dockerd\0-H\0unix:///a/sock\0--host=unix:///b\0-H\0tcp://1.2.3.4:1\0-H=fd://\0--host\0"
    assert unix_sockets(argv) == ["/a/sock", "/b"]
