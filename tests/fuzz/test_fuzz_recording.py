"""Recordings from anywhere: refused in one line, or replayed to the end by the engine and the tree."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from core.model.entities import ContainerContext, LadderStep, ProcessEntry, Tiers, TierState, Usage
from core.model.events import Exec, Exit, Lost, Sample, SnapshotRecord
from core.model.view import ViewRequest
from core.resolve.engine import Engine
from core.sources.feed import HostFacts
from core.sources.recording.compression import zstd
from core.sources.recording.file import FORMAT, End, Events, Head, Named, RecordingError, Snapshot, Sweep
from core.sources.recording.replay import ReplayFeed
from core.tree.tree import Tree
from tests.fuzz.harness import MB, fuzz, mutator

TOKENS = (
    b"type",
    b"Named",
    b"Snapshot",
    b"outer",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xdd\xff\xff\xff\xff",
    b"\xc0",
)


def _seed() -> bytes:
    on = TierState(True)
    entry = ProcessEntry(10, 500, exec_id=1, comm=b"x", cmdline=b"x\0", cgroup=b"/a")
    container = ContainerContext("a" * 64, "docker", pod="p", outer=ContainerContext("b", "lxc", pod_uid="u"))
    messages = (
        Head(FORMAT, 1000, HostFacts("h", "k", "a"), Tiers(on, on, on, LadderStep.EVENTS_AND_MAPS), True),
        Named(1000, b"/a", container),
        Snapshot(1001, [SnapshotRecord(entry, Usage(1, 1, "S", 1, 0.5))]),
        Sweep(1002, [Sample(10, 500, 1, 0, b"x", 0, False, Usage(2, 1, "S", 1))]),
        Events(1003, [Exec(1003, entry), Exit(1004, 10, 500, 0), Lost(1005, 3)]),
        End(1006),
    )
    datas = map(msgspec.msgpack.encode, messages)
    return b"".join(len(data).to_bytes(4, "big") + data for data in datas)


_mutate = mutator(TOKENS)


def _mutate_message(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Change the stream; mostly one message of it, whose length is set right again."""
    if rng.random() < 0.2:
        return _mutate(rng, data, others)
    messages = []
    rest = data
    while len(rest) >= 4:
        length = int.from_bytes(rest[:4], "big")
        messages.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    if not messages:
        return data
    at = rng.randrange(len(messages))
    messages[at] = _mutate(rng, messages[at], others)
    return b"".join(len(one).to_bytes(4, "big") + one for one in messages)


def test_recording() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r"

        def target(data: bytes) -> None:
            path.write_bytes(zstd.compress(data, 1))
            engine = Engine(ReplayFeed(path, speed=0))
            engine.start()
            engine.pump()
            tree = Tree(str)
            for process in engine.cache:
                tree.put(engine.view(process))
            tree.window(ViewRequest(height=100), 3000)
            engine.feed.close()

        fuzz(target, [_seed()], (RecordingError,), name="recording", mutate=_mutate_message, memory=512 * MB)
