"""The explain pane's words: safe, scrubbed, and truthful about what is not known."""

from __future__ import annotations

import msgspec

from core.explain.process import Moment, explanation
from core.model.entities import Credentials, Origin, ProcessEntry, Resolution
from core.model.view import Explanation, ProcessView
from core.resolve.metrics import Counters
from core.resolve.process_cache import Process, ProcessCache

SECOND = 1_000_000_000
NOW = 1000 * SECOND


def explain(*entries: ProcessEntry, **state: object) -> Explanation:
    """Explain the last of these processes."""
    cache = ProcessCache(Counters())
    process: Process | None = None
    for entry in entries:
        process = cache.insert(entry, Origin.SNAPSHOT)
    assert process is not None
    for name, value in state.items():
        setattr(process, name, value)
    resolution = Resolution(process.entry.pid, None, None, None, ())
    view = ProcessView(process.entry, None, Origin.SNAPSHOT)
    return explanation(process, resolution, view, Moment(NOW))


def entry(pid: int, ppid: int, comm: bytes, **facts: object) -> ProcessEntry:
    return msgspec.structs.replace(ProcessEntry(pid, pid * 1001, ppid=ppid, comm=comm), **facts)


INIT = entry(1, 0, b"init")


def test_the_lineage_is_oldest_first() -> None:
    told = dict(explain(INIT, entry(5, 1, b"sh"), entry(6, 5, b"sleep")).story)
    assert told["lineage"] == "init(1) › sh(5) › sleep(6)"
    assert "broken" not in told
    assert "execs" not in told


def test_a_long_lineage_is_cut_at_its_old_end() -> None:
    line = [entry(pid, pid - 1, b"sh%d" % pid) for pid in range(1, 31)]
    told = dict(explain(*line).story)["lineage"]
    assert told.startswith("… › sh14(14) › ")
    assert told.endswith(" › sh30(30)")


def test_a_line_that_cannot_be_trusted_says_where() -> None:
    assert dict(explain(entry(6, 5, b"sleep")).story)["broken"] == "incomplete at pid 6"
    told = explain(INIT, entry(6, 1, b"sleep"), parent_missing=True)
    assert dict(told.story)["broken"] == "missing parent at pid 6"


def test_fork_and_exec_are_told_as_ages() -> None:
    for exec_ns, words in (
        (0, "exec time not known"),
        (880 * SECOND, "exec time not known"),  # as the snapshot and /proc have it
        (900 * SECOND, "exec 1m ago"),
        (700 * SECOND, "no exec since then"),  # its parent's
    ):
        told = explain(entry(6, 0, b"x", start_ns=880 * SECOND, exec_ns=exec_ns))
        assert dict(told.story)["times"] == f"forked 2m ago, {words}"
    thread = explain(entry(6, 0, b"x", start_ns=880 * SECOND, kthread=True))
    assert dict(thread.story)["times"] == "forked 2m ago"
    assert "exe" not in dict(thread.facts)


def test_the_images_before_stand_with_their_ages() -> None:
    born = entry(6, 1, b"sh", start_ns=900 * SECOND, exec_ns=1 * SECOND, exec_id=3)
    images = (born, msgspec.structs.replace(born, comm=b"env", exec_ns=910 * SECOND, exec_id=4))
    now = msgspec.structs.replace(born, comm=b"node", exec_ns=996 * SECOND, exec_id=5)
    assert dict(explain(INIT, now, images=images).story)["execs"] == "sh (fork) › env (1m) › node (4s)"


def test_secrets_and_controls_do_not_get_through() -> None:
    told = explain(
        INIT, entry(6, 1, b"\x1b[2J", cmdline=b"curl\0--password=hunter2\0\x1b\0", exe=b"/bin/\xff")
    )
    facts = dict(told.facts)
    assert "hunter2" not in facts["args"]
    assert all(text.isprintable() for _, text in (*told.facts, *told.story))
    assert facts["exe"].startswith("/bin/\\xff")


def test_what_is_not_known_is_said_or_left_out() -> None:
    facts = dict(explain(entry(6, 0, b"x")).facts)
    assert facts["exe"] == "not known"
    assert "namespaces" not in facts
    assert "script" not in facts


def test_capabilities_have_names() -> None:
    one = Credentials(cap_effective=1 << 13, cap_permitted=1 << 13)
    told = explain(entry(6, 0, b"x", credentials=one))
    assert dict(told.facts)["caps"] == "effective and permitted: CAP_NET_RAW"
    told = explain(entry(6, 0, b"x", credentials=msgspec.structs.replace(one, cap_permitted=(1 << 41) - 1)))
    at = told.facts.index(("caps", "effective: CAP_NET_RAW"))
    assert told.facts[at + 1] == ("", "permitted: all")


def test_exits_are_told_as_wait_encodes_them() -> None:
    for code, words in (
        (256 * 3, "exit code 3"),
        (9, "killed by signal 9"),
        (None, "exit code not known"),
    ):
        told = explain(INIT, entry(6, 1, b"x"), exited_ns=997 * SECOND, exit_code=code)
        assert dict(told.story)["times"].endswith(f", exited 3s ago: {words}")
