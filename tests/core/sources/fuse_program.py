"""Runs programs from a file system in user space (fuse(4)) that misbehaves when it is asked to.

`fuse_program.py FOLDER [UID [COUNT]]` mounts over FOLDER, which has one file, `prog` (a copy of /bin/sleep),
executes it COUNT times and prints the pids. The mount is UID's: without allow_other all others are refused.
A line on its standard input says what the server does from then on, and is answered with `ok`: `silent` takes
requests for attributes and answers none, `errno N` refuses each with that error, `good` answers again, what
it still owes as well, `dead` ends the server's connection. At the end of its input, or after LIFE_S,
everything ends. Run it as root, in a mount namespace of its own.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from struct import Struct, pack, unpack_from

HEAD = Struct("=IIQQ")
IN_HEADER = 40
INIT, LOOKUP, GETATTR, OPEN, READ, FORGET, BATCH_FORGET = 26, 1, 3, 14, 15, 2, 42
FORCE, DETACH = 1, 2
ENOSYS = 38
PDEATHSIG = 1
LIFE_S = 15

libc = ctypes.CDLL(None, use_errno=True)
data = Path("/bin/sleep").read_bytes()


class Server:
    def __init__(self, device: int, folder: str) -> None:
        self.device = device
        self.folder = folder
        self.mood = "good"
        self.owed: list[tuple[int, int]] = []

    def answer(self, unique: int, body: bytes, error: int = 0) -> None:
        os.write(self.device, pack("=IiQ", 16 + len(body), error, unique) + body)

    def give_attributes(self, unique: int, node: int) -> None:
        if self.mood == "silent":
            self.owed.append((unique, node))
        elif self.mood.startswith("errno "):
            self.answer(unique, b"", -int(self.mood.split()[1]))
        else:
            self.answer(unique, pack("=QII", 0, 0, 0) + attributes(node))

    def serve(self) -> None:
        while True:
            try:
                request = os.read(self.device, 1 << 17)
            except OSError:
                return
            _, kind, unique, node = HEAD.unpack_from(request)
            if kind == INIT:
                self.answer(unique, pack("=IIIIHHIIHHI28x", 7, 31, 0, 0, 8, 8, 4096, 1, 1, 0, 0))
            elif kind == LOOKUP:
                self.answer(unique, pack("=QQQQII", 2, 0, 3600, 0, 0, 0) + attributes(2))
            elif kind == GETATTR:
                self.give_attributes(unique, node)
            elif kind == OPEN:
                self.answer(unique, pack("=QII", 1, 0, 0))
            elif kind == READ:
                _, offset, size = unpack_from("=QQI", request, IN_HEADER)
                self.answer(unique, data[offset : offset + size])
            elif kind not in (FORGET, BATCH_FORGET):
                self.answer(unique, b"", -ENOSYS)

    def obey(self, mood: str) -> None:
        self.mood = mood
        if mood == "dead":
            libc.umount2(self.folder.encode(), FORCE)  # aborts the connection, as the server's end does
        elif mood == "good":
            owed, self.owed = self.owed, []
            for unique, node in owed:
                self.give_attributes(unique, node)


def attributes(node: int) -> bytes:
    mode = 0o40755 if node == 1 else 0o100755
    return pack("=6Q10I", node, len(data), 64, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)


def start(device: int, folder: str, uid: int) -> int:
    server = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(device)
            if uid:
                os.setresuid(uid, uid, uid)
            libc.prctl(PDEATHSIG, signal.SIGKILL)
            if os.getppid() == server:
                os.execv(f"{folder}/prog", ["prog", "3600"])
        finally:
            os._exit(1)
    while Path(f"/proc/{pid}/comm").read_bytes() != b"prog\n":
        time.sleep(0.01)
    return pid


def main() -> None:
    signal.alarm(LIFE_S)
    folder = sys.argv[1]
    uid, count = (int(number) for number in [*sys.argv[2:], "0", "1"][:2])
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={uid},group_id=0".encode()
    if libc.mount(b"slow-server", folder.encode(), b"fuse", 2 | 4, options):
        sys.exit(f"mount: {os.strerror(ctypes.get_errno())}")
    server = Server(device, folder)
    threading.Thread(target=server.serve, daemon=True).start()
    pids = [start(device, folder, uid) for _ in range(count)]
    print(*pids, flush=True)
    for line in sys.stdin:
        server.obey(line.strip())
        print("ok", flush=True)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    libc.umount2(folder.encode(), DETACH)


main()
