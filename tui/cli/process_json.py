"""The JSON shapes of processes, shared by `ps`, `resolve` and `watch`. Bytes stay exact (json_text)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from core.model.entities import ContainerContext, ProcessEntry, Resolution, Tiers
from core.model.view import ProcessView
from core.text.safe import json_text

UserName = Callable[[int], str]
"""Returns the name of a uid on the host that the records describe."""


def process_json(view: ProcessView, user_name: UserName) -> dict[str, Any]:
    """Return one element of `ps`'s `processes[]`."""
    entry = view.entry
    usage = view.usage
    return {
        "pid": entry.pid,
        "ppid": entry.ppid,
        **_image_json(entry, user_name),
        "state": usage.state if usage else None,
        "cgroup": json_text(entry.cgroup),
        "container": container_json(view.container),
        "source": view.source,
        "origin": view.origin,
        "cpu_ns": usage.cpu_ns if usage else None,
        "rss": usage.rss_bytes if usage else None,
        "note": view.note or None,
    }


def entry_json(
    entry: ProcessEntry, container: ContainerContext | None, user_name: UserName
) -> dict[str, Any]:
    """Return the `entry` of `resolve`: every fact known about an image."""
    creds = entry.credentials
    return {
        "pid": entry.pid,
        "ppid": entry.ppid,
        **_image_json(entry, user_name),
        "cgroup": json_text(entry.cgroup),
        "container": container_json(container),
        "script": json_text(entry.script) or None,
        "inode": entry.inode,
        "mtime_ns": entry.mtime_ns,
        "fork_ns": entry.fork_ns,
        "exec_ns": entry.exec_ns,
        "pid_ns": entry.pid_ns,
        "inner_pid": entry.inner_pid or None,
        "mnt_ns": entry.mnt_ns,
        "cookie": f"0x{entry.cookie:x}" if entry.cookie else None,
        "euid": creds.euid,
        "egid": creds.egid,
        "fsuid": creds.fsuid,
        "fsgid": creds.fsgid,
        "login_uid": creds.login_uid,
        "cap_effective": f"{creds.cap_effective:016x}",
        "cap_permitted": f"{creds.cap_permitted:016x}",
        "args_truncated": entry.cmdline_truncated,
        "note": entry.problem or None,
    }


def _image_json(entry: ProcessEntry, user_name: UserName) -> dict[str, Any]:
    return {
        "start_ns": entry.start_ns,
        "exec_id": entry.exec_id,
        "comm": json_text(entry.comm),
        "exe": json_text(entry.exe),
        "args": [json_text(argument) for argument in entry.args],
        "uid": entry.credentials.uid,
        "user": user_name(entry.credentials.uid),
        "gid": entry.credentials.gid,
        "tty": json_text(entry.tty) or None,
    }


def container_json(container: ContainerContext | None) -> dict[str, Any] | None:
    """Return the `container` of a process, or None for a process outside containers."""
    if container is None or container.id is None:
        return None
    return {
        "id": container.id,
        "runtime": container.runtime,
        "name": container.name,
        "image": container.image,
        "pod": container.pod,
    }


def trail_json(resolution: Resolution) -> list[dict[str, Any]]:
    """Return the `trail[]` of `resolve`."""
    return [
        {"tier": step.tier, "outcome": step.outcome, "reason": step.reason, "ns": step.ns}
        for step in resolution.trail
    ]


def tiers_json(tiers: Tiers) -> dict[str, Any]:
    """Return the `tiers` of `ps`: whether each tier is on, and the reason if it is off."""
    return {
        "cache": {"on": tiers.cache.on},
        "maps": {"on": tiers.maps.on, "reason": tiers.maps.reason or None},
        "procfs": {"on": tiers.procfs.on, "reason": tiers.procfs.reason or None},
        "step": tiers.step,
    }
