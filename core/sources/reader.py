"""The child process that makes reads which may block, for bounded_read.py. It imports no module of ours.

A request names a folder of /proc and the facts wanted from it; each answer is sent as soon as it is read.
Both are marshalled values after their length (4 bytes): requests `(folder, ((kind, name, limit), …))`,
answers the bytes of a file, `(inode, mode, mtime_ns)` of a link's target, or an errno. The first answer is
always the folder's own `stat`, which identifies the process that the other answers are about; if it is an
errno, no other answer follows. The process ends when its input is closed.
"""

from __future__ import annotations

import marshal
import os
import struct

LENGTH = struct.Struct("=I")
READ, FACTS = 0, 1
_READY = b"ready"
_STAT_LIMIT = 4096
_INPUT, _OUTPUT = 0, 1

Answer = bytes | int | tuple[int, int, int]


def read_file(folder: int | None, name: str, limit: int) -> bytes:
    """Read at most `limit` bytes of a file (in a folder); never waits for a FIFO's writer. Raises OSError."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, dir_fd=folder)
    try:
        chunks = []
        while limit > 0 and (chunk := os.read(descriptor, min(limit, 65536))):
            chunks.append(chunk)
            limit -= len(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)


def _answer(folder: int, kind: int, name: str, limit: int) -> Answer:
    try:
        if kind == READ:
            return read_file(folder, name, limit)
        file = os.stat(name, dir_fd=folder)
    except OSError as error:
        return error.errno or 0
    return file.st_ino, file.st_mode, file.st_mtime_ns


def _send(value: Answer) -> None:
    data = marshal.dumps(value)
    data = LENGTH.pack(len(data)) + data
    while data:
        data = data[os.write(_OUTPUT, data) :]


def _take(size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = os.read(_INPUT, size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _serve(path: str, wants: tuple[tuple[int, str, int], ...]) -> None:
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        _send(error.errno or 0)
        return
    try:
        stat = _answer(folder, READ, "stat", _STAT_LIMIT)
        _send(stat)
        if not isinstance(stat, int):
            for want in wants:
                _send(_answer(folder, *want))
    finally:
        os.close(folder)


def _main() -> None:
    try:
        _send(_READY)
        while True:
            _serve(*marshal.loads(_take(*LENGTH.unpack(_take(LENGTH.size)))))
    except (EOFError, BrokenPipeError):
        pass


if __name__ == "__main__":
    _main()
