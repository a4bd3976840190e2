"""What ninja and the tools that it runs print, cut anywhere."""

from __future__ import annotations

from buildgen.events import EdgeFinished
from buildgen.ninja.output import LOG_LIMIT, NinjaOutput
from tests.fuzz.harness import corpus, fuzz, mutator

_TOKENS = (
    b"\r@TOKEN|1|2@a.o\x1b[K",
    b"FAILED: ",
    b"FAILED: [code=1] ",
    b"ninja: ",
    b"\r\n",
    b"'\"",
    b"\x1b[31m",
)


def _target(data: bytes) -> None:
    output = NinjaOutput()
    data = data.replace(b"TOKEN", output.status[1:17].encode())
    step = data[0] * 8 + 1 if data else 1
    events = [event for at in range(0, len(data), step) for event in output.feed(data[at : at + step])]
    events += [*output.settle(), *output.close()]
    assert len(output.messages) <= LOG_LIMIT
    for event in events:
        if isinstance(event, EdgeFinished):
            assert all(line.isprintable() for line in event.log.split("\n"))


def test_ninja() -> None:
    fuzz(_target, corpus("ninja"), name="ninja", mutate=mutator(_TOKENS))
