"""Entries of processes after a fork or another reading, and the comparison of two images."""

from __future__ import annotations

import msgspec

from core.model.entities import ProcessEntry
from core.model.events import Fork


def newborn(event: Fork, creator: ProcessEntry | None) -> ProcessEntry:
    """Return the entry of a newly forked process: it runs its creator's image."""
    image = creator or ProcessEntry(event.pid, event.start_ns)
    # By position, in the order of ProcessEntry: one is made for every fork.
    return ProcessEntry(
        event.pid,
        event.start_ns,
        event.exec_id,
        event.ppid,
        event.parent_start_ns,
        event.comm,
        image.exe,
        image.inode,
        image.device,
        image.mode,
        image.mtime_ns,
        image.cmdline,
        image.cmdline_truncated,
        event.credentials,
        event.tty,
        event.cgroup or image.cgroup,
        event.cgroup_id,
        event.pid_ns,
        event.mnt_ns,
        event.start_ns,  # the same as in the entry of its exec
        image.exec_ns,
        event.cookie,
        event.kthread,
        image.problem if creator is not None else "its fork was seen, but not its parent's image",
        image.script,
        event.inner_pid,
        event.cgroup_hierarchy,
    )


def refined(before: ProcessEntry, entry: ProcessEntry) -> ProcessEntry:
    """Return a later entry of the same process, with the facts that only the earlier one has exactly.

    /proc gives start times in ticks, and no generation, cookie or script; reading it must not make the
    identity less exact.
    """
    if entry.exec_id or not before.exec_id:
        return entry
    facts: dict[str, object] = {
        "start_ns": before.start_ns,
        "exec_id": before.exec_id,
        "fork_ns": before.fork_ns,
        "cookie": before.cookie,
    }
    if entry.ppid == before.ppid:
        facts["parent_start_ns"] = before.parent_start_ns
    if entry.cgroup == before.cgroup:
        facts |= {"cgroup_id": before.cgroup_id, "cgroup_hierarchy": before.cgroup_hierarchy}
    if entry.inode == before.inode:
        facts |= {"exec_ns": before.exec_ns, "device": before.device, "script": before.script}
    return msgspec.structs.replace(entry, **facts)


def same_image(left: ProcessEntry, right: ProcessEntry) -> bool:
    """Return whether an exec changed nothing: same file, rights and arguments (an "exec bomb")."""
    return (
        left.inode == right.inode
        and left.cmdline == right.cmdline
        and left.exe == right.exe
        and left.mtime_ns == right.mtime_ns
        and left.mode == right.mode
        and left.device == right.device
        and left.script == right.script
        and left.credentials == right.credentials
    )
