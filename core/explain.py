"""What the explain pane says of one process: the trail, the lineage, the image."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.lineage import Process
from core.model import (
    ContainerContext,
    Credentials,
    Outcome,
    ProcessEntry,
    ProcessKey,
    Resolution,
    TrailStep,
)
from core.process import Validity
from core.scrub import scrub_args
from core.text import safe_text
from core.view import Explanation, ProcessView

_ANCESTORS = 16


def explanation(process: Process, resolution: Resolution, view: ProcessView) -> Explanation:
    """Put into words what is known of a process and how. All texts are safe to show."""
    return Explanation(
        key=process.key,
        resolution=resolution,
        lineage=_lineage(process),
        image=tuple(_image(view, [("broken", _broken(process)), *_exit(process)])),
    )


def past_explanation(
    key: ProcessKey, view_of: Callable[[ProcessKey], ProcessView | None], known: Process | None
) -> Explanation | None:
    """Explain a process as it was: ended by now, or seen in a rewound tree.

    `view_of` is the tree as of that moment, `known` the process where it still lives: of its images
    those count that came before. What the tiers said then is not kept, only who answered.
    """
    view = view_of(key)
    if view is None:
        return None
    entry = view.entry
    images = [image for image in known.images if image.exec_id < entry.exec_id] if known is not None else []
    names = [safe_text(image.comm, 32) for image in (*images, entry)]
    above = view_of(view.parent) if view.parent is not None else None
    while above is not None:
        if len(names) > _ANCESTORS:
            names.insert(0, "…")
            break
        names.insert(0, safe_text(above.entry.comm, 32))
        above = view_of(above.parent) if above.parent is not None else None
    ended = _exit(known) if known is not None and view.ended_ns is not None else []
    trail: tuple[TrailStep, ...] = ()
    if view.source is not None:
        trail = (TrailStep(view.source, Outcome.HIT, "answered then; why is not kept of the past"),)
    return Explanation(
        key=key,
        resolution=Resolution(entry.pid, view.source, view.origin, entry, trail),
        lineage=tuple(names),
        image=tuple(_image(view, ended)),
    )


def _lineage(process: Process) -> tuple[str, ...]:
    """Name the ancestors and the images of the process itself, oldest first."""
    names = [safe_text(entry.comm, 32) for entry in process.images]
    names.append(safe_text(process.entry.comm, 32))
    for count, ancestor in enumerate(process.ancestors()):
        if count == _ANCESTORS:
            names.insert(0, "…")
            break
        names.insert(0, safe_text(ancestor.entry.comm, 32))
    return tuple(names)


def _broken(process: Process) -> str:
    """Say where the line of ancestors cannot be trusted, empty when it is whole."""
    validity, where = process.validity()
    return "" if validity is Validity.VALID else f"{validity} at pid {where.entry.pid}"


def _image(view: ProcessView, more: list[tuple[str, str]]) -> list[tuple[str, str]]:
    entry = view.entry
    exec_number = f"  exec #{entry.exec_id}" if entry.exec_id else ""
    inode = f"  inode {entry.inode}" if entry.inode else ""
    facts = [
        ("exe", (safe_text(entry.exe, 1024) or "not known") + inode + exec_number),
        ("script", safe_text(entry.script, 1024)),
        ("args", safe_text(b" ".join(scrub_args(entry.args)), 1024)),
        ("cgroup", safe_text(entry.cgroup, 1024)),
        ("user", _user(entry.credentials)),
        ("caps", _capabilities(entry.credentials)),
        ("namespaces", _namespaces(entry)),
        ("tty", safe_text(entry.tty, 64)),
        ("identity", _identity(entry)),
        ("container", _container(view)),
        *more,
        ("problem", safe_text(entry.problem, 300)),
    ]
    return [(label, text) for label, text in facts if text]


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


def _capabilities(creds: Credentials) -> str:
    return f"effective {creds.cap_effective:016x}  permitted {creds.cap_permitted:016x}"


def _container(view: ProcessView) -> str:
    container = view.container
    if container is None or container.id is None:
        return ""
    pod = container.pod_name
    words = [container.runtime or "unknown", safe_text(container.id, 128)]
    words += [word for word in (container.name, container.image, pod and f"pod {pod}") if word]
    reason = f"  ({container.reason})" if container.reason else ""
    return " · ".join(words) + "".join(_outside(container.outer)) + reason


def _outside(outer: ContainerContext | None) -> Iterator[str]:
    """Name the containers that a nested one is in, from inside outwards."""
    while outer is not None:
        yield f"  inside {outer.shown_name}"
        outer = outer.outer


def _exit(process: Process) -> list[tuple[str, str]]:
    if process.exited_ns is None:
        return []
    code = process.exit_code
    if code is None:
        return [("exit", "ended unseen")]
    if code & 0x7F:
        return [("exit", f"killed by signal {code & 0x7F}")]
    return [("exit", f"exit code {code >> 8 & 0xFF}")]
