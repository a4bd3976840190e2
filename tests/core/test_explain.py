"""The explain pane's words: safe, scrubbed, and truthful about what is not known."""

from __future__ import annotations

import msgspec

from core.explain import explanation
from core.lineage import Lineage, Process
from core.model import Origin, ProcessEntry, Resolution
from core.stats import Stats
from core.view import Explanation, ProcessView


def explain(*entries: ProcessEntry, **state: object) -> Explanation:
    """Explain the last of these processes."""
    lineage = Lineage(Stats())
    process: Process | None = None
    for entry in entries:
        process = lineage.insert(entry, Origin.SNAPSHOT)
    assert process is not None
    for name, value in state.items():
        setattr(process, name, value)
    resolution = Resolution(process.entry.pid, None, None, None, ())
    view = ProcessView(process.entry, None, Origin.SNAPSHOT)
    return explanation(process, resolution, view)


def entry(pid: int, ppid: int, comm: bytes, **facts: object) -> ProcessEntry:
    return msgspec.structs.replace(ProcessEntry(pid, pid * 1001, ppid=ppid, comm=comm), **facts)


INIT = entry(1, 0, b"init")


def test_the_lineage_is_oldest_first() -> None:
    told = explain(INIT, entry(5, 1, b"sh"), entry(6, 5, b"sleep"))
    assert told.lineage == ("init", "sh", "sleep")
    assert "broken" not in dict(told.image)


def test_a_line_that_cannot_be_trusted_says_where() -> None:
    assert dict(explain(entry(6, 5, b"sleep")).image)["broken"] == "incomplete at pid 6"
    told = explain(INIT, entry(6, 1, b"sleep"), parent_missing=True)
    assert dict(told.image)["broken"] == "missing parent at pid 6"


def test_secrets_and_controls_do_not_get_through() -> None:
    told = explain(
        INIT, entry(6, 1, b"\x1b[2J", cmdline=b"curl\0--password=hunter2\0\x1b\0", exe=b"/bin/\xff")
    )
    image = dict(told.image)
    assert "hunter2" not in image["args"]
    assert all(text.isprintable() for text in (*image.values(), *told.lineage))
    assert image["exe"].startswith("/bin/\\xff")


def test_what_is_not_known_is_said_or_left_out() -> None:
    image = dict(explain(entry(6, 0, b"x")).image)
    assert image["exe"] == "not known"
    assert "namespaces" not in image
    assert "script" not in image


def test_exits_are_told_as_wait_encodes_them() -> None:
    for code, words in ((256 * 3, "exit code 3"), (9, "killed by signal 9"), (None, "ended unseen")):
        told = explain(INIT, entry(6, 1, b"x"), exited_ns=7, exit_code=code)
        assert dict(told.image)["exit"] == words
