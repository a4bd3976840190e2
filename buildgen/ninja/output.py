"""Parses ninja's terminal output into events.

On a terminal ninja prints a status line when an edge starts and when it ends; on a pipe only when it ends.
So it runs on a pseudo-terminal, and NINJA_STATUS starts each status line with a token that no tool prints by
chance. The text after the end of an edge, up to the next status line, is the output of that edge.
"""

from __future__ import annotations

import re
import secrets
import shlex
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from buildgen.events import EdgeFinished, EdgeStarted, Planned
from core.text.safe import safe_lines

LOG_LIMIT = 64 * 1024
"""Bytes kept of the output of one edge."""
_LONGEST_STATUS = 32 * 1024
_COLOUR = rb"(?:\x1b\[[\d;]*m)*"
_FAILED = re.compile(rb"^\s*" + _COLOUR + rb"FAILED: (?:\[code=\d+\] )?" + _COLOUR + rb"[^\n]*\n[^\n]*\n?")
"""The start of a failure: its outputs in one line, the whole command in the next."""
_OWN_MESSAGES = re.compile(rb"^ninja: [^\n]*\n?", re.MULTILINE)


@dataclass(slots=True)
class _Ended:
    """An edge that ended, but may still have output to come."""

    output: str
    seconds: float
    log: bytes = b""


@dataclass(slots=True)
class NinjaOutput:
    """Takes the output of ninja, yields events, and keeps the logs of the edges that failed."""

    failed: dict[str, bytes] = field(default_factory=dict)
    """Output name -> tool output, for every edge that failed."""
    messages: bytes = b""
    """ninja's own messages: why it did not start, or that there is no work to do."""
    _token: str = field(default_factory=lambda: secrets.token_hex(8))
    _rest: bytes = b""
    _ended: _Ended | None = None
    _finished: int = 0
    _planned: bool = False
    _started: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """The value for NINJA_STATUS."""
        return f"@{self._token}|%f|%t@"

    def feed(self, data: bytes) -> Iterator[Planned | EdgeStarted | EdgeFinished]:
        """Take the next chunk of ninja's output, which may be cut anywhere."""
        self._rest += data
        pattern = re.compile(rb"\r?@" + self._token.encode() + rb"\|(\d+)\|(\d+)@([^\r\n]*?)\x1b\[K")
        at = 0
        for status in pattern.finditer(self._rest):
            self._printed(self._rest[at : status.start()])
            at = status.end()
            yield from self._status_line(int(status[1]), int(status[2]), status[3])
        self._rest = self._rest[at:]
        if len(self._rest) > 2 * _LONGEST_STATUS:  # a tool that prints endlessly
            self._printed(self._rest[:-_LONGEST_STATUS])
            self._rest = self._rest[-_LONGEST_STATUS:]

    def settle(self) -> Iterator[EdgeFinished]:
        """Yield the edge that ended, without waiting for the next status line. Call when ninja is silent."""
        if self._token.encode() not in self._rest:
            self._printed(self._rest)
            self._rest = b""
        yield from self._flush()

    def close(self) -> Iterator[Planned | EdgeFinished]:
        """Handle the end of ninja's output."""
        self._printed(self._rest)
        self._rest = b""
        yield from self._flush()
        if not self._planned:
            yield Planned(0)

    def _printed(self, text: bytes) -> None:
        self.messages = (self.messages + b"".join(_OWN_MESSAGES.findall(text)))[-LOG_LIMIT:]
        if self._ended is not None:
            self._ended.log = (self._ended.log + _OWN_MESSAGES.sub(b"", text))[: 2 * LOG_LIMIT]

    def _status_line(
        self, finished: int, total: int, description: bytes
    ) -> Iterator[Planned | EdgeStarted | EdgeFinished]:
        yield from self._flush()
        if not self._planned:
            self._planned = True
            yield Planned(total)
        output = unquoted(description)
        now = time.monotonic()
        if finished > self._finished:
            self._finished = finished
            self._ended = _Ended(output, now - self._started.get(output, now))
        else:
            self._started[output] = now
            yield EdgeStarted(output)

    def _flush(self) -> Iterator[EdgeFinished]:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        head = _FAILED.match(ended.log)
        log = (ended.log[head.end() :] if head else ended.log).strip()[:LOG_LIMIT]
        if head:
            self.failed[ended.output] = log
        yield EdgeFinished(
            ended.output, head is None, ended.seconds, "\n".join(safe_lines(log)) if log else ""
        )


def unquoted(description: bytes) -> str:
    """Return the path in a description: ninja quotes paths with special characters for the shell."""
    text = description.decode("utf-8", "surrogateescape")
    try:
        return " ".join(shlex.split(text))
    except ValueError:
        return text
