"""The audit finds what the cache has wrong, mends it, and leaves in peace what is only in flight."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.audit import Audit
from core.host import LOCAL
from core.lineage import Lineage, Process
from core.model import Origin
from core.procfs import Procfs
from core.stats import Stats
from tests.world import differences, open_engine, settle


class Bench:
    """A cache with one real process in it, read from /proc."""

    def __init__(self, pid: int) -> None:
        self.lineage = Lineage(Stats())
        self.pid = pid
        self.audit = Audit(self.lineage, Procfs(LOCAL), lambda cgroup: None)
        self.process = self.lineage.insert(Procfs(LOCAL).entry(pid)[0], Origin.PROCFS)

    def falsify(self, **facts: object) -> Process:
        self.process.entry = msgspec.structs.replace(self.process.entry, **facts)
        return self.process


@pytest.fixture
def bench() -> Iterator[Bench]:
    child = subprocess.Popen(["sleep", "60"])
    while " (sleep) S " not in Path(f"/proc/{child.pid}/stat").read_text():
        time.sleep(0.01)
    yield Bench(child.pid)
    child.kill()
    child.wait()


def test_a_true_cache_has_no_drift(bench: Bench) -> None:
    bench.audit.whole(lambda: None)
    assert (bench.audit.checked, bench.audit.total, dict(bench.audit.refreshed)) == (1, 0, {})


@pytest.mark.parametrize(("field", "facts"), [("ppid", {"ppid": 4_000_000}), ("image", {"inode": 12345})])
def test_drift_is_counted_by_field_and_mended(bench: Bench, field: str, facts: dict[str, int]) -> None:
    bench.falsify(**facts)
    bench.audit.whole(lambda: None)
    assert dict(bench.audit.drift) == {field: 1}
    assert bench.process.entry.ppid == os.getpid()
    assert bench.process.entry.inode == os.stat(f"/proc/{bench.pid}/exe").st_ino
    bench.audit.whole(lambda: None)
    assert bench.audit.total == 1


def test_what_is_in_flight_is_no_drift(bench: Bench) -> None:
    bench.falsify(ppid=4_000_000)
    bench.audit.whole(lambda: bench.falsify(ppid=os.getpid()))
    assert bench.audit.total == 0


def test_what_a_process_changes_by_itself_is_taken_over(bench: Bench) -> None:
    bench.falsify(cmdline=b"an old title\0")
    bench.audit.whole(lambda: None)
    assert bench.process.entry.args == (b"sleep", b"60")
    assert dict(bench.audit.refreshed) == {"cmdline": 1}
    assert bench.audit.total == 0


def test_steps_go_round(bench: Bench) -> None:
    for _ in range(3):
        bench.audit.step(8)
    assert bench.audit.checked == 3


def test_this_host_does_not_drift() -> None:
    engine = open_engine()
    try:
        settle(engine)
        engine.audit.whole(lambda: settle(engine))
        assert engine.audit.checked > 1
        assert engine.audit.differences == []
        assert differences(engine, {os.getpid()}) == []
    finally:
        engine.feed.close()
