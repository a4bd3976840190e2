"""Decodes the records of a sweep, one per thread, as samples of processes; only changed ones are decoded."""

from __future__ import annotations

from struct import Struct
from typing import Any

from core.model.entities import Usage
from core.model.events import Sample
from core.probe.layout import KTHREAD, NEW_RIGHTS, PAGE, state_letter, text

SAMPLE = Struct("=3Q8I16s")
"""struct sample in process.bpf.c."""

_PID = Struct("=24xI44x")
_ZOMBIE = 0x20  # EXIT_ZOMBIE


class Samples:
    """Makes the samples of successive sweeps. Keeps those of the latest, one per process.

    Most processes sleep, and their records are the same bytes as two seconds ago: of 10,000 a few dozen are
    decoded, and the samples of the others are the same objects as before.
    """

    def __init__(self) -> None:
        self._records: set[bytes] = set()
        self._samples: dict[int, Sample] = {}
        self.decoded = 0
        """How many processes changed between the previous and the latest sweep."""

    def decode(self, data: bytes) -> list[Sample]:
        """Return one sample per process. An incomplete last record, which no kernel sends, is left out."""
        size = SAMPLE.size
        data = data[: len(data) - len(data) % size]
        records = [data[start : start + size] for start in range(0, len(data), size)]
        pids = [pid for (pid,) in _PID.iter_unpack(data)]
        now = set(records)
        changed = {pid for (pid,) in map(_PID.unpack, now ^ self._records)}
        self._records = now
        fresh = [SAMPLE.unpack(record) for record, pid in zip(records, pids, strict=True) if pid in changed]
        before = self._samples
        self._samples = {
            pid: before[pid] for pid in dict.fromkeys(pids) if pid not in changed and pid in before
        }
        for sample in _samples(fresh):
            self._samples[sample.pid] = sample
        self.decoded = len(changed)
        return list(self._samples.values())


def _samples(records: list[tuple[Any, ...]]) -> list[Sample]:
    """Return one sample per process; `records` has all records of each process.

    A process with an ended first thread is alive: its sample has the state of another of its threads.
    """
    leaders = []
    cpu: dict[int, int] = {}
    others: dict[int, int] = {}
    for record in records:
        cpu[record[3]] = cpu.get(record[3], 0) + record[1]
        if record[4]:
            leaders.append(record)
        else:
            others[record[3]] = record[9]
    return [
        Sample(
            pid,
            start_ns,
            exec_id,
            ppid,
            text(comm),
            uid,
            bool(flags & KTHREAD),
            Usage(
                cpu[pid],
                rss * PAGE,
                state_letter(others.get(pid, state) if state & _ZOMBIE else state),
                threads,
            ),
            new_rights=bool(flags & NEW_RIGHTS),
        )
        for start_ns, _, rss, pid, _, ppid, exec_id, uid, flags, state, threads, comm in leaders
    ]
