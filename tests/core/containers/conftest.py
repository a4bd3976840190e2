"""The real runtimes, for the tests of this folder."""

import pytest

from tests.containers_real import (
    busybox_rootfs,
    busybox_tar,
    containerd,
    crun,
    dockerd,
    podman,
    runc,
    runc_container,
)

__all__ = [
    "busybox_rootfs",
    "busybox_tar",
    "containerd",
    "crun",
    "dockerd",
    "podman",
    "runc",
    "runc_container",
]


@pytest.fixture(autouse=True)
def patient_with_users(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that reads a user's state may take seconds to start while this machine is busy."""
    monkeypatch.setattr("core.containers.user_states._PATIENCE_S", 60.0)
    monkeypatch.setattr("core.containers.user_process.ANSWER_S", 30.0)
