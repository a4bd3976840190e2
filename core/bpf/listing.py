"""Reading the four lists: for each kind the ids, and of each object a descriptor, its info, and away with it.

What goes between its id and its descriptor is left out; what may not be read is a `Refused` row. No
descriptor outlives the reading of its object: one of ours would keep the object loaded.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from msgspec.structs import replace

from core.bpf import names, syscall
from core.bpf.link_target import read_link
from core.bpf.records import BtfObject, Kind, Link, Map, Program, Refused
from core.bpf.types import TypeNames

_PROGRAM = struct.Struct("=II8sIIQQQIIQ16sIIQQIIQQIIQIIQQIIIIQQQQIII")
_MAP = struct.Struct("=IIIIII16sIIQQIIIIQ")
_BTF = struct.Struct("=QIIQII")
_SHORT_NAME = 15
_MOST_MAPS = 64
_NAME_ROOM = 128

_Record = TypeVar("_Record")


class NotPermitted(PermissionError):
    """The kernel lists no ids to this process: CAP_SYS_ADMIN is missing."""


class Fdinfo(NamedTuple):
    """The lines of /proc/self/fdinfo that info structures lack."""

    memory: int | None = None
    frozen: bool | None = None
    owner_type: int | None = None


class Lister:
    """Reads lists. It keeps names and memory of programs, which never change, from one listing to the next.

    One thread at a time.
    """

    def __init__(self) -> None:
        self.types = TypeNames()
        self._programs: dict[int, Program] = {}

    def programs(self, refused: list[Refused], counting: bool = False) -> tuple[Program, ...]:
        """Return every program. Raises NotPermitted; what cannot be read is added to `refused`."""
        programs = _each(Kind.PROGRAM, lambda number, fd: self._program(number, fd, counting), refused)
        self._programs = {program.id: program for program in programs}
        return programs

    def maps(self, refused: list[Refused]) -> tuple[Map, ...]:
        return _each(Kind.MAP, _map, refused)

    def links(self, refused: list[Refused]) -> tuple[Link, ...]:
        return _each(Kind.LINK, lambda number, fd: read_link(number, fd, self.types), refused)

    def btfs(self, refused: list[Refused]) -> tuple[BtfObject, ...]:
        return _each(Kind.BTF, _btf, refused)

    def _program(self, number: int, fd: int, counting: bool) -> Program:
        known = self._programs.get(number)
        if known is not None:
            return with_rates(known, syscall.info("program", fd), counting)
        room = (ctypes.c_uint32 * _MOST_MAPS)()
        first = bytearray(_PROGRAM.size)
        struct.pack_into("=IQ", first, 52, _MOST_MAPS, ctypes.addressof(room))
        raw = syscall.info("program", fd, bytes(first))
        f = _PROGRAM.unpack_from(raw)
        if f[9] > _MOST_MAPS:
            room = (ctypes.c_uint32 * f[9])()
            struct.pack_into("=IQ", first, 52, f[9], ctypes.addressof(room))
            raw = syscall.info("program", fd, bytes(first))
            f = _PROGRAM.unpack_from(raw)
        program = Program(
            id=f[1],
            type=names.program_type(f[0]),
            name=self._full_name(fd, f, f[11].split(b"\0")[0]),
            tag=f[2].hex(),
            loaded_ns=f[7],
            uid=f[8],
            gpl=bool(f[13] & 1),
            run_ns=None,
            run_count=None,
            misses=None,
            verified_insns=f[35] or None,
            xlated_bytes=f[4],
            jited_bytes=f[3],
            memory=fdinfo(fd).memory,
            map_ids=tuple(room[: f[9]]),
            btf_id=f[20],
            attach_to=self.types.attach_target(f[36], f[37]),
        )
        return with_rates(program, raw, counting)

    def _full_name(self, fd: int, fields: tuple[int, ...], short: bytes) -> bytes:
        """Return the name of the function at instruction 0: the kernel keeps 15 bytes of it only."""
        if len(short) < _SHORT_NAME or not fields[20] or not fields[23] or fields[21] < 8:
            return short
        count, size = min(fields[23], 4096), fields[21]
        room = ctypes.create_string_buffer(count * size)
        asked = bytearray(_PROGRAM.size)
        struct.pack_into("=IQI", asked, 132, size, ctypes.addressof(room), count)
        syscall.info("program", fd, bytes(asked))
        for at in range(0, count * size, size):
            instruction, function = struct.unpack_from("=II", room, at)
            if instruction == 0:
                return self.types.name(fields[20], function) or short
        return short


def with_rates(program: Program, raw: bytearray, counting: bool) -> Program:
    """Return `program` with the counters of an info structure."""
    run_ns, run_count, misses = struct.unpack_from("=QQQ", raw, 192)
    counted = counting or run_count > 0
    times = (run_ns, run_count) if counted else (None, None)
    if (program.run_ns, program.run_count, program.misses) == (*times, misses):
        return program
    return replace(program, run_ns=times[0], run_count=times[1], misses=misses)


def fdinfo(fd: int) -> Fdinfo:
    """Return what fdinfo says of a descriptor of our own; nothing where /proc is not there."""
    try:
        file = os.open(f"/proc/self/fdinfo/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return Fdinfo()
    try:
        text = os.read(file, 4096)
    except OSError:
        return Fdinfo()
    finally:
        os.close(file)
    frozen = _field(text, b"\nfrozen:\t")
    return Fdinfo(_field(text, b"\nmemlock:\t"), None if frozen is None else frozen == 1,
                  _field(text, b"\nowner_prog_type:\t"))  # fmt: skip


def _field(text: bytes, name: bytes) -> int | None:
    at = text.find(name)
    if at < 0:
        return None
    value = text[at + len(name) : at + len(name) + 24].partition(b"\n")[0]
    return int(value) if value.isdigit() else None


def _each(kind: Kind, read: Callable[[int, int], _Record], refused: list[Refused]) -> tuple[_Record, ...]:
    found = []
    for number in all_ids(kind):
        try:
            fd = syscall.open_by_id(kind, number)
        except FileNotFoundError:
            continue
        except OSError as error:
            refused.append(Refused(f"{kind} {number}", refusal(error)))
            continue
        try:
            found.append(read(number, fd))
        except FileNotFoundError:
            continue
        except OSError as error:
            refused.append(Refused(f"{kind} {number}", refusal(error)))
        finally:
            os.close(fd)
    return tuple(found)


def all_ids(kind: Kind) -> Iterable[int]:
    """Return every id of a kind; empty on a kernel without such objects. Raises NotPermitted."""
    try:
        return list(syscall.ids(kind))
    except PermissionError as error:
        raise NotPermitted(error.errno, "the kernel lists what is loaded only with CAP_SYS_ADMIN") from None
    except OSError as error:
        if error.errno == errno.EINVAL:
            return ()
        raise


def refusal(error: OSError) -> str:
    """Return why one object could not be read."""
    if error.errno in (errno.EPERM, errno.EACCES):
        return "the kernel or a security module refuses it"
    return os.strerror(error.errno or 0) if error.errno != syscall.ENOTSUPP else "it cannot be read"


def _map(number: int, fd: int) -> Map:
    f = _MAP.unpack_from(syscall.info("map", fd))
    extra = fdinfo(fd)
    return Map(
        id=f[1],
        type=names.map_type(f[0]),
        name=f[6].split(b"\0")[0],
        key_size=f[2],
        value_size=f[3],
        max_entries=f[4],
        flags=f[5],
        extra=f[15],
        memory=extra.memory,
        frozen=extra.frozen,
        btf_id=f[11],
        key_type=f[12],
        value_type=f[13],
        kernel_value_type=f[8],
        owner_type=names.program_type(extra.owner_type) if extra.owner_type is not None else "",
    )


def _btf(number: int, fd: int) -> BtfObject:
    room = ctypes.create_string_buffer(_NAME_ROOM)
    f = _BTF.unpack_from(syscall.info("btf", fd, _BTF.pack(0, 0, 0, ctypes.addressof(room), _NAME_ROOM, 0)))
    return BtfObject(id=f[2], size=f[1], name=room.value, kernel=bool(f[5]))
