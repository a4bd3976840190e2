"""What a thread of this program waits for, according to the kernel: the system call, and its file.

/proc/self/task/TID/syscall has the number of the call that a thread is in and its arguments
(Documentation/filesystems/proc.rst); a path among them is in our own memory. The file itself is not touched.
"""

from __future__ import annotations

import ctypes
import os
import platform

from core.sources.mounts import mount_of
from core.system.plain_file import read_start
from core.text.safe import safe_text

_MOUNTINFO_LIMIT = 4 << 20
_PATH_LIMIT = 4096
_AT_FDCWD = -100

# asm/unistd.h: numbers of the calls that take a descriptor first, of those that take a directory's descriptor
# and a path, and of bpf(2).
_X86_64 = ({0, 5, 8, 17, 78, 138, 217}, {257, 262, 267, 332, 437}, 321)
_GENERIC = ({63, 80, 62, 67, 61, 44}, {56, 79, 78, 291, 437}, 280)
_CALLS = {"x86_64": _X86_64, "aarch64": _GENERIC, "riscv64": _GENERIC, "loongarch64": _GENERIC}
_PATH_FIRST = {"x86_64": {2, 4, 6, 89}}
_ANONYMOUS = "anon_inode:"


def waits_for(thread: int) -> str:
    """Return what the thread with this kernel id waits for, safe to show; empty when not known."""
    try:
        words = read_start(f"/proc/self/task/{thread}/syscall", 512).split()
        number, arguments = int(words[0]), [int(word, 16) for word in words[1:7]]
    except (OSError, ValueError, IndexError):  # it runs, or the kernel does not disclose it
        return ""
    by_descriptor, by_path, bpf = _CALLS.get(platform.machine(), (set(), set(), -1))
    if number == bpf:
        return "the kernel (bpf)"
    path = ""
    if number in by_descriptor:
        path = _opened(arguments[0])
    elif number in by_path:
        path = _joined(ctypes.c_int(arguments[0]).value, _text_at(arguments[1]))
    elif number in _PATH_FIRST.get(platform.machine(), set()):
        path = _joined(_AT_FDCWD, _text_at(arguments[0]))
    return _described(path) if path else ""


def _described(path: str) -> str:
    if path.startswith(_ANONYMOUS):
        what = path.removeprefix(_ANONYMOUS).strip("[]")
        return "the kernel's list of processes (a BPF iterator)" if "bpf" in what else f"the kernel ({what})"
    shown = safe_text(path, 200)
    if path.startswith("/proc/") or not path.startswith("/"):
        return shown
    try:
        mount = mount_of(os.fsencode(path), read_start("/proc/self/mountinfo", _MOUNTINFO_LIMIT))
    except OSError:
        return shown
    return f"{shown}, on the file system of {mount}" if mount else shown


def _opened(descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return ""


def _joined(folder: int, path: str) -> str:
    if not path or path.startswith("/") or folder == _AT_FDCWD:
        return path
    return f"{_opened(folder)}/{path}"


def _text_at(address: int) -> str:
    """Return the text at an address of this process. Read as a file: the thread may have freed it by now."""
    try:
        memory = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        left = 4096 - address % 4096  # the page behind it may not be there
        data = os.pread(memory, left, address)
        if b"\0" not in data:
            data += os.pread(memory, _PATH_LIMIT, address + left)
    except (OSError, OverflowError):
        return ""
    finally:
        os.close(memory)
    return os.fsdecode(data.partition(b"\0")[0])
