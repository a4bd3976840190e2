"""One way to fuzz a parser of foreign bytes: mutated inputs, in a child with limits on memory and time.

A target is a function of bytes. It may return, or raise one of its `allowed_errors`; whatever else happens
(another exception, an assertion, a signal, too much memory, time or waiting) fails the test, and the input is
kept in build/fuzz/. Copied into tests/fuzz/corpus/NAME/ it is run first from then on.

Environment: FUZZ_SECONDS (how long a target runs, 3), FUZZ_SEED (a number; another sequence of inputs).
"""

from __future__ import annotations

import ctypes
import faulthandler
import hashlib
import mmap
import os
import random
import re
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.places import ROOT

CORPUS = ROOT / "tests/fuzz/corpus"
REPRODUCERS = ROOT / "build/fuzz"
MB = 1 << 20

_LONGEST = 4 * MB
"""Bytes of the longest input; what a mutation makes longer is cut."""
_MOST_KEPT = 512
"""Inputs that ended in a way not seen before, and are mutated further."""
_PR_SET_PDEATHSIG = 1

Mutate = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def corpus(name: str) -> list[bytes]:
    """Return the files of tests/fuzz/corpus/NAME/, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]


def fuzz(
    target: Callable[[bytes], object],
    seeds: Sequence[bytes],
    allowed_errors: tuple[type[Exception], ...] = (),
    *,
    mutate: Mutate | None = None,
    name: str,
    memory: int = 256 * MB,
    cpu_seconds: float = 5,
    waiting_seconds: float = 60,
    seconds: float | None = None,
) -> int:
    """Run `target` on each seed, then on mutations until the time is over; return how many inputs ran.

    memory: bytes of address space that one input may add.
    cpu_seconds: processor time that one input may take, in the target itself (not in its children).
    waiting_seconds: wall clock that one input may take.
    MemoryError and RecursionError are failures even where `allowed_errors` covers them.
    The target runs in a forked child: what it changes in memory is gone afterwards.
    """
    seconds = float(os.environ.get("FUZZ_SECONDS", "3")) if seconds is None else seconds
    shared = _Shared()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            _end_with_parent()
            rng = random.Random(int(os.environ.get("FUZZ_SEED", "1")))
            inputs = _inputs(rng, seeds, mutate or mutator(), seconds)
            problem = _run(target, inputs, allowed_errors, shared, memory=memory, cpu_seconds=cpu_seconds)
            os.write(writing, problem.encode(errors="backslashreplace")[-60_000:])
        finally:
            os._exit(0)
    os.close(writing)
    problem = _watch(child, reading, shared, waiting_seconds, cpu_seconds)
    if problem:
        path = _keep(name, shared.data)
        pytest.fail(
            f"{name}: input {shared.count} of {len(shared.data)} bytes, kept as {path}\n{problem}", False
        )
    return shared.count


def mutator(tokens: Sequence[bytes] = ()) -> Mutate:
    """Return a mutation of bytes: bits, edge numbers, pieces cut, doubled, spliced; tokens of the grammar."""

    def mutate(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        changed = bytearray(data)
        for _ in range(1 << rng.randrange(5)):
            rng.choice(_STEPS)(rng, changed, others, tokens)
            del changed[_LONGEST:]
        return bytes(changed)

    return mutate


# --- mutations ---------------------------------------------------------------------------------


_Step = Callable[[random.Random, bytearray, Sequence[bytes], Sequence[bytes]], None]


def _place(rng: random.Random, data: bytearray) -> int:
    return rng.randrange(len(data) + 1)


def _piece(rng: random.Random, data: bytes | bytearray) -> bytes:
    start = rng.randrange(len(data) + 1)
    return bytes(data[start : start + (1 << rng.randrange(12))])


def _flip(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _number(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    width = rng.choice((1, 2, 4, 8))
    edge = rng.choice(
        (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, -1, -2, len(data), rng.getrandbits(16))
    )
    at = _place(rng, data)
    order = rng.choice(("little", "big"))
    data[at : at + width] = (edge % (1 << 8 * width)).to_bytes(width, order)  # type: ignore[arg-type]


def _step_number(
    rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]
) -> None:
    if data:
        at = rng.randrange(len(data))
        data[at] = (data[at] + rng.choice((-1, 1, -4, 4, 16))) % 256


def _cut(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = _place(rng, data)
    del data[at : at + (1 << rng.randrange(10))]


def _truncate(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if rng.random() < 0.2:
        del data[_place(rng, data) :]


def _double(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at = _place(rng, data)
    data[at:at] = _piece(rng, data) * (1 << rng.randrange(8) if rng.random() < 0.2 else 1)


def _overwrite(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    at, piece = _place(rng, data), _piece(rng, rng.choice(others) if others else data)
    data[at : at + len(piece)] = piece


def _splice(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if others and rng.random() < 0.3:
        other = rng.choice(others)
        data[_place(rng, data) :] = other[rng.randrange(len(other) + 1) :]


def _token(rng: random.Random, data: bytearray, others: Sequence[bytes], tokens: Sequence[bytes]) -> None:
    if tokens:
        at = _place(rng, data)
        token = rng.choice(tokens)
        data[at : at + (len(token) if rng.random() < 0.5 else 0)] = token


_STEPS: tuple[_Step, ...] = (
    _flip, _number, _number, _step_number, _cut, _truncate, _double, _overwrite, _splice, _token, _token,
)  # fmt: skip


# --- the child -----------------------------------------------------------------------------------


class _Pool:
    """The inputs that are mutated: the seeds, and those that ended in a new way."""

    def __init__(self, seeds: Sequence[bytes]) -> None:
        self.inputs = list(seeds) or [b""]
        self._ends: set[str] = set()

    def ended(self, data: bytes, how: str) -> None:
        """Keep an input when no other ended like that; numbers and quoted names in `how` do not count."""
        how = re.sub(r"'[^']*'|\"[^\"]*\"|[0-9a-fx]*[0-9][0-9a-fx]*", "#", how)[:200]
        if how not in self._ends and len(self._ends) < _MOST_KEPT:
            self._ends.add(how)
            self.inputs.append(data)


def _inputs(
    rng: random.Random, seeds: Sequence[bytes], mutate: Mutate, seconds: float
) -> Iterator[tuple[bytes, _Pool]]:
    pool = _Pool(seeds)
    for data in seeds:
        yield data, pool
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield mutate(rng, rng.choice(pool.inputs), pool.inputs)[:_LONGEST], pool


def _run(
    target: Callable[[bytes], object],
    inputs: Iterator[tuple[bytes, _Pool]],
    allowed_errors: tuple[type[Exception], ...],
    shared: _Shared,
    *,
    memory: int,
    cpu_seconds: float,
) -> str:
    """Called in the child: return what went wrong with the first input that fails, "" when none does."""
    faulthandler.disable()
    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # ends the process, also in the middle of C
    for data, pool in inputs:
        shared.begin(data)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * mmap.PAGESIZE + memory, resource.RLIM_INFINITY))
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        try:
            target(data)
            how = "returned"
        except (MemoryError, RecursionError):
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            return traceback.format_exc()
        except allowed_errors as error:
            how = f"{type(error).__name__}: {error}"
        except BaseException:
            return traceback.format_exc()
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        pool.ended(data, how)
    return ""


def _end_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


# --- the parent ----------------------------------------------------------------------------------


class _Shared:
    """Memory of parent and child together: which input is being run, and how many were begun."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 16 + _LONGEST)

    def begin(self, data: bytes) -> None:
        self._memory[0:16] = (self.count + 1).to_bytes(8, "little") + len(data).to_bytes(8, "little")
        self._memory[16 : 16 + len(data)] = data

    @property
    def count(self) -> int:
        return int.from_bytes(self._memory[0:8], "little")

    @property
    def data(self) -> bytes:
        return self._memory[16 : 16 + int.from_bytes(self._memory[8:16], "little")]


def _watch(child: int, reading: int, shared: _Shared, waiting_seconds: float, cpu_seconds: float) -> str:
    """Wait for the child; return what went wrong, "" for nothing."""
    text, latest, since = b"", 0, time.monotonic()
    while True:
        if select.select([reading], [], [], 0.5)[0]:
            piece = os.read(reading, 65536)
            text += piece
            if not piece:
                break
        if shared.count != latest:
            latest, since = shared.count, time.monotonic()
        elif time.monotonic() - since > waiting_seconds:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            return f"it did not end within {waiting_seconds} seconds"
    os.close(reading)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        why = f": more than {cpu_seconds} seconds of processor time" if number == signal.SIGPROF else ""
        return f"ended by {signal.Signals(number).name}{why}"
    return text.decode()


def _keep(name: str, data: bytes) -> Path:
    REPRODUCERS.mkdir(parents=True, exist_ok=True)
    path = REPRODUCERS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    path.write_bytes(data)
    return path
