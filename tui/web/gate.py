"""Limits connections: on 127.0.0.1 every user of the machine can open any number of them.

Until it sends a request with the token or the cookie, a connection is a stranger's. Strangers have limited
time, bytes and places; if all places are taken, the user with most of them loses their oldest connection. So
without the token nobody can exhaust the descriptors that the server and its tabs need.
"""

from __future__ import annotations

import asyncio
import resource
import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

STRANGER_SECONDS = 5.0
"""Time from connecting to a request with the token or the cookie; a browser takes milliseconds."""

STRANGER_BYTES = 16 * 1024
"""Bytes before a request with the token or the cookie: twice the headers of a browser."""

MOST_STRANGERS = 32
MOST_CONNECTIONS = 128
_FEW = 8
"""Up to this many strangers their uids are not looked up."""

_TABLE = Path("/proc/net/tcp")


class Gate:
    """Counts the connections of one server. All methods run on its event loop."""

    def __init__(self) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._most = max(8, min(MOST_CONNECTIONS, descriptors // 4))
        self._strangers: dict[asyncio.Transport, Connection] = {}  # the oldest first
        self._admitted: set[asyncio.Transport] = set()

    def wrap(self, handler: asyncio.Protocol) -> asyncio.Protocol:
        """Return a protocol that forwards everything to `handler` while the gate permits it."""
        return Connection(handler, self)

    def admit(self, transport: asyncio.BaseTransport | None) -> None:
        """Record that a connection has sent the token or the cookie, so it may stay."""
        connection = (
            self._strangers.pop(transport, None) if isinstance(transport, asyncio.Transport) else None
        )
        if connection is not None:
            connection.trust()
            self._admitted.add(connection.transport)

    def enter(self, connection: Connection) -> bool:
        """Register a new connection; return False if there is no place for it."""
        if len(self._admitted) >= self._most:
            return False
        strangers = self._strangers
        if len(strangers) >= _FEW:
            connection.uid = _uid_of(connection.transport)
        if len(strangers) >= min(MOST_STRANGERS, self._most):
            held = Counter(stranger.uid for stranger in strangers.values())
            greediest, _ = held.most_common(1)[0]
            oldest = next(stranger for stranger in strangers.values() if stranger.uid == greediest)
            oldest.end()
        strangers[connection.transport] = connection
        return True

    def leave(self, transport: asyncio.Transport) -> None:
        self._strangers.pop(transport, None)
        self._admitted.discard(transport)


class Connection(asyncio.Protocol):
    """One connection, between its transport and the protocol that answers it."""

    transport: asyncio.Transport

    def __init__(self, handler: asyncio.Protocol, gate: Gate) -> None:
        self._handler = handler
        self._gate = gate
        self._left = STRANGER_BYTES
        self._timer: asyncio.TimerHandle | None = None
        self._trusted = self._inside = False
        self.uid: int | None = None
        """The uid of the other end; None if not looked up or not found."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._inside = self._gate.enter(self)
        if not self._inside:
            transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(STRANGER_SECONDS, self.end)
        self._handler.connection_made(transport)

    def trust(self) -> None:
        self._trusted = True
        if self._timer is not None:
            self._timer.cancel()

    def end(self) -> None:
        """Abort the connection and free its place at once."""
        self._gate.leave(self.transport)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self._inside:
            return
        if not self._trusted:
            self._left -= len(data)
            if self._left < 0:
                self.end()
                return
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        return self._handler.eof_received() if self._inside else None

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._gate.leave(self.transport)
        if self._inside:
            self._handler.connection_lost(exc)


def quiet(narrate: Callable[[str], None], every_seconds: float = 60.0) -> Callable[..., None]:
    """Return an exception handler for the loop that writes at most one line per `every_seconds`."""
    silent_until = 0.0

    def handle(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        nonlocal silent_until
        if loop.time() >= silent_until:
            silent_until = loop.time() + every_seconds
            narrate(f"{context.get('message', 'a connection failed')}: {context.get('exception', '')}")

    return handle


def _uid_of(transport: asyncio.Transport) -> int | None:
    """Return the uid of the other end, which is on this machine, from the kernel's table of sockets."""
    try:
        ours, theirs = (_hex(transport.get_extra_info(name)) for name in ("sockname", "peername"))
        row = f": {theirs} {ours} "
        with _TABLE.open() as table:
            return next((int(line.split()[7]) for line in table if row in line), None)
    except (OSError, TypeError, ValueError, IndexError):
        return None


def _hex(address: tuple[str, int]) -> str:
    """Return an IPv4 address and port as in that table: the address as a u32 in native byte order."""
    (number,) = struct.unpack("=I", bytes(map(int, address[0].split("."))))
    return f"{number:08X}:{address[1]:04X}"
