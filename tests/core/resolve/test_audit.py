"""The audit finds what the cache has wrong, mends it, and leaves in peace what is only in flight."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from core.model.entities import Origin, ProcessEntry
from core.resolve.audit import CHECKS_KEPT, DIFFERENCES_KEPT, Audit
from core.resolve.metrics import Counters
from core.resolve.process_cache import Process, ProcessCache
from core.session.explainer import drift_words
from core.sources.procfs import Procfs
from core.system.host import LOCAL
from tests.world import differences, open_engine, settle


class Bench:
    """A cache with one real process in it, read from /proc."""

    def __init__(self, pid: int) -> None:
        self.cache = ProcessCache(Counters())
        self.pid = pid
        self.now_ns = 7_000_000_000
        self.audit = Audit(self.cache, Procfs(LOCAL), lambda cgroup: None, self.clock)
        self.process = self.cache.insert(Procfs(LOCAL).entry(pid)[0], Origin.PROCFS)

    def clock(self) -> int:
        return self.now_ns

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

    def correct() -> None:
        bench.falsify(ppid=os.getpid())

    bench.audit.whole(correct)
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


def test_what_was_found_in_one_process_is_told_with_its_time(bench: Bench) -> None:
    key = bench.process.key
    assert drift_words(bench.audit, key, bench.now_ns) == "not checked yet"
    bench.audit.step(8)
    assert drift_words(bench.audit, key, bench.now_ns + 12_000_000_000) == "none, checked 12s ago"
    bench.falsify(ppid=4_000_000)
    bench.audit.whole(lambda: None)
    bench.now_ns += 3_000_000_000
    bench.audit.step(8)
    found = f"ppid was 4000000, /proc had {os.getpid()}, corrected 5s ago, checked 2s ago"
    assert drift_words(bench.audit, key, bench.now_ns + 2_000_000_000) == found
    assert bench.audit.total == 1
    assert drift_words(bench.audit, bench.process.key._replace(start_ns=1), 0) == "not checked yet"


def test_who_is_explained_is_looked_at_in_every_step(bench: Bench) -> None:
    bench.audit.wanted = bench.process.key
    bench.audit.step(0)
    assert bench.audit.checked_ns(bench.process.key) == bench.now_ns
    bench.falsify(inode=12345)
    bench.audit.step(0)
    bench.audit.step(0)
    assert [one.field for one in bench.audit.differences_of(bench.process.key)] == ["image"]


def test_what_an_audit_keeps_is_bounded(bench: Bench) -> None:
    for pid in range(CHECKS_KEPT + 1):
        bench.audit._note_check(ProcessEntry(pid, 1).key)
    assert len(bench.audit._checks) == CHECKS_KEPT
    assert bench.audit.checked_ns(ProcessEntry(0, 1).key) is None
    for inode in range(1, DIFFERENCES_KEPT + 2):
        bench.falsify(inode=inode)
        bench.audit.whole(lambda: None)
    assert len(bench.audit.differences) == DIFFERENCES_KEPT
    assert bench.audit.differences[0].cached == "inode 2"
    assert bench.audit.total == DIFFERENCES_KEPT + 1


def test_this_host_does_not_drift() -> None:
    engine = open_engine()
    try:
        settle(engine)
        engine.audit.whole(lambda: settle(engine))
        assert engine.audit.checked > 1
        assert list(engine.audit.differences) == []
        assert differences(engine, {os.getpid()}) == []
    finally:
        engine.feed.close()
