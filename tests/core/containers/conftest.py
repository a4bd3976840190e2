"""The real runtimes, for the tests of this folder."""

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
