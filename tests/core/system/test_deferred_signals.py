"""Signals that end the program wait until what has just been started is known."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType

import pytest

from core.system.deferred_signals import deferred_signals


class Ended(Exception):
    pass


def _end(_number: int, _frame: FrameType | None) -> None:
    raise Ended


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_comes_after_the_block(number: signal.Signals) -> None:
    before = signal.signal(number, _end)
    steps: list[str] = []

    def go_on() -> None:
        with deferred_signals():
            os.kill(os.getpid(), number)
            steps.append("the block went on")

    try:
        with pytest.raises(Ended):
            go_on()
        assert steps == ["the block went on"]
        assert signal.getsignal(number) is _end
        with deferred_signals():
            pass
    finally:
        signal.signal(number, before)


def test_what_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with deferred_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_it_does_nothing() -> None:
    seen: list[object] = []

    def work() -> None:
        with deferred_signals():
            seen.append(signal.getsignal(signal.SIGINT))

    handler = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]
