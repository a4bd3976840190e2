"""Recordings: what is replayed is what was recorded, without secrets, and damage is one clear line."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.model.entities import ContainerContext, LadderStep, ProcessEntry, Tiers, TierState, Usage
from core.model.events import CgroupMove, Event, Exec, Exit, Lost, Reaped, Sample, SnapshotRecord
from core.model.view import ViewRequest
from core.resolve.engine import Engine
from core.session.session import open_replay
from core.sources.feed import HostFacts, open_feed
from core.sources.recording import file as recording_file
from core.sources.recording.compression import zstd
from core.sources.recording.file import (
    FORMAT,
    MAX_BYTES,
    End,
    Events,
    Head,
    Looked,
    Named,
    RecordingError,
    Snapshot,
    Sweep,
    User,
    Writer,
    read,
)
from core.sources.recording.record import RecordingFeed
from core.sources.recording.replay import ReplayFeed
from core.system.host import LOCAL
from core.tree.rows import process_text
from core.tree.tree import Tree
from tests.core.resolve.entries import fork
from tests.core.session.listener import Listener, row_of
from tests.world import settle

SECOND = 1_000_000_000
HOST = HostFacts("vm", "6.18", "amd64")
NO_TIERS = Tiers(TierState(True), TierState(True), TierState(True), LadderStep.EVENTS_AND_MAPS)


def record(path: Path, probe: bool, what: list[list[str]]) -> Engine:
    """Record this host while some programs run; return the engine as it was at the end."""
    feed = RecordingFeed(open_feed(LOCAL, probe=probe), Writer(path))
    engine = Engine(feed)
    try:
        engine.start()
        for arguments in what:
            subprocess.run(arguments, check=True)
        settle(engine)
        engine.sweep()
        for process in engine.cache:
            engine.container(process.entry.cgroup)
            feed.note_user(process.entry.credentials.uid)
    finally:
        feed.close()
    return engine


def replayed(path: Path) -> Engine:
    engine = Engine(ReplayFeed(path, speed=0))
    engine.start()
    engine.pump()
    return engine


def go_through(feed: ReplayFeed) -> None:
    """Take all that had happened by now, each sweep at its place."""
    feed.events()
    while feed.sweep_due:
        feed.sweep()
        feed.events()


def facts(engine: Engine, began_ns: int) -> dict[int, tuple[object, ...]]:
    """Of those that ran before the recording: the host's others may be in flux as it ends."""
    return {
        p.entry.pid: (p.entry.start_ns, p.entry.ppid, p.entry.comm, p.entry.exe, p.origin)
        for p in engine.cache
        if p.exited_ns is None and p.entry.start_ns < began_ns
    }


@pytest.mark.parametrize("probe", [True, False], ids=["best tier", "procfs"])
def test_a_replay_is_what_was_recorded(tmp_path: Path, probe: bool) -> None:
    path = tmp_path / "host.rec"
    began_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    recorded = record(path, probe, [["/bin/true"], ["/bin/sh", "-c", "exit 0"]])
    again = replayed(path)
    assert facts(again, began_ns) == facts(recorded, began_ns) != {}
    assert again.feed.host == recorded.feed.host
    assert again.feed.tiers.step == recorded.feed.tiers.step
    assert again.feed.user_name(os.getuid()) == recorded.feed.user_name(os.getuid())
    if recorded.feed.exact:
        ended = {process.entry.comm for process in again.cache.ended}
        assert {b"true", b"sh"} <= ended


def test_secrets_do_not_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "host.rec"
    secret = "hunter2-" + "x" * 20
    child = subprocess.Popen([sys.executable, "-c", "input()", f"--password={secret}"], stdin=subprocess.PIPE)
    try:
        record(path, False, [])
        record(tmp_path / "events.rec", True, [["/bin/true", f"--password={secret}"]])
    finally:
        child.kill()
        child.wait()
    for file in (path, tmp_path / "events.rec"):
        data = zstd.decompress(file.read_bytes())
        assert secret.encode() not in data
        assert b"--password=" in data


def test_time_passes_as_it_was_recorded(tmp_path: Path) -> None:
    path = tmp_path / "host.rec"
    record(path, True, [["/bin/true"]])
    now = 0
    feed = ReplayFeed(path, speed=2.0, clock_ns=lambda: now)
    feed.sweep()
    first = feed.now_ns()
    now = 1_000_000
    assert feed.now_ns() == first + 2_000_000
    now = 3_600_000_000_000
    end = feed.now_ns()
    go_through(feed)
    assert feed.ended
    now *= 2
    assert feed.now_ns() == end


def test_a_file_that_exists_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        Writer(path)
    assert path.read_text() == "mine"


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    Writer(tmp_path / "r").close()
    assert (tmp_path / "r").stat().st_mode & 0o777 == 0o600
    assert MAX_BYTES < 2**30


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recordings") / "host.rec"
    record(path, False, [])
    return path


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.rec"
    path.write_bytes(whole.read_bytes()[:-40])
    assert len(list(read(path))) > 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        gzip.compress(b"", mtime=0),  # names of tests: no clock
        gzip.compress(b"\xff" * 100, mtime=0),
        zstd.compress(b""),
        zstd.compress(b"\xff" * 100),
        zstd.compress(b"\x00\x00\x00\x07tooshort"),
    ],
)
def test_what_is_no_recording_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no\x1brecording"
    path.write_bytes(content)
    with pytest.raises(RecordingError) as caught:
        list(read(path))
    assert str(caught.value).isprintable()


def test_recordings_of_before_in_gzip_are_read(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.rec"
    path.write_bytes(gzip.compress(zstd.decompress(whole.read_bytes())))
    assert list(read(path)) == list(read(whole))
    path.write_bytes(path.read_bytes()[:-40])
    assert len(list(read(path))) > 1


def test_what_unpacks_without_end_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "bomb.rec"
    message = b"\x00\x10\x00\x00" + b"\xc0" * 0x100000
    with zstd.ZstdFile(path, "w", level=1) as file:
        head = msgspec.msgpack.encode(Head(FORMAT, 1, HOST, NO_TIERS, True))
        file.write(len(head).to_bytes(4, "big") + head)
        for _ in range(8):
            file.write(message)
    with pytest.raises(RecordingError):
        list(read(path))
    path.write_bytes(zstd.compress(bytes(1 << 24), options={zstd.CompressionParameter.window_log: 27}))
    with pytest.raises(RecordingError):
        list(read(path))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_damage_is_an_error_or_a_shorter_recording(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    inside = data.draw(st.booleans())
    raw = bytearray(zstd.decompress(whole.read_bytes()) if inside else whole.read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    path = tmp_path_factory.mktemp("damaged") / "r"
    path.write_bytes(zstd.compress(bytes(raw), 1) if inside else raw)
    with contextlib.suppress(RecordingError):
        replayed(path)


def test_texts_of_a_hostile_recording_are_made_safe(tmp_path: Path) -> None:
    path = tmp_path / "evil.rec"
    evil = "\x1b]0;owned\x07"
    host = HostFacts(evil, evil, evil)
    state = TierState(True, evil)
    writer = Writer(path)
    writer.write(Head(FORMAT, 1, host, Tiers(state, state, state, LadderStep.PROCFS), True))
    entry = ProcessEntry(7, 1001, comm=evil.encode(), problem=evil, cgroup=b"/x")
    writer.write(Snapshot(2, [SnapshotRecord(entry, Usage(state=evil))]))
    writer.write(Sweep(2, [Sample(7, 1001, 0, 0, evil.encode(), 0, False, Usage(state=evil))]))
    evil_container = ContainerContext(
        id=evil, runtime=evil, name=evil, reason=evil, labels=((evil, evil), ("password", "hunter2"))
    )
    writer.write(Named(3, b"/x", evil_container))
    writer.write(User(4, 0, evil))
    writer.close()
    engine = replayed(path)
    (process,) = engine.cache
    shown = msgspec.json.encode([engine.feed.host, engine.feed.tiers, engine.view(process).container])
    assert b"u001b" not in shown
    assert b"hunter2" not in shown
    assert b"password" in shown
    assert process.entry.problem.isprintable()
    assert engine.feed.user_name(0).isprintable()
    assert process_text(process.entry).isprintable()


def test_a_step_of_the_ladder_that_is_none_is_refused_in_one_safe_line(tmp_path: Path) -> None:
    path = tmp_path / "step.rec"
    state = TierState(True)
    tiers = Tiers(state, state, state, LadderStep.PROCFS)
    msgspec.structs.force_setattr(tiers, "step", "\x1b]0;owned\x07")
    writer = Writer(path)
    writer.write(Head(FORMAT, 1, HostFacts("h", "k", "a"), tiers, True))
    writer.close()
    with pytest.raises(RecordingError) as refused:
        replayed(path)
    assert str(refused.value).isprintable()


def test_a_recording_names_no_more_levels_than_a_path_can_have(tmp_path: Path) -> None:
    """One made elsewhere may say that a container is in a thousand others, or in itself."""
    path = tmp_path / "deep.rec"
    writer = Writer(path)
    state = TierState(True)
    writer.write(
        Head(FORMAT, 1, HostFacts("h", "k", "a"), Tiers(state, state, state, LadderStep.PROCFS), True)
    )
    writer.write(Snapshot(2, [SnapshotRecord(ProcessEntry(7, 1001, comm=b"x", cgroup=b"/x"), Usage())]))
    writer.write(Sweep(2, [Sample(7, 1001, 0, 0, b"x", 0, False, Usage())]))
    container = None
    for number in range(100):
        container = ContainerContext(id=str(number), runtime="docker", paused=True, outer=container)
        container = ContainerContext(id="itself", runtime="docker", outer=container)
    assert container is not None
    writer.write(Named(3, b"/x", container))
    writer.close()
    engine = replayed(path)
    (process,) = engine.cache
    level = engine.view(process).container
    told = []
    while level is not None:
        told.append((level.id, level.paused))
        level = level.outer
    assert told == [("itself", False), *((str(number), True) for number in range(99, 92, -1))]


class Made:
    """A recording of events and sweeps at made-up times, replayed by a clock that the test sets."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.now_ns = SECOND
        self.writer = Writer(path)
        self.writer.write(Head(FORMAT, SECOND, HOST, NO_TIERS, True))

    def swept(self, at_ns: int, **cpu_ns: int) -> None:
        """A sweep that saw processes `p7`, `p8`…, each with the CPU time that it had used by then."""
        usages = {int(name[1:]): Usage(cpu_ns=used) for name, used in cpu_ns.items()}
        samples = [Sample(pid, pid * 1001, 0, 0, b"x", -1, False, used) for pid, used in usages.items()]
        self.writer.write(Sweep(at_ns, samples))

    def replayed(self) -> Engine:
        self.writer.close()
        engine = Engine(ReplayFeed(self.path, clock_ns=lambda: self.now_ns))
        engine.start()
        return engine


@pytest.fixture
def made(tmp_path: Path) -> Made:
    made = Made(tmp_path / "made.rec")
    snapshot = [SnapshotRecord(ProcessEntry(7, 7007, exec_id=1, comm=b"x"), Usage())]
    made.writer.write(Snapshot(SECOND + 1, snapshot))
    made.swept(SECOND + 2, p7=0)
    return made


def test_a_sweep_of_a_replay_ends_nobody_who_was_born_after_it(made: Made) -> None:
    """However late it is taken: it goes before the events that came after it."""
    made.swept(2 * SECOND, p7=0)
    made.writer.write(Events(2 * SECOND + 100, [fork(8, 7, ts=2 * SECOND + 50, start=8008)]))
    made.swept(3 * SECOND, p7=0, p8=0)
    engine = made.replayed()
    made.now_ns = 2 * SECOND + 500
    engine.pump()
    engine.sweep()  # as a session does from time to time
    assert {process.entry.pid for process in engine.cache if process.ended_ns is None} == {7, 8}
    made.now_ns = 4 * SECOND
    engine.pump()
    assert {process.entry.pid for process in engine.cache if process.ended_ns is None} == {7, 8}


def test_cpu_shares_of_a_replay_are_those_between_two_recorded_sweeps(made: Made) -> None:
    """Not those between two looks at the replay, which come earlier, later or never in its time."""
    made.swept(2 * SECOND, p7=100_000_000)
    made.swept(3 * SECOND, p7=200_000_000)
    made.swept(5 * SECOND, p7=1_200_000_000)
    engine = made.replayed()
    (process,) = engine.cache
    for now_ns, share in ((3 * SECOND + 900, 10.0), (5 * SECOND, 50.0), (9 * SECOND, 50.0)):
        made.now_ns = now_ns
        engine.pump()
        engine.sweep()
        assert process.usage is not None
        assert process.usage.cpu_percent == pytest.approx(share)


def test_the_commands(tmp_path: Path) -> None:
    import json

    path = tmp_path / "host.rec"
    run = [sys.executable, "-m", "tui.cli.main"]
    done = subprocess.run(
        [*run, "record", str(path), "--duration", "1", "--json"], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    assert told["bytes"] == path.stat().st_size
    shown = json.loads(subprocess.check_output([*run, "replay", str(path), "--json"], text=True))
    assert shown["schema"] == "ebpf-tui/replay/1"
    assert os.getpid() in {process["pid"] for process in shown["processes"]}
    again = subprocess.run([*run, "record", str(path)], capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    path.write_bytes(b"nothing")
    broken = subprocess.run(
        [*run, "replay", str(path), "--json"], capture_output=True, text=True, check=False
    )
    assert (broken.returncode, broken.stderr.count("\n")) == (1, 1)


def test_a_replay_is_held_skipped_and_runs_at_another_speed(tmp_path: Path) -> None:
    path = tmp_path / "host.rec"
    record(path, False, [])
    now = 0
    feed = ReplayFeed(path, speed=0.001, clock_ns=lambda: now)
    feed.sweep()
    first = feed.now_ns()
    now = 1_000_000
    feed.hold(True)
    now = 9_000_000
    assert feed.now_ns() == first + 1_000
    feed.skip(5_000)
    assert feed.now_ns() == first + 6_000
    feed.hold(False)
    assert feed.now_ns() == first + 6_000
    feed.set_speed(0.01)
    now += 100_000
    assert feed.now_ns() == first + 7_000
    assert feed.position.ns == 7_000
    feed.skip(10**15)
    assert feed.position.ns == feed.position.length_ns
    go_through(feed)
    assert feed.ended


def test_a_paused_replay_is_stepped_forward_and_back(tmp_path: Path) -> None:
    path = tmp_path / "host.rec"
    record(path, True, [["/bin/sleep", "0.3"], ["/bin/sleep", "0.4"]])
    shown = Listener.on(open_replay(path, 0.0001))
    session = shown.session
    session.request(ViewRequest(height=100_000))
    session.start()
    try:
        shown.wait(lambda frame: row_of(frame, os.getpid()) is not None)
        session.pause(True)
        frame = shown.wait(lambda frame: frame.header.paused)
        early = frame.window.processes
        for _ in range(50):
            session.step(100_000_000)
            frame = shown.wait(lambda frame, last=frame: frame.revision > last.revision)  # type: ignore[misc]
            assert frame.header.replay is not None
            if frame.header.replay.ns >= frame.header.replay.length_ns:
                break
        assert frame.header.replay is not None
        assert frame.header.replay.ns == frame.header.replay.length_ns
        for _ in range(50):
            session.step(-1_000_000_000)
            frame = shown.wait(lambda frame, last=frame: frame.revision > last.revision)  # type: ignore[misc]
            if frame.header.past.at_start:
                break
        assert frame.header.past.at_start
        assert frame.window.processes <= early
    finally:
        session.stop()
    assert shown.errors == []


def test_a_file_that_unpacks_to_more_than_a_recording_holds_is_given_up(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording_file, "MAX_UNPACKED", 100_000)
    monkeypatch.setattr(recording_file, "_MAX_MESSAGE", 10_000_000)
    (head, *_) = read(whole)
    writer = Writer(tmp_path / "bomb.rec")
    writer.write(head)
    assert not writer.full
    for number in range(200):
        writer.write(User(number, 0, "x" * 1_000_000))
    assert writer.full
    writer.close()
    assert (tmp_path / "bomb.rec").stat().st_size < 1_000_000
    with pytest.raises(RecordingError, match="unpacks to more"):
        list(read(tmp_path / "bomb.rec"))


def packed(*messages: object) -> bytes:
    """The stream of a recording before it is compressed; bytes are a message as they are."""
    datas = [one if isinstance(one, bytes) else msgspec.msgpack.encode(one) for one in messages]
    return b"".join(len(data).to_bytes(4, "big") + data for data in datas)


HEAD = Head(FORMAT, 1000, HOST, NO_TIERS, True)
NAN, INFINITE = float("nan"), float("inf")


def born(**facts: int) -> ProcessEntry:
    return ProcessEntry(**({"pid": 10, "start_ns": 500, "comm": b"x"} | facts))  # type: ignore[arg-type]


def nested(levels: int) -> bytes:
    level = b"\x82\xa2id\xa1a\xa5outer"
    named = b"\x84\xa4type\xa5Named\xa5ts_ns\xcd\x03\xe9\xa6cgroup\xc4\x02/a\xa9container"
    return named + level * levels + level + b"\xc0"


def listed(kind: str, field: str, count: int, one: bytes) -> bytes:
    head = msgspec.msgpack.encode({"type": kind, "ts_ns": 1001})
    name = msgspec.msgpack.encode(field)
    return b"\x83" + head[1:] + name + b"\xdd" + count.to_bytes(4, "big") + one * count


@pytest.mark.parametrize(
    "message",
    [
        Snapshot(1001, [SnapshotRecord(born(), Usage(cpu_percent=NAN))]),
        Snapshot(1001, [SnapshotRecord(born(), Usage(cpu_percent=INFINITE))]),
        Snapshot(1001, [SnapshotRecord(born(), Usage(cpu_percent=-1.0))]),
        Snapshot(1001, [SnapshotRecord(born(), Usage(cpu_ns=2**64 - 1))]),
        Snapshot(1001, [SnapshotRecord(born(), Usage(threads=-1))]),
        Snapshot(1001, [SnapshotRecord(born(pid=-7), Usage())]),
        Snapshot(1001, [SnapshotRecord(born(start_ns=2**63), Usage())]),
        Snapshot(1001, [SnapshotRecord(born(exec_id=-1), Usage())]),
        Snapshot(-(2**63), []),
        Snapshot(2**63, []),
        Sweep(1001, [Sample(10, -1, 0, 0, b"x", 0, False, Usage())]),
        Sweep(1001, [Sample(10, 500, 0, 0, b"x", 0, False, Usage(rss_bytes=-1))]),
        Events(1001, [Exec(1001, born(ppid=-1))]),
        Events(1001, [Exit(-1, 10, 500, 0)]),
        Events(1001, [fork(8, -7, ts=1001, start=500)]),
        Events(1001, [Reaped(1001, 2**40, 500)]),
        Events(1001, [CgroupMove(1001, 10, -500, 1, b"")]),
        Events(1001, [Lost(1001, -5)]),
        Looked(1001, born(fork_ns=-1), Usage()),
        HEAD,
        nested(20_000),
        listed("Pids", "pids", 131_073, b"\x01"),
        listed("Events", "events", 131_073, msgspec.msgpack.encode(Lost(1, 1))),
        b"\x82\xa4type\xa4Pids\xa4pids\xdd\xff\xff\xff\xff\x01",
        User(1001, 0, "x" * (1 << 20)),
    ],
    ids=lambda message: message[:40].hex() if isinstance(message, bytes) else repr(message)[:60],
)
def test_what_no_host_can_have_said_is_one_line(tmp_path: Path, message: object) -> None:
    path = tmp_path / "r"
    path.write_bytes(zstd.compress(packed(HEAD, message, End(3000))))
    with pytest.raises(RecordingError) as caught:
        ReplayFeed(path)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("format_", [0, 2, 10**6])
def test_another_format_is_named(tmp_path: Path, format_: int) -> None:
    path = tmp_path / "r"
    head = {"type": "Head", "format": format_, "something": "new"}
    path.write_bytes(zstd.compress(packed(msgspec.msgpack.encode(head), End(3000))))
    with pytest.raises(RecordingError, match=rf"ebpf-tui \(format {format_}, not {FORMAT}\)"):
        list(read(path))


def test_a_whole_stream_that_ends_inside_a_message_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    """As after a crash between two writes: the compressed file is whole, the last message is not."""
    stream = packed(HEAD, Snapshot(1001, [SnapshotRecord(born(), Usage())]), User(1002, 0, "root"))
    last = len(packed(User(1002, 0, "root")))
    for missing in range(1, last):
        path = tmp_path / str(missing)
        path.write_bytes(zstd.compress(stream[:-missing]))
        assert [type(message) for message in read(path)] == [Head, Snapshot]


def test_as_many_records_as_a_recording_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records are counted, not bytes: a million of the smallest pack into some kilobytes."""
    monkeypatch.setattr(recording_file, "MAX_RECORDS", 500)
    monkeypatch.setattr(recording_file, "MOST_RECORDS", 100)
    writer = Writer(tmp_path / "r")
    writer.write(HEAD)
    writer.write(Events(1001, [Lost(1001, 1)] * 450))
    assert not writer.full
    writer.write(Events(1001, [Lost(1001, 1)] * 60))
    assert writer.full
    writer.write(Events(1001, [Lost(1001, 1)] * 100))
    writer.close()
    with pytest.raises(RecordingError, match="more records"):
        list(read(tmp_path / "r"))


def test_a_replay_that_changes_while_it_is_read_ends_there(whole: Path, tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(zstd.compress(packed(HEAD, *[User(1000 + n, n, "x" * 1000) for n in range(3000)])))
    feed = ReplayFeed(path, speed=0)
    with open(path, "r+b") as file:
        file.truncate(100)
    feed.events()
    assert feed.ended


def test_time_never_goes_back(tmp_path: Path) -> None:
    path = tmp_path / "r"
    path.write_bytes(zstd.compress(packed(HEAD, User(2000, 0, "a"), User(5, 1, "b"), Sweep(1, []), End(3))))
    assert [message.ts_ns for message in read(path)] == [1000, 2000, 2000, 2000, 2000]
    assert ReplayFeed(path, speed=0).position.length_ns == 1000


def test_losses_that_come_together_are_one(tmp_path: Path) -> None:
    path = tmp_path / "r"
    events: list[Event] = [Lost(1001, 2), Exit(1001, 10, 500, 0), Lost(1002, 3), Reaped(1002, 10, 500)]
    path.write_bytes(zstd.compress(packed(HEAD, Sweep(1000, []), Events(1002, events), End(3000))))
    feed = ReplayFeed(path, speed=0)
    feed.sweep()
    assert feed.events() == [events[1], Lost(1002, 5), events[3]]


def test_containers_that_are_in_each_other_do_not_go_round_for_ever(tmp_path: Path) -> None:
    """The pod of one is told to be in the other, and the other way round."""
    path = tmp_path / "r"
    made = random.Random(5)
    for _ in range(200):
        names = [Named(1001, b"/%d" % at, _made_up(made, 0)) for at in range(4)]
        found = [SnapshotRecord(born(pid=10 + at, cgroup=b"/%d" % at), Usage()) for at in range(4)]  # type: ignore[arg-type]
        path.write_bytes(zstd.compress(packed(HEAD, *names, Snapshot(1002, found), End(3000))))
        engine = replayed(path)
        tree = Tree(str)
        for process in engine.cache:
            tree.put(engine.view(process))
        window = tree.window(ViewRequest(height=100), 3000)
        assert {row.pid for row in window.rows if row.pid} == {10, 11, 12, 13}


def _made_up(made: random.Random, depth: int) -> ContainerContext:
    names = ("a", "b", "a" * 64, "ctr:" + "c" * 60, "c" * 60, "pod:" + "u" * 60, "host")
    return ContainerContext(
        id=made.choice(names),
        runtime="lxc",
        name=made.choice((None, "n")),
        pod=made.choice((None, "p", "q")),
        pod_uid=made.choice((None, None, "u" * 60, "v")),
        outer=_made_up(made, depth + 1) if depth < 4 and made.random() < 0.6 else None,
    )
