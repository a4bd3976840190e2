"""The procfs tier: reads the facts of processes from /proc.

/proc/PID is opened once as a directory and everything is read through that descriptor: after the pid is
reused, reads fail with ESRCH instead of returning another process's facts.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import cast

import msgspec

from core.containers.cgroup_file import choose_cgroup
from core.model.entities import TICK_NS, Credentials, ProcessEntry, Usage, same_start
from core.sources.patient_facts import PatientFacts
from core.sources.reader import read_file
from core.system.host import Host
from core.system.privileges import Capability, current_privileges
from core.text.safe import safe_text

_STAT_LIMIT = 4096
_UNREADABLE_KEPT = 1024
_STATUS_LIMIT = 1 << 20  # up to 65,536 groups are listed in it, before the capabilities
_PF_KTHREAD = 0x00200000  # include/linux/sched.h
_NO_LOGIN = 0xFFFFFFFF
_DETACHED = (b"/", b"/ (deleted)")  # the root of a detached mount
_LOST_PATH = "exe: its mount was detached, so it has no path"
_PAGE = os.sysconf("SC_PAGE_SIZE")


class ProcfsError(Exception):
    """/proc did not answer for a pid; the text says why and is safe to show."""


class Stat(msgspec.Struct, frozen=True):
    """The fields of /proc/PID/stat that this program uses; times in ns, from boot."""

    pid: int
    comm: bytes
    state: str
    ppid: int
    tty_nr: int
    kthread: bool
    cpu_ns: int
    threads: int
    start_ns: int
    rss_bytes: int
    stack_start: int = 0
    """Random for each exec, so a change of it means an exec; 0 without the right to trace."""

    @property
    def usage(self) -> Usage:
        return Usage(self.cpu_ns, self.rss_bytes, self.state, self.threads)


class Procfs:
    """Reads the /proc of one host. Holds no descriptors between calls; any thread may use it."""

    def __init__(self, host: Host) -> None:
        self._proc = str(host.proc)
        self._boot_offset_ns = time_namespace_offset(host)
        self._patient = PatientFacts(self._proc)
        self.unreadable: dict[int, str] = {}
        """pid -> why the process could not be read at the last attempt although it exists."""

    def pids(self) -> list[int]:
        """Return the pids (thread group ids) that /proc shows, in ascending order.

        Raises ProcfsError when /proc cannot be read.
        """
        try:
            names = os.listdir(self._proc)
        except OSError as error:
            raise ProcfsError(f"{safe_text(self._proc)}: {error.strerror}") from None
        return sorted(int(name) for name in names if name.isdigit())

    def stat(self, pid: int) -> Stat:
        """Return the fields of /proc/PID/stat. Raises ProcfsError."""
        try:
            stat = self._parse_stat(read_file(None, f"{self._proc}/{pid}/stat", _STAT_LIMIT))
        except OSError as error:
            raise self._noted(pid, _why(pid, "stat", error)) from None
        except (ValueError, IndexError):
            raise self._noted(pid, _not_understood(pid)) from None
        self.unreadable.pop(pid, None)
        return stat

    def ppid(self, pid: int) -> int:
        """Return the pid of the current parent (0 for none). Raises ProcfsError."""
        return self.stat(pid).ppid

    def entry(self, pid: int) -> tuple[ProcessEntry, Usage]:
        """Return all facts that /proc has about a process.

        Raises ProcfsError when the process is gone or its stat cannot be read. A single fact that is not
        permitted or not understood is left empty, and the entry's `problem` names it.
        """
        try:
            with self._directory(pid) as directory:
                return self._entry(directory, read_file(directory, "stat", _STAT_LIMIT))
        except OSError as error:
            raise _why(pid, "stat", error) from None
        except (ValueError, IndexError):
            raise _not_understood(pid) from None

    def cmdline(self, pid: int, start_ns: int) -> tuple[bytes, bool]:
        """Return argv of a process as in /proc/PID/cmdline, and whether it was cut at CMDLINE_LIMIT.

        `start_ns` identifies the process (same_start). Waits bounded_read.WAIT_S at most. Raises
        ProcfsError when that process is gone or its arguments cannot be read; the text says why.
        """
        try:
            with self._directory(pid) as directory:
                stat, argv, cut = self._patient.cmdline(pid, directory)
            if not same_start(self._parse_stat(stat).start_ns, start_ns):
                raise ProcfsError(f"no process {pid}")
        except OSError as error:
            raise _why(pid, "cmdline", error) from None
        except (ValueError, IndexError):
            raise _not_understood(pid) from None
        return argv, cut

    def _entry(self, directory: int, data: bytes) -> tuple[ProcessEntry, Usage]:
        stat = self._parse_stat(data)
        facts, problems = _readable(directory, stat)
        tgid = facts.pop("tgid", stat.pid)
        if tgid != stat.pid:  # /proc also answers for threads, although it does not list them
            raise ProcfsError(f"{stat.pid} is a thread of process {tgid}")
        if not stat.kthread and stat.state not in "ZX":  # kernel threads and zombies have no image
            more, unanswered = self._patient.read(
                stat.pid, directory, data, cast("bytes", facts.get("exe", b""))
            )
            facts |= more
            problems += unanswered
        base = ProcessEntry(
            pid=stat.pid,
            start_ns=stat.start_ns,
            ppid=stat.ppid,
            comm=stat.comm,
            tty=_tty_name(stat.tty_nr),
            kthread=stat.kthread,
            fork_ns=stat.start_ns,
            exec_ns=stat.start_ns,
            problem=_advice(problems),
        )
        return msgspec.structs.replace(base, **facts), stat.usage

    def _noted(self, pid: int, error: ProcfsError) -> ProcfsError:
        """Keep why an existing process cannot be read."""
        if str(error) == _gone(pid):
            self.unreadable.pop(pid, None)
        elif pid in self.unreadable or len(self.unreadable) < _UNREADABLE_KEPT:
            self.unreadable[pid] = str(error)
        return error

    @contextmanager
    def _directory(self, pid: int) -> Iterator[int]:
        try:
            directory = os.open(f"{self._proc}/{pid}", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _why(pid, "", error) from None
        try:
            yield directory
        except ProcessLookupError as error:  # it ended during the read
            raise _why(pid, "", error) from None
        finally:
            os.close(directory)

    def _start_ns(self, ticks: int) -> int:
        """Return a start time of /proc as ns from boot, in whole ticks, without our time namespace's offset.

        If the namespace's boot clock is behind the start time, the kernel shows the negative time as a huge
        number, and ticks begin elsewhere: the result is right to one tick.
        """
        start_ns = ticks * TICK_NS
        if start_ns >> 64:
            raise ValueError("more ticks than fit into 64 bits of ns")
        if start_ns >= 1 << 63:
            start_ns -= 1 << 64
        return (start_ns - self._boot_offset_ns) // TICK_NS * TICK_NS

    def _parse_stat(self, data: bytes) -> Stat:
        # comm may contain spaces and brackets, so fields are counted from the last bracket.
        opened, closed = data.index(b"("), data.rindex(b")")
        fields = data[closed + 2 :].split()
        return Stat(
            pid=_number(data[:opened], 32),
            comm=data[opened + 1 : closed],
            state=chr(fields[0][0]),
            ppid=_number(fields[1], 32),
            tty_nr=int(fields[4]) & 0xFFFFFFFF,
            kthread=bool(_number(fields[6]) & _PF_KTHREAD),
            cpu_ns=(_number(fields[11]) + _number(fields[12])) * TICK_NS,
            threads=_number(fields[17], 32),
            start_ns=self._start_ns(_number(fields[19])),
            rss_bytes=_number(fields[21]) * _PAGE,
            stack_start=_number(fields[25]),
        )


def names_no_file(entry: ProcessEntry) -> bool:
    """Return whether a process of the kernel tier has an executable without a path: ask /proc why."""
    return not entry.kthread and (not entry.exe or entry.exe in _DETACHED)


def without_lost_path(entry: ProcessEntry) -> ProcessEntry:
    """Return an entry of the kernel tier; an `exe` that is only the root of a detached mount is removed."""
    if entry.exe not in _DETACHED:
        return entry
    problem = f"{entry.problem}, {_LOST_PATH}" if entry.problem else _LOST_PATH
    return msgspec.structs.replace(entry, exe=b"", problem=problem)


def withheld(entry: ProcessEntry) -> frozenset[str]:
    """Return the facts that were not read, from an entry's `problem`: status, cgroup, cmdline, exe, …"""
    return frozenset(part.split(" ")[0].rstrip(":").removesuffix("'s") for part in entry.problem.split(", "))


def time_namespace_offset(host: Host) -> int:
    """Return the offset that our time namespace adds to the boot clock and to start times of /proc, in ns.

    /proc/self/timens_offsets is about the namespace of our children. If that differs from ours (after
    unshare(2) without a fork), we are still in the initial namespace, which has no offset.
    """
    try:
        own, childrens = (host.path(f"/proc/self/ns/{name}").stat() for name in ("time", "time_for_children"))
        if own.st_ino != childrens.st_ino:
            return 0
        for line in host.text("/proc/self/timens_offsets").splitlines():
            clock, seconds, nanoseconds = line.split()
            if clock in ("boottime", "7"):
                return int(seconds) * 1_000_000_000 + int(nanoseconds)
    except (OSError, ValueError):
        pass  # the kernel has no time namespaces: no offset
    return 0


def _number(text: bytes, bits: int = 64, base: int = 10) -> int:
    """Return a number printed by the kernel. Raises ValueError when it does not fit into its type."""
    number = int(text, base)
    if number >> bits:  # true for negative numbers, too
        raise ValueError(f"more than {bits} bits")
    return number


def _readable(directory: int, stat: Stat) -> tuple[dict[str, object], list[str]]:
    """Return the facts that can be read without blocking, and the problems of those that cannot be read."""
    facts: dict[str, object] = {}
    problems = []
    steps = {"status": _read_status, "cgroup": _read_cgroup, "namespaces": _read_namespaces}
    if not stat.kthread:
        steps["exe"] = _read_exe
    for name, read in steps.items():
        try:
            facts.update(read(directory))
        except FileNotFoundError:
            # A zombie has no image and no namespaces; its other facts are still true.
            if stat.state not in "ZX":
                problems.append(f"{name} missing")
        except ProcessLookupError:
            raise
        except PermissionError:
            problems.append(f"{name} not permitted")
        except OSError as error:
            problems.append(f"{name}: {safe_text(error.strerror or str(error))}")
        except (ValueError, IndexError, KeyError):
            problems.append(f"{name} not understood")
    if facts.get("exe") in _DETACHED:
        facts["exe"] = b""
        problems.append(_LOST_PATH)
    return facts, problems


def _read_status(directory: int) -> dict[str, object]:
    fields = {}
    for line in read_file(directory, "status", _STATUS_LIMIT).split(b"\n"):
        name, _, value = line.partition(b":\t")
        fields[name] = value
    uids = [_number(value, 32) for value in fields[b"Uid"].split()]
    gids = [_number(value, 32) for value in fields[b"Gid"].split()]
    try:
        login = _number(read_file(directory, "loginuid", 32), 32)
    except (OSError, ValueError):  # a kernel without audit
        login = _NO_LOGIN
    return {
        "tgid": _number(fields[b"Tgid"], 32),
        # One number per pid namespace, from ours inwards; absent before Linux 4.1.
        "inner_pid": _number(fields.get(b"NSpid", b"0").split()[-1], 32),
        "credentials": Credentials(
            uid=uids[0],
            gid=gids[0],
            euid=uids[1],
            egid=gids[1],
            fsuid=uids[3],
            fsgid=gids[3],
            login_uid=None if login == _NO_LOGIN else login,
            cap_effective=_number(fields[b"CapEff"], base=16),
            cap_permitted=_number(fields[b"CapPrm"], base=16),
        ),
    }


def _read_cgroup(directory: int) -> dict[str, object]:
    return {"cgroup": choose_cgroup(read_file(directory, "cgroup", _STATUS_LIMIT))}


def _read_exe(directory: int) -> dict[str, object]:
    return {"exe": os.fsencode(os.readlink("exe", dir_fd=directory))}


def _read_namespaces(directory: int) -> dict[str, object]:
    return {
        "pid_ns": os.stat("ns/pid", dir_fd=directory).st_ino,
        "mnt_ns": os.stat("ns/mnt", dir_fd=directory).st_ino,
    }


def _tty_name(number: int) -> bytes:
    """Name a terminal by its device number, as `ps` does (Documentation/admin-guide/devices.txt)."""
    if number == 0:
        return b""
    major = (number >> 8) & 0xFFF
    minor = (number & 0xFF) | ((number >> 12) & 0xFFF00)
    if 136 <= major <= 143:  # Unix98 pseudo-terminals: 8 majors of 256
        return b"pts/%d" % (minor + (major - 136) * 256)
    if major == 4:
        return b"tty%d" % minor if minor < 64 else b"ttyS%d" % (minor - 64)
    return b"%d:%d" % (major, minor)


def _advice(problems: list[str]) -> str:
    text = ", ".join(problems)
    if "not permitted" in text and not _may_trace():
        text += ": needs CAP_SYS_PTRACE"
    return text


@lru_cache(maxsize=1)
def _may_trace() -> bool:
    return current_privileges().has(Capability.SYS_PTRACE)


def _gone(pid: int) -> str:
    return f"no process {pid}"


def _not_understood(pid: int) -> ProcfsError:
    return ProcfsError(f"/proc/{pid}/stat does not have the kernel's format")


def _why(pid: int, name: str, error: OSError) -> ProcfsError:
    if isinstance(error, FileNotFoundError | ProcessLookupError):
        return ProcfsError(_gone(pid))
    where = f"/proc/{pid}/{name}".rstrip("/")
    return ProcfsError(f"{where}: {safe_text(error.strerror or str(error))}")
