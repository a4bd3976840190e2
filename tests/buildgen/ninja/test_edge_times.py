"""What ninja's log says of earlier builds, and what is left of one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from buildgen.events import EdgeFinished
from buildgen.ninja.edge_times import edge_seconds, of_outputs, seconds_left
from buildgen.ninja.runner import run_build
from buildgen.objects import compare, read_object
from buildgen.plan.plan import plan
from buildgen.project.project import load_project


def test_the_log_of_a_real_build(co_re: Path) -> None:
    made = plan(load_project(co_re))
    finished = [event for event in run_build(made) if isinstance(event, EdgeFinished)]
    known = edge_seconds(made.out)
    assert known.keys() == {event.output for event in finished}
    for event in finished:
        assert known[event.output] == pytest.approx(event.seconds, abs=0.4)
    assert of_outputs(known, [made.targets[0].label]) == known
    assert of_outputs(known, ["other.o"]) == {}


def test_a_missing_or_foreign_log(tmp_path: Path) -> None:
    assert edge_seconds(tmp_path) == {}
    (tmp_path / ".ninja_log").write_bytes(
        b"\xff\0# ninja log v5\n1\t2\t3\nx\ty\tz\ta\tb\n10\t1510\t0\ta.o\tff\n"
    )
    assert edge_seconds(tmp_path) == {"a.o": 1.5}


def test_what_is_left() -> None:
    known = {"a.bc": 4.0, "a.o": 2.0}
    assert seconds_left({}, {"a.bc": 1.0}, 3) is None
    assert seconds_left(known, {}, 0) is None
    assert seconds_left(known, {"a.bc": 1.0}, 0) == 3.0
    assert seconds_left(known, {"a.bc": 9.0}, 0) == 0.0  # longer than ever before
    assert seconds_left(known, {"a.bc": 1.0, "new.bc": 0.0}, 2) == 6.0  # 3 + 3, and 2 x 3, two at a time


def test_the_previous_object_is_kept_when_it_was_another(co_re: Path) -> None:
    def build() -> None:
        for _event in run_build(made):
            pass

    made = plan(load_project(co_re))
    build()
    (target,) = made.targets
    previous = target.output.with_name(target.output.name + ".prev")
    assert not previous.exists()
    first = target.output.read_bytes()
    source = co_re / "one.bpf.c"
    source.write_text(source.read_text().replace("return VALUE", "return (int)(long)ctx * VALUE"))
    build()
    assert previous.read_bytes() == first
    assert not compare(read_object(previous), read_object(target.output)).same
    source.touch()  # built again, but the same: what was before the change stays
    build()
    assert previous.read_bytes() == first
    assert sorted(path.suffix for path in target.output.parent.iterdir()) == [".bc", ".o", ".prev"]
