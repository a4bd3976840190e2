"""A host on which two users run rootless runtimes: what those write, and whose cgroups there are."""

from __future__ import annotations

import json
import os
from pathlib import Path

from core.containers import ContainerNames
from core.system.host import Host

JOE, EVE = 4242, 4243


def runc_state(path: str, bundle: str = "/b") -> dict[str, object]:
    """What runc writes on a hybrid host."""
    mounts = {"": "unified", "name=systemd": "systemd"}
    paths = {hierarchy: f"/sys/fs/cgroup/{mount}{path}" for hierarchy, mount in mounts.items()}
    return {"cgroup_paths": paths, "config": {"labels": [f"bundle={bundle}"]}}


class Users:
    """A host with a hybrid cgroup tree, on which Joe and Eve run rootless runtimes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.chmod(0o755)
        (root / "proc").mkdir()
        (root / "etc").mkdir()
        passwd = [f"{name}:x:{uid}:{uid}::/home/{name}:/bin/sh" for name, uid in (("joe", JOE), ("eve", EVE))]
        (root / "etc/passwd").write_text("\n".join(passwd) + "\n")

    def write(self, path: str, content: object, uid: int) -> Path:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(content))
        os.chown(file, uid, uid)
        return file

    def cgroup(self, path: str, uid: int, hierarchy: str = "unified") -> None:
        folder = self.root / "sys/fs/cgroup" / hierarchy / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        os.chown(folder, uid, uid)

    def claim(
        self, uid: int, path: str, name: str = "web", bundle: str = "/b", by: int | None = None
    ) -> Path:
        state = runc_state(path, bundle)
        return self.write(f"/run/user/{uid}/runc/{name}/state.json", state, uid if by is None else by)

    def names(self) -> ContainerNames:
        return ContainerNames(Host(self.root))
