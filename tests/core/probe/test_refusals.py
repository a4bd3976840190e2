"""Why the kernel tier is off: what was no refusal is tried again, and reasons are words."""

from __future__ import annotations

import errno
import signal
import threading
import time
from types import FrameType

import pytest

from core.probe.libbpf import LibbpfError
from core.probe.loader import Probe
from core.probe.refusals import ProbeUnavailable, explained, refusal
from core.system.host import LOCAL
from tests.loaded_probe import load_probe


def test_signals_during_verification_do_not_cost_the_probe() -> None:
    """The verifier gives up when a signal waits for the thread that it runs in."""
    load_probe().close()
    outcome: list[object] = []

    def load() -> None:
        try:
            probe = Probe(LOCAL)
            outcome.append(dict(probe.missing))
            probe.close()
        except ProbeUnavailable as why:
            outcome.append(str(why))

    def ignore(number: int, frame: FrameType | None) -> None:
        pass

    undisturbed = Probe(LOCAL)
    expected = dict(undisturbed.missing)
    undisturbed.close()
    before = signal.signal(signal.SIGUSR2, ignore)
    try:
        thread = threading.Thread(target=load)
        thread.start()
        end = time.monotonic() + 2
        while time.monotonic() < end and thread.is_alive():
            signal.pthread_kill(thread.ident or 0, signal.SIGUSR2)
        thread.join(30)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert outcome == [expected]


LOG = (
    "libbpf: prog 'on_fork': BPF program load failed: Resource temporarily unavailable",
    "libbpf: prog 'on_fork': -- BEGIN PROG LOAD LOG --",
    "0: R1=ctx() R10=fp0",
    "; task = (void *)ctx[1]; @ process.bpf.c:120",
    "35: (85) call bpf_probe_read_kernel#113",
    "processed 36 insns (limit 1000000) max_states_per_insn 0",
    "-- END PROG LOAD LOG --",
    "libbpf: prog 'on_fork': failed to load: -11",
    "libbpf: failed to load object 'ebpf_tui'",
)


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EACCES, errno.EINVAL, errno.E2BIG, 524, 9999])
def test_no_line_of_the_verifiers_log_is_the_reason(number: int) -> None:
    error = LibbpfError(number, "bpf_object__load", LOG)
    for text in (refusal(error), str(explained(error))):
        assert not [line for line in LOG if line in text], text
        assert "--log-file" in text
