"""The maps tier: pid_cache -> cookie -> proc_cache, read and written from user space."""

from __future__ import annotations

import ctypes
import os
import secrets
import select
from functools import partial
from typing import Any, Protocol

from core.model.entities import ProcessEntry
from core.probe import layout
from core.probe.libbpf import load_libbpf
from core.probe.loader import Probe

_CGROUPS_KEPT = 4096
_NOEXIST = 1  # BPF_NOEXIST


class MapsMiss(Exception):
    """The maps do not have a pid; the text says which map lacks the entry."""


class KernelMaps(Protocol):
    """The maps as the resolver uses them. Tests pass a table."""

    def lookup(self, pid: int) -> ProcessEntry:
        """Return the entry of a pid in the maps. Raises MapsMiss."""

    def push(self, entry: ProcessEntry) -> None:
        """Write an entry that was read from /proc into the maps (the Datadog Agent's syncCache)."""


class ProbeMaps:
    """The maps of a loaded probe. Used by the thread that owns the probe."""

    def __init__(self, probe: Probe) -> None:
        self._bpf = load_libbpf()
        self._pid_fd = probe.map_fd("pid_cache")
        self._proc_fd = probe.map_fd("proc_cache")
        self._cgroups_fd = probe.map_fd("cgroup_sets")
        # One buffer each for the life of the maps: a look-up is only a call and a copy.
        self._pid_key = ctypes.c_uint32()
        self._long_key = ctypes.c_uint64()
        self._pid_value = ctypes.create_string_buffer(layout.PID_ENTRY.size)
        self._proc_value = ctypes.create_string_buffer(layout.PROC_ENTRY.size)
        self._cgroups_value = ctypes.create_string_buffer(layout.CGROUP_SET.size)
        look_up = self._bpf.function("bpf_map_lookup_elem")
        pid_key, long_key = ctypes.byref(self._pid_key), ctypes.byref(self._long_key)
        self._get_process = partial(look_up, self._pid_fd, pid_key, self._pid_value)
        self._get_image = partial(look_up, self._proc_fd, long_key, self._proc_value)
        self._get_cgroups = partial(look_up, self._cgroups_fd, long_key, self._cgroups_value)
        # The key is made from hierarchies and ids, which are never reused while the host is up.
        self._cgroups: dict[int, layout.Cgroup] = {}

    def lookup(self, pid: int) -> ProcessEntry:
        process = self._process(pid)
        if process is None:
            raise MapsMiss("no entry in pid_cache")
        if process[4]:
            raise MapsMiss("marked as exited in pid_cache")
        self._long_key.value = process[0]
        if self._get_image():
            raise MapsMiss(f"cookie 0x{process[0]:x} is not in proc_cache")
        image = layout.PROC_ENTRY.unpack_from(self._proc_value)
        return layout.entry_of_maps(pid, process, image, self._cgroup(process[5]))

    def push(self, entry: ProcessEntry) -> None:
        if entry.kthread or self._process(entry.pid) is not None:
            return
        cookie = entry.cookie or secrets.randbits(63) | 1
        names = layout.names_of(entry.exe.removesuffix(b" (deleted)"))
        flags = layout.EXE_UNLINKED if entry.exe.endswith(b" (deleted)") else 0
        if len(names) > layout.STORED_EXE:
            names, flags = b"", flags | layout.EXE_PARTIAL
        args = entry.cmdline[: layout.STORED_ARGS]
        if len(args) < len(entry.cmdline):
            flags |= layout.ARGS_PARTIAL
        self._long_key.value = cookie
        self._proc_value.raw = layout.PROC_ENTRY.pack(
            entry.inode, entry.mtime_ns, entry.exec_ns, entry.device, entry.mode, flags,
            len(entry.cmdline), len(names), len(args), names, args,
        )  # fmt: skip
        self._put(self._proc_fd, self._long_key, self._proc_value)
        self._put_process(entry, cookie)
        if _has_ended(entry.pid):  # its exit may have come before there was an entry to mark
            self._bpf.value("bpf_map_delete_elem", self._pid_fd, ctypes.byref(self._pid_key))

    def _put_process(self, entry: ProcessEntry, cookie: int) -> None:
        ids, capabilities = layout.bytes_of(entry.credentials)
        self._pid_key.value = entry.pid
        self._pid_value.raw = layout.PID_ENTRY.pack(
            cookie, entry.start_ns, entry.parent_start_ns, entry.fork_ns, 0, 0, capabilities,
            entry.ppid, entry.exec_id, ids, entry.pid_ns & 0xFFFFFFFF, entry.mnt_ns & 0xFFFFFFFF, 0,
            entry.inner_pid, 0, layout.NAMES.pack(entry.comm, entry.tty),
        )  # fmt: skip
        self._put(self._pid_fd, self._pid_key, self._pid_value)

    def _process(self, pid: int) -> tuple[Any, ...] | None:
        self._pid_key.value = pid
        if self._get_process():
            return None
        return layout.PID_ENTRY.unpack_from(self._pid_value)

    def _cgroup(self, key: int) -> layout.Cgroup:
        cgroup = self._cgroups.get(key)
        if cgroup is not None:
            return cgroup
        self._long_key.value = key
        if self._get_cgroups():
            return layout.UNKNOWN_CGROUP
        size, places = layout.CGROUP_SET.unpack_from(self._cgroups_value)
        cgroup = layout.cgroup_of(places[:size], 0)
        if len(self._cgroups) >= _CGROUPS_KEPT:
            self._cgroups.clear()
        self._cgroups[key] = cgroup
        return cgroup

    def _put(self, fd: int, key: object, value: object) -> None:
        # An entry that the kernel wrote meanwhile is newer and stays. A full map makes room by itself
        # (LRU); any other failure only costs this entry.
        self._bpf.value("bpf_map_update_elem", fd, ctypes.byref(key), value, _NOEXIST)  # type: ignore[arg-type]


def _has_ended(pid: int) -> bool:
    """Return whether a process is gone or a zombie."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:  # before Linux 5.3, or not permitted
        return False
    try:
        poller = select.poll()
        poller.register(process, select.POLLIN)
        return bool(poller.poll(0))
    finally:
        os.close(process)
