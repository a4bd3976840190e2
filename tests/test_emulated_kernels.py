"""The initramfs of `make test-kernels`: busybox unpacks it, and modules come after their dependencies."""

from __future__ import annotations

import lzma
import subprocess
from pathlib import Path

from tests.needs import needs
from tools.kernels.initramfs import needed_modules, pack


def test_busybox_unpacks_what_was_packed(tmp_path: Path) -> None:
    needs("busybox")
    files = {"init": b"#!/busybox sh\n", "modules/odd.ko": b"x" * 4097, "modules/empty.ko": b""}
    subprocess.run(["busybox", "cpio", "-idm"], input=pack(files), cwd=tmp_path, check=True)
    unpacked = {str(path.relative_to(tmp_path)): path for path in tmp_path.rglob("*") if path.is_file()}
    assert {name: path.read_bytes() for name, path in unpacked.items()} == files
    assert all(path.stat().st_mode & 0o777 == 0o755 for path in unpacked.values())
    assert (tmp_path / "dev").is_dir()


def test_modules_come_after_their_dependencies(tmp_path: Path) -> None:
    def module(path: str, depends: str) -> bytes:
        content = b"\x7fELF\0license=GPL\0depends=" + depends.encode() + b"\0name=x\0"
        file = tmp_path / "kernel" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(lzma.compress(content) if file.suffix == ".xz" else content)
        return content

    module("fs/9p/9p.ko.xz", "9pnet,netfs")
    module("net/9p/9pnet.ko", "")
    module("net/9p/9pnet_virtio.ko", "9pnet")
    netfs = module("fs/netfs/netfs.ko.xz", "fs-cache")
    module("fs/fs_cache/fs-cache.ko", "")
    module("fs/overlayfs/overlay.ko", "")
    module("fs/xfs/xfs.ko", "")
    modules = needed_modules(tmp_path)  # virtio_pci is built in: it has no file
    names = list(modules)
    assert set(names) == {
        "9p.ko", "9pnet.ko", "9pnet_virtio.ko", "netfs.ko", "fs_cache.ko", "overlay.ko",
    }  # fmt: skip
    for name, needed in (("9p", "9pnet"), ("9p", "netfs"), ("9pnet_virtio", "9pnet"), ("netfs", "fs_cache")):
        assert names.index(f"{needed}.ko") < names.index(f"{name}.ko")
    assert modules["netfs.ko"] == netfs
