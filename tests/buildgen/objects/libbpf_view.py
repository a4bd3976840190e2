"""What libbpf itself says about an object file: the outside view that `inspect` is compared with."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import NamedTuple

from tests.needs import lacks


class ProgramView(NamedTuple):
    name: str
    section: str
    type: str
    insns: int


class MapView(NamedTuple):
    type: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int


def library() -> ctypes.CDLL:
    try:
        found = ctypes.CDLL("libbpf.so.1")
    except OSError:
        lacks("libbpf.so.1")
    for name, result in {
        "bpf_object__open": ctypes.c_void_p,
        "bpf_object__next_program": ctypes.c_void_p,
        "bpf_object__next_map": ctypes.c_void_p,
        "bpf_program__name": ctypes.c_char_p,
        "bpf_program__section_name": ctypes.c_char_p,
        "bpf_program__insn_cnt": ctypes.c_size_t,
        "bpf_map__name": ctypes.c_char_p,
        "libbpf_bpf_prog_type_str": ctypes.c_char_p,
        "libbpf_bpf_map_type_str": ctypes.c_char_p,
    }.items():
        getattr(found, name).restype = result
    for name in ("program__name", "program__section_name", "program__insn_cnt", "program__type"):
        getattr(found, f"bpf_{name}").argtypes = (ctypes.c_void_p,)
    for name in ("name", "type", "key_size", "value_size", "max_entries", "map_flags"):
        getattr(found, f"bpf_map__{name}").argtypes = (ctypes.c_void_p,)
    for name in ("program", "map"):
        getattr(found, f"bpf_object__next_{name}").argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    found.bpf_object__close.argtypes = (ctypes.c_void_p,)
    found.libbpf_set_print(None)
    return found


def refusal(path: Path) -> str:
    """Return the first error that libbpf gives for a file that it does not open."""
    lib, libc = library(), ctypes.CDLL(None)
    said: list[str] = []

    def keep(level: int, template: int, arguments: int) -> int:
        line = ctypes.create_string_buffer(1000)
        libc.vsnprintf(line, ctypes.c_size_t(1000), ctypes.c_void_p(template), ctypes.c_void_p(arguments))
        if level == 0:  # LIBBPF_WARN
            said.append(line.value.decode(errors="replace").strip())
        return 0

    printer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(keep)
    lib.libbpf_set_print(printer)
    lib.bpf_object__open(str(path).encode())
    lib.libbpf_set_print(None)
    return said[0] if said else "no reason"


def view(path: Path) -> tuple[list[ProgramView], list[MapView], list[str]] | None:
    """Return programs, maps and names of maps; None when libbpf does not open the file."""
    lib = library()
    opened = lib.bpf_object__open(str(path).encode())
    if not opened or opened > 2**63:  # libbpf 1.0 returns NULL, older ones an error as a pointer
        return None
    programs, maps, names = [], [], []
    at = None
    while at := lib.bpf_object__next_program(opened, at):
        programs.append(
            ProgramView(
                lib.bpf_program__name(at).decode(),
                lib.bpf_program__section_name(at).decode(),
                lib.libbpf_bpf_prog_type_str(lib.bpf_program__type(at)).decode(),
                lib.bpf_program__insn_cnt(at),
            )
        )
    at = None
    while at := lib.bpf_object__next_map(opened, at):
        names.append(lib.bpf_map__name(at).decode())
        maps.append(
            MapView(
                lib.libbpf_bpf_map_type_str(lib.bpf_map__type(at)).decode(),
                lib.bpf_map__key_size(at),
                lib.bpf_map__value_size(at),
                lib.bpf_map__max_entries(at),
                lib.bpf_map__map_flags(at),
            )
        )
    lib.bpf_object__close(opened)
    return programs, maps, names
