"""Pages of bbolt files, built by hand."""

from __future__ import annotations

import struct

from core.containers.bolt import _fnv

SIZE = 4096
BRANCH, LEAF, META = 1, 2, 4
Items = list[tuple[bytes, bytes, int]]


def page(number: int, kind: int, count: int, body: bytes, overflow: int = 0) -> bytes:
    return (struct.pack("=QHHI", number, kind, count, overflow) + body).ljust(SIZE * (1 + overflow), b"\0")


def leaf(number: int, items: Items, overflow: int = 0) -> bytes:
    head, data = b"", b""
    for index, (key, value, kind) in enumerate(items):
        position = (len(items) - index) * 16 + len(data)
        head += struct.pack("=IIII", kind, position, len(key), len(value))
        data += key + value
    return page(number, LEAF, len(items), head + data, overflow)


def branch(number: int, below: list[tuple[bytes, int]]) -> bytes:
    head, data = b"", b""
    for index, (key, child) in enumerate(below):
        head += struct.pack("=IIQ", (len(below) - index) * 16 + len(data), len(key), child)
        data += key
    return page(number, BRANCH, len(below), head + data)


def meta(number: int, txid: int, root: int = 3) -> bytes:
    body = struct.pack("=IIIIQQQQQ", 0xED0CDAED, 2, SIZE, 0, root, 0, 2, 99, txid)
    return page(number, META, 0, body + struct.pack("=Q", _fnv(body)))
