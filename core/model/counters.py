"""What a session counts, and what each counter means."""

from __future__ import annotations

from enum import StrEnum


class Counter(StrEnum):
    """A counter by the name that people see. Its `meaning` is shown beside it and listed in the docs."""

    meaning: str

    HITS_CACHE = "hits cache", "questions that the process cache answered"
    HITS_MAPS = "hits maps", "questions that the probe's eBPF maps answered"
    HITS_PROCFS = "hits procfs", "questions that /proc answered"
    MISS = "miss", "no tier knew the pid"
    LIMITED = "limited", "procfs tries held back: one per pid and 30 s"
    LOST = "lost", "events the kernel could not hand over"
    RESYNC = "resync", "walks over all tasks after a loss"
    ADDED_EVENT = "added event", "processes that a fork or an exec brought in"
    ADDED_SNAPSHOT = "added snapshot", "processes that the task iterator brought in"
    ADDED_MAPS = "added maps", "entries taken from the kernel maps"
    ADDED_PROCFS = "added procfs", "entries read from /proc"
    FLUSHED_LIMIT = "flushed limit", "entries that made room for newer ones"
    FLUSHED_VANISHED = "flushed vanished", "entries whose process was gone without an event"
    MERGED_EXEC = "merged exec", "execs that changed nothing: same file, rights and arguments"
    REPARENT_SUCCESS = "reparent success", "children that got a new parent"
    REPARENT_FAILED = "reparent failed", "children whose new parent is not known"
    BROKEN_LINEAGE = "broken lineage", "processes whose line of parents does not reach pid 1"
    FORK_PARENT_MISSING = (
        "inode error fork_parent_missing",
        "forks whose parent ran another file than the cache had",
    )
    EXEC_PARENT_MISSING = (
        "inode error exec_parent_missing",
        "execs that replaced another file than the cache had",
    )
    PROCFS_MISMATCH = "inode error procfs_mismatch", "exe changed between request and answer"
    ARGS_TRUNCATED = "args truncated", "argument lists longer than an event carries"
    PATH_ERROR = "path error", "entries whose executable could not be named"

    def __new__(cls, name: str, meaning: str = "") -> Counter:
        counter = str.__new__(cls, name)
        counter._value_ = name
        counter.meaning = meaning
        return counter
