"""Makes a process that is stuck in the kernel with its memory map locked: `stuck_process.py KIND`.

Prints its pid; at the first line on its standard input the kernel lets go and the process sleeps, at the
second all ends. KIND says which thread is stuck: its first (`leader`), another one (`thread`), or one behind
a hundred others (`crowd`). Run it as root, in a mount namespace of its own.

A file system in user space (fuse(4)) serves one file and never answers a READ: a reader has its page locked
for ever. The victim opens it as FOPEN_DIRECT_IO and maps it: fuse_file_mmap() then waits for that page, and
mmap(2) holds the map's lock for writing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from struct import Struct, pack

HEAD = Struct("=IIQQ")
INIT, LOOKUP, GETATTR, OPEN, READ, FORGET, BATCH_FORGET = 26, 1, 3, 14, 15, 2, 42
DIRECT_IO, KEEP_CACHE = 1, 2
FORCE, DETACH = 1, 2
ENOSYS = 38
FOREVER_S = 3600

reading = threading.Event()
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]


def attributes(node: int) -> bytes:
    mode = 0o40755 if node == 1 else 0o100644
    return pack("=6Q10I", node, 4096, 8, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def serve(device: int) -> None:
    opened = 0
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        _, kind, unique, node = HEAD.unpack_from(request)
        error, answer = 0, b""
        if kind == INIT:
            answer = pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0)
        elif kind == LOOKUP:
            answer = pack("=QQQQII", 2, 0, FOREVER_S, FOREVER_S, 0, 0) + attributes(2)
        elif kind == GETATTR:
            answer = pack("=QII", FOREVER_S, 0, 0) + attributes(node)
        elif kind == OPEN:
            opened += 1
            answer = pack("=QII", opened, 0 if opened == 1 else DIRECT_IO | KEEP_CACHE, 0)
        elif kind in (READ, FORGET, BATCH_FORGET):
            if kind == READ:
                reading.set()
            continue
        else:
            error = -ENOSYS
        os.write(device, pack("=IiQ", 16 + len(answer), error, unique) + answer)


def child(device: int, work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        os.close(device)
        try:
            work()
        finally:
            os._exit(0)
    return pid


def waiting_in(pid: int) -> list[bytes]:
    """Return the kernel's functions that the threads of a process wait in."""
    return [path.read_bytes() for path in Path(f"/proc/{pid}/task").glob("*/wchan")]


def main() -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    with tempfile.TemporaryDirectory() as folder:
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"stuck", folder.encode(), b"fuse", 2 | 4, options):
            sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
        threading.Thread(target=serve, args=(device,), daemon=True).start()
        path = f"{folder}/file"
        reader = child(device, lambda: os.read(os.open(path, os.O_RDONLY), 1))
        reading.wait()

        def map_it() -> None:
            libc.mmap(None, 4096, 1, 2, os.open(path, os.O_RDONLY), 0)

        def leader() -> None:
            map_it()
            time.sleep(FOREVER_S)

        def thread(others: int = 0) -> None:
            for _ in range(others):
                threading.Thread(target=time.sleep, args=(FOREVER_S,), daemon=True).start()
            threading.Thread(target=map_it, daemon=True).start()
            time.sleep(FOREVER_S)

        victims = {"leader": leader, "thread": thread, "crowd": lambda: thread(100)}
        victim = child(device, victims[sys.argv[1]])
        while not any(b"folio" in wchan or b"page" in wchan for wchan in waiting_in(victim)):
            time.sleep(0.01)
        print(victim, flush=True)
        try:
            sys.stdin.readline()
            libc.umount2(folder.encode(), FORCE)  # aborts it: whoever waits gets an error
            sys.stdin.readline()
        finally:
            libc.umount2(folder.encode(), FORCE)
            for pid in (victim, reader):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            libc.umount2(folder.encode(), DETACH)


main()
