"""What runs at network devices, in every network namespace: XDP, tc filters, tcx and netkit.

Network questions are answered for the namespace of the thread that asks, so a thread of its own enters each
one and ends. A namespace without processes is found where it is mounted (`ip netns add`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import threading

from core.bpf import names, syscall
from core.bpf.listing import refusal
from core.bpf.namespaces import Namespaces, mounts
from core.bpf.netlink import Device, Rtnetlink
from core.bpf.records import Attachment, Link, Refused
from core.system.host import Host

_CLONE_NEWNET = 0x40000000
_TC = {"tc ingress": 0xFFFFFFF2, "tc egress": 0xFFFFFFF3, "tc root": 0}
_MOST_DEVICES = 2_000
_SECONDS = 5.0

_LIBC = ctypes.CDLL(None, use_errno=True)


def device_attachments(
    host: Host, namespaces: Namespaces, links: tuple[Link, ...], refused: list[Refused]
) -> list[Attachment]:
    """Return the attachments of every network namespace. What cannot be entered is added to `refused`."""
    found: list[Attachment] = []
    for inode, path in _places(host, namespaces).items():
        look = _Look(path, inode, links)
        thread = threading.Thread(target=look.run, daemon=True, name=f"netns {inode}")
        thread.start()
        thread.join(_SECONDS)
        if thread.is_alive():
            refused.append(Refused(f"network namespace {inode}", "it did not answer in time"))
            continue
        found += look.answers
        if look.problem is not None:
            fix = "CAP_SYS_ADMIN" if look.problem.errno == errno.EPERM else ""
            refused.append(Refused(f"network namespace {inode}", refusal(look.problem), fix))
    return found


def _places(host: Host, namespaces: Namespaces) -> dict[int, bytes]:
    """Return inode -> a path that opens the namespace."""
    found = {inode: os.fsencode(host.proc / str(pid) / "ns/net") for inode, pid in namespaces.network.items()}
    for mount in mounts(host, namespaces, (b"nsfs",)):
        if mount.root.startswith(b"net:[") and not mount.may_wait:
            with contextlib.suppress(ValueError):
                root = os.fsencode(host.proc / str(mount.pid) / "root")
                found.setdefault(int(mount.root[5:-1]), root + mount.place)
    return found


class _Look:
    """What one network namespace says. `run` is for a thread that ends afterwards: it stays in there."""

    def __init__(self, path: bytes, inode: int, links: tuple[Link, ...]) -> None:
        self._path = path
        self._inode = inode
        self._own = os.stat("/proc/self/ns/net").st_ino
        # By device number alone two namespaces would be mixed up; program and number together are not.
        self._by_device = {(link.program_id, link.ifindex): link.id for link in links if link.ifindex}
        self._by_netns = {(link.program_id, link.netns): link.id for link in links if link.netns}
        self.answers: list[Attachment] = []
        self.problem: OSError | None = None

    def run(self) -> None:
        try:
            if self._enter():
                with Rtnetlink() as netlink:
                    for device in netlink.devices()[:_MOST_DEVICES]:
                        self._ask(netlink, device)
        except OSError as error:
            self.problem = error

    def _enter(self) -> bool:
        """Enter the namespace, and ask for what runs at itself. False when it is gone."""
        fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if os.fstat(fd).st_ino != self._inode:
                return False
            if self._inode != self._own and _LIBC.setns(fd, _CLONE_NEWNET):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))
            for attach in names.NETNS_ATTACH_TYPES:
                where = b"network namespace %d" % self._inode
                for program in _attached(fd, attach):
                    link = self._by_netns.get((program, self._inode), 0)
                    self._add(program, names.attach_type(attach), where, link)
        finally:
            os.close(fd)
        return True

    def _ask(self, netlink: Rtnetlink, device: Device) -> None:
        for mode, program in device.xdp:
            self._add(program, mode, device.name, self._by_device.get((program, device.number), 0))
        for direction, parent in _TC.items():
            for program, name in netlink.filters(device.number, parent):
                self._add(program, direction, device.name, 0, name)
        for attach in names.TCX_ATTACH_TYPES:
            for program in _attached(device.number, attach):
                link = self._by_device.get((program, device.number), 0)
                self._add(program, names.attach_type(attach), device.name, link)

    def _add(self, program: int, kind: str, where: bytes, link: int, detail: bytes = b"") -> None:
        self.answers.append(Attachment(program, kind, where, self._inode, link, detail))


def _attached(target: int, attach: int) -> tuple[int, ...]:
    """Return what is attached; nothing where the kernel or the device does not know the attach type."""
    try:
        return syscall.attached(target, attach)
    except OSError:
        return ()
