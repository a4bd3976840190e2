"""What the maps of all agents say about one process, and whether that is right.

Every hash whose key is as long as a number of the process (pid, thread, cgroup, namespace, …) is asked, by
look-ups only and within a budget; an answer is scored (evidence.py), decoded by BTF and compared
(facts_compared.py). Cookies in a likely value are followed to images in maps of the same BTF object.
"""

from __future__ import annotations

import contextlib
import struct
import sys
from collections.abc import Iterator

import msgspec

from core.bpf import syscall
from core.bpf.btf import BtfError
from core.bpf.contents import possible_cpus
from core.bpf.evidence import Likelihood, likelihood, live_and_dead, score_of_sample
from core.bpf.facts_compared import Compared, Verdict, compare
from core.bpf.process_facts import ProcessFacts
from core.bpf.records import HostSnapshot, Map, Refused
from core.bpf.types import TypeNames
from core.bpf.values import Decoder, Value
from core.system.host import Host

LOOK_UPS = 512
"""Look-ups that one question makes at most."""

_PROVES_NOTHING_BELOW = 65_536
_MOST_VALUE = 1 << 16
_ASKED = frozenset(("hash", "lru_hash", "percpu_hash", "lru_percpu_hash"))
_PER_CPU = frozenset(("percpu_hash", "lru_percpu_hash"))
_WORDS = (b"pid", b"task", b"proc", b"exec", b"tgid", b"thread")


class Claim(msgspec.Struct, frozen=True):
    """What one map says: how it was asked (`key`), what it answered, and each member against our facts.

    `compared` starts with what differs. `value` is None without BTF; `raw` always has the bytes.
    """

    map_id: int
    key: str
    likelihood: Likelihood
    why: tuple[str, ...]
    raw: bytes
    value: Value
    compared: tuple[Compared, ...]


class Claims(msgspec.Struct, frozen=True):
    """The answer to one question. `asked` is the number of maps, `look_ups` what it cost them."""

    claims: tuple[Claim, ...]
    asked: int
    look_ups: int
    refused: tuple[Refused, ...] = ()


class _Budget(Exception):
    """The look-ups are used up."""


def ask(host: Host, snapshot: HostSnapshot, facts: ProcessFacts, types: TypeNames) -> Claims:
    """Ask every map but our own. What could not be asked is in `refused`."""
    question = _Question(host, facts, types)
    maps = [found for found in snapshot.maps if found.type in _ASKED and not found.ours]
    claims: list[Claim] = []
    refused: list[Refused] = []
    try:
        for found in maps:
            try:
                claims += question.ask(found)
            except OSError as error:
                refused.append(Refused(f"map {found.id}", error.strerror or "it cannot be read"))
        claims += question.follow(claims, maps)
    except _Budget:
        refused.append(Refused("the other maps", f"more than {LOOK_UPS} look-ups"))
    order = {Likelihood.LIKELY: 0, Likelihood.MAYBE: 1}
    shown = [claim for claim in claims if claim.likelihood is not Likelihood.UNLIKELY]
    shown.sort(key=lambda claim: (not _differs(claim), order[claim.likelihood], claim.map_id))
    return Claims(tuple(shown), len(maps), question.look_ups, tuple(refused))


def _differs(claim: Claim) -> bool:
    return any(compared.verdict is Verdict.DIFFERS for compared in claim.compared)


class _Question:
    """One process, asked of many maps; counts look-ups."""

    def __init__(self, host: Host, facts: ProcessFacts, types: TypeNames) -> None:
        self._facts = facts
        self._types = types
        self._live, self._dead = live_and_dead(host, facts.pid)
        self.look_ups = 0

    def ask(self, found: Map) -> Iterator[Claim]:
        """Yield what a map says. Raises OSError, _Budget."""
        if found.value_size > _MOST_VALUE:
            return
        keys = list(_keys(self._facts, found.key_size))
        if not keys:
            return
        with contextlib.suppress(FileNotFoundError), syscall.opened("map", found.id) as fd:
            for key, word, proof in keys:
                raw = self._look_up(fd, found, key)
                if raw is not None:
                    yield self._claim(fd, found, word, proof, raw)

    def follow(self, claims: list[Claim], maps: list[Map]) -> list[Claim]:
        """Follow numbers of likely values into maps of the same BTF object with keys of 8 bytes."""
        by_id = {found.id: found for found in maps}
        answer = []
        for claim in claims:
            if claim.likelihood is not Likelihood.LIKELY or not isinstance(claim.value, dict):
                continue
            source = by_id[claim.map_id]
            for name, number in claim.value.items():
                if not _is_cookie(name, number):
                    continue
                for other in maps:
                    if other.btf_id == source.btf_id != 0 and other.key_size == 8 and other.id != source.id:
                        answer += self._followed(claim, other, name, struct.pack("=Q", number))
        return answer

    def _followed(self, claim: Claim, other: Map, name: bytes, key: bytes) -> list[Claim]:
        with contextlib.suppress(OSError), syscall.opened("map", other.id) as fd:
            raw = self._look_up(fd, other, key)
            if raw is not None:
                value = self._decoded(other, raw)
                word = f"{name.decode('utf-8', 'backslashreplace')} of map {claim.map_id}"
                why = ("a number in a likely value is its key",)
                compared = _ordered(compare(value, self._facts))
                return [Claim(other.id, word, Likelihood.LIKELY, why, raw, value, compared)]
        return []

    def _claim(self, fd: int, found: Map, word: str, proof: int, raw: bytes) -> Claim:
        value = self._decoded(found, raw)
        compared = _ordered(compare(value, self._facts))
        score, why = proof, [f"{word} is a key"] if proof else []
        if word in ("pid", "thread"):
            points, reason = self._sample(fd, found)
            score += points
            why.append(reason)
        agreeing = [one for one in compared if one.verdict is Verdict.AGREES]
        if any(one.fact == "pid" and one.theirs in (self._facts.pid, *self._facts.tids) for one in agreeing):
            score += 3
            why.append("the value repeats the pid")
        others = {one.fact for one in agreeing} - {"pid"}
        if others:
            score += min(3, len(others))
            why.append(f"it agrees on {', '.join(sorted(others))}")
        if any(part in found.name.lower() for part in _WORDS):
            score += 1
            why.append("its name")
        return Claim(found.id, word, likelihood(score), tuple(why), raw, value, compared)

    def _sample(self, fd: int, found: Map) -> tuple[int, str]:
        """Look up other live pids, and numbers that are none."""
        hits = []
        for numbers in (self._live, self._dead):
            keys = (number.to_bytes(found.key_size, sys.byteorder) for number in numbers)
            hits.append(sum(self._look_up(fd, found, key) is not None for key in keys))
        return score_of_sample(hits[0], len(self._live), hits[1], len(self._dead))

    def _look_up(self, fd: int, found: Map, key: bytes) -> bytes | None:
        """Return the value of a key; of a per-CPU map that of the first CPU."""
        if self.look_ups >= LOOK_UPS:
            raise _Budget
        self.look_ups += 1
        step = (found.value_size + 7) // 8 * 8
        size = step * possible_cpus() if found.type in _PER_CPU else found.value_size
        value = syscall.look_up(fd, key, size)
        return value[: found.value_size] if value is not None else None

    def _decoded(self, found: Map, raw: bytes) -> Value:
        types = self._types.object(found.btf_id) if found.btf_id and found.value_type else None
        if types is None:
            return None
        try:
            return Decoder(types).decode(found.value_type, raw)
        except BtfError:
            return None


def _ordered(compared: list[Compared]) -> tuple[Compared, ...]:
    order = [Verdict.DIFFERS, Verdict.AGREES, Verdict.UNKNOWN, Verdict.UNSET]
    return tuple(sorted(compared, key=lambda one: order.index(one.verdict)))


def _is_cookie(name: bytes, number: Value) -> bool:
    is_number = isinstance(number, int) and not isinstance(number, bool)
    named = name.lower() == b"cookie" or name.lower().endswith((b"_id", b"_cookie"))
    return is_number and named and isinstance(number, int) and _PROVES_NOTHING_BELOW <= number < 1 << 64


def _keys(facts: ProcessFacts, size: int) -> Iterator[tuple[bytes, str, int]]:
    """Yield (key, what it is, how much a hit proves by itself) of a size. A pid alone proves nothing."""
    order = sys.byteorder
    tids = [tid for tid in facts.tids if tid != facts.pid][:8]
    if size in (4, 8):
        yield facts.pid.to_bytes(size, order), "pid", 0
        for tid in tids:
            yield tid.to_bytes(size, order), "thread", 0
        for number in facts.cgroup_ids:
            if number >= _PROVES_NOTHING_BELOW:
                yield (number & (1 << size * 8) - 1).to_bytes(size, order), "cgroup id", 3
        for name in ("mnt", "pid", "net"):
            if name in facts.namespaces:
                yield facts.namespaces[name].to_bytes(size, order), f"{name} namespace", 1
    if size != 8:
        return
    for tid in (facts.pid, *tids):
        yield struct.pack("=Q", facts.pid << 32 | tid), "pid and thread", 3
    pid_ns, mnt_ns = facts.namespaces.get("pid", 0), facts.namespaces.get("mnt", 0)
    if pid_ns and mnt_ns:
        yield struct.pack("=II", pid_ns, mnt_ns), "pid and mount namespace", 1
        yield struct.pack("=II", facts.pid, pid_ns), "pid and pid namespace", 3
