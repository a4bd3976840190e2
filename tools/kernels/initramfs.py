"""Packs the initramfs of the guest: busybox, the modules that mount the root, and the scripts."""

from __future__ import annotations

import lzma
import re
import stat
from pathlib import Path

MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
"""What the guest needs to mount the file system of the host; built into some kernels."""


def needed_modules(directory: Path) -> dict[str, bytes]:
    """Return MODULES and their dependencies by file name, uncompressed, each after those it depends on.

    `directory` is /lib/modules/RELEASE as the package has it, without the modules.dep that depmod writes. A
    module that is built into the kernel has no file.
    """
    files = {_module_name(path): path for path in directory.glob("kernel/**/*.ko*")}
    modules: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in files and f"{name}.ko" not in modules:
            content = files[name].read_bytes()
            if files[name].suffix == ".xz":  # the guest's insmod reads no compressed modules
                content = lzma.decompress(content)
            depends = re.search(rb"\0depends=([^\0]*)\0", content)
            for other in depends[1].decode().split(",") if depends else ():
                add(other.replace("-", "_"))
            modules[f"{name}.ko"] = content

    for name in MODULES:
        add(name)
    return modules


def _module_name(path: Path) -> str:
    return path.name.partition(".")[0].replace("-", "_")


def pack(files: dict[str, bytes]) -> bytes:
    """Return a cpio archive ("newc") of executable files, with the directories they are in."""
    directories = sorted({str(parent) for name in files for parent in Path(name).parents} - {"."})
    entries = [(name, stat.S_IFDIR | 0o755, b"") for name in ("dev", *directories)]
    entries += [(name, stat.S_IFREG | 0o755, content) for name, content in files.items()]
    entries.append(("TRAILER!!!", 0, b""))
    return b"".join(_entry(number, *entry) for number, entry in enumerate(entries, 1))


def _entry(inode: int, name: str, mode: int, content: bytes) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device and rdevice (major, minor), name size, checksum
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(path), 0)
    head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
    return _padded(head) + _padded(content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)
