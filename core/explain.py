"""What the explain pane says of one process: the trail, the lineage, the image."""

from __future__ import annotations

from core.lineage import Process
from core.model import Credentials, ProcessEntry, Resolution
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
        image=tuple(_image(process, view)),
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


def _image(process: Process, view: ProcessView) -> list[tuple[str, str]]:
    entry = process.entry
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
        ("broken", _broken(process)),
        ("problem", safe_text(entry.problem, 300)),
    ]
    if process.exited_ns is not None:
        facts.append(("exit", _exit(process.exit_code)))
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
    words = [container.runtime or "unknown", safe_text(container.id, 128)]
    words += [word for word in (container.name, container.image, container.pod) if word]
    reason = f"  ({container.reason})" if container.reason else ""
    return " · ".join(words) + reason


def _exit(code: int | None) -> str:
    if code is None:
        return "ended unseen"
    return f"killed by signal {code & 0x7F}" if code & 0x7F else f"exit code {code >> 8 & 0xFF}"
