"""Explanation of one process: how it came to be, what it is, and drift."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice

import msgspec

from core.explain.group import outside, pod_name
from core.model.entities import Credentials, Outcome, ProcessEntry, ProcessKey, Resolution, TrailStep
from core.model.view import Explanation, LabelledFacts, ProcessView
from core.resolve.process import Validity
from core.resolve.process_cache import Process
from core.system.capabilities import capability_names
from core.text.safe import safe_text
from core.text.secrets import scrub_cmdline
from core.text.units import age

_ANCESTORS = 16


class Moment(msgspec.Struct, frozen=True):
    """When a process is explained: the boot clock then, and the audit's result for the process."""

    now_ns: int
    drift: str = ""


def explanation(process: Process, resolution: Resolution, view: ProcessView, moment: Moment) -> Explanation:
    """Describe a process and the source of its facts. All texts are safe to show."""
    upwards = (generation.entry for generation in chain((process,), process.ancestors()))
    story = [
        ("times", _times(process.entry, moment.now_ns, process)),
        ("lineage", _lineage(upwards)),
        ("execs", _execs(process.images, process.entry, moment.now_ns)),
        ("broken", _broken(process)),
        ("drift", moment.drift),
    ]
    return _explanation(view, resolution, story)


def past_explanation(
    key: ProcessKey,
    view_of: Callable[[ProcessKey], ProcessView | None],
    cached: Process | None,
    now_ns: int,
) -> Explanation | None:
    """Explain a process as it was: it has ended, or the tree is rewound. None when the tree lacks it.

    `view_of` reads the tree as of that moment (`now_ns`). `cached` is the process if it is still kept; only
    its images from before that moment are used. The history keeps which tier answered, not its trail.
    """
    view = view_of(key)
    if view is None:
        return None
    entry = view.entry
    images = tuple(image for image in cached.images if image.exec_id < entry.exec_id) if cached else ()
    trail: tuple[TrailStep, ...] = ()
    if view.source is not None:
        trail = (TrailStep(view.source, Outcome.HIT, "answered at that time; its trail was not kept"),)
    story = [
        ("times", _times(entry, now_ns, cached if view.ended_ns is not None else None)),
        ("lineage", _lineage(_upwards(view, view_of))),
        ("execs", _execs(images, entry, now_ns)),
    ]
    return _explanation(view, Resolution(entry.pid, view.source, view.origin, entry, trail), story)


def _explanation(view: ProcessView, resolution: Resolution, story: Iterable[tuple[str, str]]) -> Explanation:
    return Explanation(
        key=view.key,
        title=str(view.entry.pid),
        story=tuple((label, text) for label, text in story if text),
        facts=tuple((label, text) for label, text in _facts(view) if text),
        resolution=resolution,
    )


def _upwards(
    view: ProcessView, view_of: Callable[[ProcessKey], ProcessView | None]
) -> Iterator[ProcessEntry]:
    """Yield the entries of a process, its parent, grandparent and so on, as the tree has them."""
    generation: ProcessView | None = view
    while generation is not None:
        yield generation.entry
        generation = view_of(generation.parent) if generation.parent is not None else None


def _lineage(upwards: Iterator[ProcessEntry]) -> str:
    """Name a process and its ancestors, oldest first; of a long line only the nearest ancestors."""
    line = [_step(entry) for entry in islice(upwards, _ANCESTORS + 1)]
    if next(upwards, None) is not None:
        line.append("…")
    return " › ".join(reversed(line))


def _step(entry: ProcessEntry) -> str:
    return f"{safe_text(entry.comm, 32)}({entry.pid})"


def _times(entry: ProcessEntry, now_ns: int, process: Process | None) -> str:
    """Return how long ago the process forked (as in the AGE column) and executed, and how it ended."""
    words = [f"forked {age(now_ns - entry.start_ns)} ago"]
    if not entry.kthread:
        words.append(_exec_age(entry, now_ns))
    if process is not None and process.exited_ns is not None:
        words.append(f"exited {age(now_ns - process.exited_ns)} ago: {_exit_words(process.exit_code)}")
    return ", ".join(words)


def _exec_age(entry: ProcessEntry, now_ns: int) -> str:
    """Return how long ago the exec was. Only events carry its time; other sources give the start time."""
    if entry.exec_ns in (0, entry.start_ns):
        return "exec time not known"
    if entry.exec_ns < entry.start_ns:
        return "no exec since then"
    return f"exec {age(now_ns - entry.exec_ns)} ago"


def _execs(images: tuple[ProcessEntry, ...], entry: ProcessEntry, now_ns: int) -> str:
    """Name the images in order, oldest first; empty when there was only one."""
    if not images:
        return ""
    return " › ".join(
        f"{safe_text(image.comm, 32)} {_image_age(image, now_ns)}" for image in (*images, entry)
    )


def _image_age(image: ProcessEntry, now_ns: int) -> str:
    if image.exec_ns in (0, image.start_ns):
        return "(?)"
    return "(fork)" if image.exec_ns < image.start_ns else f"({age(now_ns - image.exec_ns)})"


def _exit_words(code: int | None) -> str:
    if code is None:
        return "exit code not known"
    if code & 0x7F:
        return f"killed by signal {code & 0x7F}"
    return f"exit code {code >> 8 & 0xFF}"


def _broken(process: Process) -> str:
    """Return where the line of ancestors is broken; empty when it is whole."""
    validity, where = process.validity()
    return "" if validity is Validity.VALID else f"{validity} at pid {where.entry.pid}"


def _facts(view: ProcessView) -> LabelledFacts:
    entry = view.entry
    if not entry.kthread:
        exec_number = f"  exec #{entry.exec_id}" if entry.exec_id else ""
        inode = f"  inode {entry.inode}" if entry.inode else ""
        yield "exe", (safe_text(entry.exe, 1024) or "not known") + inode + exec_number
    yield "script", safe_text(entry.script, 1024)
    yield "args", safe_text(scrub_cmdline(entry.cmdline, 4096), 1024)
    yield from _container(view)
    yield "cgroup", safe_text(entry.cgroup, 1024)
    yield "user", _user(entry.credentials)
    yield from _capabilities(entry.credentials)
    yield "namespaces", _namespaces(entry)
    yield "tty", safe_text(entry.tty, 64)
    yield "identity", _identity(entry)
    yield "problem", safe_text(entry.problem, 300)


def _identity(entry: ProcessEntry) -> str:
    cookie = f"  cookie 0x{entry.cookie:x}" if entry.cookie else ""
    return f"pid {entry.pid}  start {entry.start_ns} ns  parent {entry.ppid}{cookie}"


def _namespaces(entry: ProcessEntry) -> str:
    if not entry.pid_ns:
        return ""
    inner = f" (pid {entry.inner_pid} in it)" if entry.inner_pid not in (0, entry.pid) else ""
    return f"pid {entry.pid_ns}{inner}  mnt {entry.mnt_ns}"


def _user(creds: Credentials) -> str:
    login = "none" if creds.login_uid is None else str(creds.login_uid)
    return (
        f"uid {creds.uid} gid {creds.gid}  effective {creds.euid}:{creds.egid}"
        f"  fs {creds.fsuid}:{creds.fsgid}  login {login}"
    )


def _capabilities(creds: Credentials) -> LabelledFacts:
    effective, permitted = creds.cap_effective, creds.cap_permitted
    if effective == permitted:
        yield "caps", f"effective and permitted: {capability_names(effective)}"
        return
    yield "caps", f"effective: {capability_names(effective)}"
    yield "", f"permitted: {capability_names(permitted)}"


def _container(view: ProcessView) -> LabelledFacts:
    container = view.container
    if container is None or container.id is None:
        return
    short_id = safe_text(container.short_id) if container.id != container.name else None
    words = [container.runtime or "unknown", container.name, container.image, short_id]
    yield "container", " · ".join(word for word in words if word)
    for line in (pod_name(container) and f"pod {pod_name(container)}", *outside(container.outer)):
        yield "", line
    yield "", container.reason and f"({container.reason})"
