"""Maps a file of a slow file system in user space over its own argv: `slow_argv.py SECONDS xxxx…`.

Prints its pid. The file system notes each READ in the file `asked` of its working directory and answers it
after SECONDS with EIO, so that nothing hangs for good. Run it as root, in a mount namespace of its own, with
an argument of some pages. It ends by itself after 14 seconds, also when its parent is killed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from struct import Struct, pack

HEAD = Struct("=IIQQ")
INIT, LOOKUP, GETATTR, OPEN, READ, FORGET, BATCH_FORGET = 26, 1, 3, 14, 15, 2, 42
ENOSYS, EIO, LIFE_S = 38, 5, 14
MS_NOSUID_NODEV, MNT_DETACH, MAP_PRIVATE_FIXED = 6, 2, 0x12
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.mmap.restype = ctypes.c_void_p


def attributes(node: int) -> bytes:
    mode = 0o40755 if node == 1 else 0o100644
    return pack("=6Q10I", node, 8192, 16, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def serve(device: int, asked: int, seconds: float) -> None:
    def answer(unique: int, body: bytes = b"", error: int = 0) -> None:
        os.write(device, pack("=IiQ", 16 + len(body), -error, unique) + body)

    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            return
        _, kind, unique, node = HEAD.unpack_from(request)
        if kind == INIT:
            answer(unique, pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 1, 1, 4096, 1, 1, 0, 0))
        elif kind == LOOKUP:
            answer(unique, pack("=QQQQII", 2, 0, 3600, 3600, 0, 0) + attributes(2))
        elif kind == GETATTR:
            answer(unique, pack("=QII", 3600, 0, 0) + attributes(node))
        elif kind == OPEN:
            answer(unique, pack("=QII", 1, 2, 0))
        elif kind == READ:
            os.write(asked, b"READ\n")
            threading.Timer(seconds, answer, (unique, b"", EIO)).start()
        elif kind not in (FORGET, BATCH_FORGET):
            answer(unique, b"", ENOSYS)


def main() -> None:
    device = os.open("/dev/fuse", os.O_RDWR)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.mkdir("mount")
        options = f"fd={device},rootmode=40000,user_id=0,group_id=0".encode()
        if libc.mount(b"slow", b"mount", b"fuse", MS_NOSUID_NODEV, options):
            sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
        asked = os.open("asked", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        if os.fork() == 0:
            threading.Timer(LIFE_S + 1, os._exit, (0,)).start()  # with the server all that waits for it ends
            serve(device, asked, float(sys.argv[1]))
            os._exit(0)
        os.close(device)
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        page = (int(fields[45]) + mmap.PAGESIZE - 1) & -mmap.PAGESIZE
        file = os.open("mount/file", os.O_RDONLY)
        if libc.mmap(page, mmap.PAGESIZE, mmap.PROT_READ, MAP_PRIVATE_FIXED, file, 0) != page:
            sys.exit("mmap")
        print(os.getpid(), flush=True)
        time.sleep(LIFE_S)
        libc.umount2(b"mount", MNT_DETACH)


main()
