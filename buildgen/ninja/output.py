"""ninja's screen -> what its edges did.

On a terminal ninja prints a status line when an edge starts and again when it ends; on a pipe only the
latter. So it gets a pseudo-terminal, and NINJA_STATUS makes each status line start with a token that no
tool prints by chance. What stands behind an end, up to the next status line, was printed by that edge.
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
"""As much as is kept of what one edge printed, in bytes."""
_LONGEST_STATUS = 32 * 1024
_COLOUR = rb"(?:\x1b\[[\d;]*m)*"
_FAILED = re.compile(rb"^\s*" + _COLOUR + rb"FAILED: (?:\[code=\d+\] )?" + _COLOUR + rb"[^\n]*\n[^\n]*\n?")
"""The head of a failure: the outputs in one line, the whole command in the next."""
_OWN_WORDS = re.compile(rb"^ninja: [^\n]*\n?", re.MULTILINE)


@dataclass(slots=True)
class _Ended:
    """An edge that ended and whose log may still be coming."""

    output: str
    seconds: float
    log: bytes = b""


@dataclass(slots=True)
class NinjaOutput:
    """Fed with what ninja prints; gives events, and keeps the logs of the edges that failed."""

    failed: dict[str, bytes] = field(default_factory=dict)
    """Output -> what the tools printed, of every edge that failed."""
    said: bytes = b""
    """What ninja said itself: why it did not start, or that there is no work to do."""
    _token: str = field(default_factory=lambda: secrets.token_hex(8))
    _rest: bytes = b""
    _ended: _Ended | None = None
    _finished: int = 0
    _planned: bool = False
    _started: dict[str, float] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """What NINJA_STATUS has to be."""
        return f"@{self._token}|%f|%t@"

    def feed(self, data: bytes) -> Iterator[Planned | EdgeStarted | EdgeFinished]:
        """Take the next piece of ninja's output, cut anywhere."""
        self._rest += data
        pattern = re.compile(rb"\r?@" + self._token.encode() + rb"\|(\d+)\|(\d+)@([^\r\n]*?)\x1b\[K")
        at = 0
        for found in pattern.finditer(self._rest):
            self._printed(self._rest[at : found.start()])
            at = found.end()
            yield from self._status_line(int(found[1]), int(found[2]), found[3])
        self._rest = self._rest[at:]
        if len(self._rest) > 2 * _LONGEST_STATUS:  # a tool that prints without end
            self._printed(self._rest[:-_LONGEST_STATUS])
            self._rest = self._rest[-_LONGEST_STATUS:]

    def settle(self) -> Iterator[EdgeFinished]:
        """Report the edge that ended although no status line came after it. Call when ninja is silent."""
        if self._token.encode() not in self._rest:
            self._printed(self._rest)
            self._rest = b""
        yield from self._flush()

    def close(self) -> Iterator[Planned | EdgeFinished]:
        """Take the end of ninja's output."""
        self._printed(self._rest)
        self._rest = b""
        yield from self._flush()
        if not self._planned:
            yield Planned(0)

    def _printed(self, text: bytes) -> None:
        self.said = (self.said + b"".join(_OWN_WORDS.findall(text)))[-LOG_LIMIT:]
        if self._ended is not None:
            self._ended.log = (self._ended.log + _OWN_WORDS.sub(b"", text))[: 2 * LOG_LIMIT]

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
    """Return the path in a description: ninja quotes it for the shell when it has special characters."""
    text = description.decode("utf-8", "surrogateescape")
    try:
        return " ".join(shlex.split(text))
    except ValueError:
        return text
