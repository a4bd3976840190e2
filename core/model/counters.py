"""The counters of a session and their meanings."""

from __future__ import annotations

from enum import StrEnum


class Counter(StrEnum):
    """A counter by its displayed name. Its `meaning` is shown beside it and listed in the docs."""

    meaning: str

    HITS_CACHE = "hits cache", "queries that the process cache answered"
    HITS_MAPS = "hits maps", "queries that the probe's eBPF maps answered"
    HITS_PROCFS = "hits procfs", "queries that /proc answered"
    MISS = "miss", "no tier knew the pid"
    LIMITED = "limited", "procfs queries held back: at most one per pid in 30 s"
    LOST = "lost", "events that did not fit into the ring buffer"
    RESYNC = "resync", "walks over all tasks after a loss"
    ADDED_EVENT = "added event", "processes added by a fork or exec event"
    ADDED_SNAPSHOT = "added snapshot", "processes added by the task iterator"
    ADDED_MAPS = "added maps", "entries taken from the kernel maps"
    ADDED_PROCFS = "added procfs", "entries read from /proc"
    FLUSHED_LIMIT = "flushed limit", "entries dropped to make room for newer ones"
    FLUSHED_VANISHED = "flushed vanished", "entries of processes that were gone without an event"
    MERGED_EXEC = "merged exec", "execs that changed nothing: same file, rights and arguments"
    REPARENT_SUCCESS = "reparent success", "children that got a new parent"
    REPARENT_FAILED = "reparent failed", "children with a new parent that is not known"
    BROKEN_LINEAGE = "broken lineage", "processes with a line of parents that does not reach pid 1"
    FORK_PARENT_MISSING = (
        "inode error fork_parent_missing",
        "forks by a parent that ran another file than the cache had",
    )
    EXEC_PARENT_MISSING = (
        "inode error exec_parent_missing",
        "execs that replaced another file than the cache had",
    )
    PROCFS_MISMATCH = "inode error procfs_mismatch", "exe changed between request and answer"
    ARGS_TRUNCATED = "args truncated", "argument lists longer than an event carries"
    PATH_ERROR = "path error", "entries with an executable path that is not known"

    def __new__(cls, name: str, meaning: str = "") -> Counter:
        counter = str.__new__(cls, name)
        counter._value_ = name
        counter.meaning = meaning
        return counter
