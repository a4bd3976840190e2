"""An outside view of the processes of this host: /proc read by hand, not through core.sources.procfs."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from core.model.events import Event
from core.resolve.engine import Engine
from core.resolve.process_cache import Process, ProcessCache
from core.sources.feed import open_feed
from core.system.host import LOCAL


@dataclass(frozen=True, slots=True)
class Seen:
    ppid: int
    comm: bytes
    exe: bytes
    cmdline: bytes
    state: str


def look(pid: int) -> Seen | None:
    """Read one process from /proc; None when it is gone."""
    folder = Path(f"/proc/{pid}")
    try:
        stat = (folder / "stat").read_bytes()
        cmdline = (folder / "cmdline").read_bytes()
        try:
            exe = os.fsencode(os.readlink(folder / "exe"))
        except (FileNotFoundError, PermissionError):
            exe = b""
    except (FileNotFoundError, ProcessLookupError):
        return None
    comm = stat[stat.index(b"(") + 1 : stat.rindex(b")")]
    fields = stat[stat.rindex(b")") + 2 :].split()
    return Seen(int(fields[1]), comm, exe, cmdline, fields[0].decode())


def look_at_all() -> dict[int, Seen]:
    """Read every process of /proc."""
    seen = {int(name): look(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    return {pid: one for pid, one in seen.items() if one is not None}


class CheckedEngine(Engine):
    """An engine whose links are looked at after every event: those of the process it was about."""

    def apply(self, event: Event) -> Process | None:
        process = super().apply(event)
        if process is not None:
            check_process(process)
        return process


def check_process(process: Process) -> None:
    """child in parent.children <=> child.parent is parent; no circle; the key is the entry's."""
    for child in process.children:
        assert child.parent is process
    if process.parent is not None:
        assert process in process.parent.children
    assert process not in set(process.ancestors())
    assert process.key == process.entry.key


def check_links(cache: ProcessCache) -> None:
    """The same for every process, living or ended; and one living process per pid."""
    for process in {*cache, *cache.ended}:
        check_process(process)
    pids = [process.entry.pid for process in cache]
    assert len(pids) == len(set(pids))


def open_engine(kind: type[Engine] = Engine) -> Engine:
    """An engine on this host with the best feed it allows, started. The caller closes its feed."""
    engine = kind(open_feed(LOCAL))
    engine.start()
    return engine


def settle(engine: Engine, seconds: float = 0.3) -> None:
    """Let the events of the last moments arrive (reaping is reported after an RCU grace period)."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        engine.pump()
        time.sleep(0.02)


def differences(engine: Engine, pids: set[int] | None = None, *, sweeps: bool = False) -> list[str]:
    """Compare the cache with /proc, for all processes or for some.

    A difference is one that stays for six seconds: others are events in flight, of processes that come and
    go while this looks. Nothing but events can mend it meanwhile, unless `sweeps` allows those too.
    """
    found = _differences(engine, pids)
    for _ in range(20):  # a reaping is told after a grace period, which takes seconds where nothing is idle
        if not found:
            break
        settle(engine)
        if sweeps:
            engine.sweep()
        still = set(_differences(engine, pids))
        found = [one for one in found if one in still]
    return found


def _differences(engine: Engine, pids: set[int] | None) -> list[str]:
    engine.pump()
    outside = look_at_all()
    inside = {process.entry.pid: process for process in engine.cache}
    found = []
    for pid in sorted(outside.keys() | inside.keys()):
        if pids is not None and pid not in pids:
            continue
        if pid not in inside or pid not in outside:
            found.append(f"{pid}: only {'in /proc' if pid in outside else 'in the cache'}")
            continue
        process, seen = inside[pid], outside[pid]
        entry = process.entry
        if entry.ppid != seen.ppid:
            found.append(f"{pid}: ppid {entry.ppid}, /proc has {seen.ppid}")
        parent = process.parent.entry.pid if process.parent is not None else 0
        if parent != entry.ppid:
            found.append(f"{pid}: linked to {parent}, its parent is {entry.ppid}")
        if entry.kthread or seen.state == "Z":
            continue  # we keep what /proc forgets with the first thread's end
        if (entry.comm, entry.exe, entry.cmdline) != (seen.comm, seen.exe, seen.cmdline):
            found.append(f"{pid}: {(entry.comm, entry.exe, entry.cmdline)} is not {seen}")
    return found
