"""The harness itself: it finds each kind of failure, keeps the input, and lets the allowed errors pass."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fuzz import harness
from tests.fuzz.harness import MB, fuzz, mutator


@pytest.fixture(autouse=True)
def _reproducers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness, "REPRODUCERS", tmp_path)


def _raise(data: bytes) -> None:
    raise KeyError("not allowed")


def _swallow_memory(data: bytes) -> None:
    bytearray(300 * MB)


def _recurse(data: bytes) -> None:
    _recurse(data)


def _spin(data: bytes) -> None:
    while True:
        pass


def _die(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def _wait(data: bytes) -> None:
    time.sleep(20)


@pytest.mark.parametrize(
    ("target", "what"),
    [
        (_raise, "KeyError"),
        (_swallow_memory, "MemoryError"),
        (_recurse, "RecursionError"),
        (_spin, "processor time"),
        (_die, "SIGSEGV"),
        (_wait, "did not end"),
    ],
)
def test_each_kind_of_failure_is_found_and_its_input_kept(
    target: Callable[[bytes], object], what: str, tmp_path: Path
) -> None:
    with pytest.raises(pytest.fail.Exception, match=what):
        fuzz(
            target,
            [b"the input"],
            (RuntimeError, OSError),
            name="t",
            cpu_seconds=1,
            waiting_seconds=3 if target is _wait else 60,
            seconds=0,
        )
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"the input"]


def test_allowed_errors_pass_and_mutations_follow_the_seeds() -> None:
    def target(data: bytes) -> None:
        raise ValueError(data[:1])

    assert fuzz(target, [b"a", b"b"], (ValueError,), name="t", seconds=0.3) > 2


def test_what_needs_two_steps_is_found_as_the_first_step_is_kept(tmp_path: Path) -> None:
    """An input that ended in a new way is mutated further."""

    def target(data: bytes) -> None:
        assert b"secondfirst" not in data
        if b"first" in data:
            raise ValueError("first")

    with pytest.raises(pytest.fail.Exception, match="AssertionError"):
        fuzz(target, [b"x"], (ValueError,), name="t", mutate=mutator([b"first", b"second"]), seconds=60)


def test_the_same_seed_gives_the_same_inputs() -> None:
    mutate = mutator([b"token"])
    once, again = (
        [mutate(rng, b"some bytes", [b"others"]) for _ in range(50)]
        for rng in (random.Random(7), random.Random(7))
    )
    assert once == again
