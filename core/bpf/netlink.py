"""Questions to rtnetlink about the network namespace of the calling thread: devices, XDP, tc filters."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

_GETLINK, _NEWLINK = 18, 16
_GETFILTER, _NEWFILTER = 46, 44
_DUMP = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_DONE, _ERROR = 3, 2
_IFLA_IFNAME, _IFLA_XDP = 3, 43
_XDP_PROGRAMS = {4: "xdp", 5: "xdp driver", 6: "xdp generic", 7: "xdp offload"}
_TCA_KIND, _TCA_OPTIONS = 1, 2
_BPF_NAME, _BPF_ID = 7, 11
_MOST_MESSAGES = 100_000


class Device(NamedTuple):
    """A network device; `xdp` is (mode, program id) of what runs on it."""

    number: int
    name: bytes
    xdp: tuple[tuple[str, int], ...]


class Rtnetlink:
    """A socket in the network namespace of the thread that made it. Use it as a context manager."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        self._socket.bind((0, 0))
        self._socket.settimeout(2)
        self._sequence = 0

    def __enter__(self) -> Rtnetlink:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def devices(self) -> list[Device]:
        """Return every device. Raises OSError."""
        found = []
        for message in self._dump(_GETLINK, struct.pack("=BxHiII", 0, 0, 0, 0, 0), _NEWLINK):
            (index,) = struct.unpack_from("=i", message, 4)
            attributes = _attributes(message, 16)
            found.append(Device(index, attributes.get(_IFLA_IFNAME, b"").rstrip(b"\0"), _xdp(attributes)))
        return found

    def filters(self, index: int, parent: int) -> list[tuple[int, bytes]]:
        """Return (program id, its name there) of the cls_bpf filters below a qdisc; none without it."""
        found = []
        asked = struct.pack("=BxHiIII", 0, 0, index, 0, parent, 0)
        try:
            messages = list(self._dump(_GETFILTER, asked, _NEWFILTER))
        except OSError:
            return []
        for message in messages:
            attributes = _attributes(message, 20)
            if attributes.get(_TCA_KIND, b"").rstrip(b"\0") != b"bpf" or _TCA_OPTIONS not in attributes:
                continue
            options = _attributes(attributes[_TCA_OPTIONS], 0)
            if len(options.get(_BPF_ID, b"")) == 4:
                (program,) = struct.unpack("=I", options[_BPF_ID])
                found.append((program, options.get(_BPF_NAME, b"").rstrip(b"\0")))
        return found

    def _dump(self, kind: int, body: bytes, answer: int) -> Iterator[bytes]:
        self._sequence += 1
        header = struct.pack("=IHHII", 16 + len(body), kind, _DUMP, self._sequence, 0)
        self._socket.send(header + body)
        for _ in range(_MOST_MESSAGES):
            data = self._socket.recv(1 << 18)
            at = 0
            while at + 16 <= len(data):
                size, type_, _, sequence, _ = struct.unpack_from("=IHHII", data, at)
                if size < 16:
                    return
                if sequence == self._sequence:
                    if type_ == _DONE:
                        return
                    if type_ == _ERROR:
                        (number,) = struct.unpack_from("=i", data, at + 16)
                        raise OSError(-number, os.strerror(-number))
                    if type_ == answer:
                        yield data[at + 16 : at + size]
                at += (size + 3) & ~3


def _attributes(data: bytes, at: int) -> dict[int, bytes]:
    """Return the attributes of a message; of two of one type the first."""
    found: dict[int, bytes] = {}
    while at + 4 <= len(data):
        size, type_ = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found.setdefault(type_ & 0x3FFF, data[at + 4 : at + size])
        at += (size + 3) & ~3
    return found


def _xdp(attributes: dict[int, bytes]) -> tuple[tuple[str, int], ...]:
    nested = _attributes(attributes.get(_IFLA_XDP, b""), 0)
    programs = {
        mode: int.from_bytes(nested[type_][:4], sys.byteorder)
        for type_, mode in _XDP_PROGRAMS.items()
        if type_ in nested
    }
    named = {mode: number for mode, number in programs.items() if mode != "xdp" and number}
    return tuple((named or {mode: number for mode, number in programs.items() if number}).items())
