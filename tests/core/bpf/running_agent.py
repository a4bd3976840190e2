"""An agent of our own on the host, its object, and what bpftool makes of both."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from core.bpf import syscall
from tests.places import ROOT

IMAGE = struct.pack("=I4xQ16sII3s5xQ", 4121, 123456789, b"nginx", (5 << 5) | 0b11101, 7, b"\1\2\3", 0xABCD)


@dataclass
class RunningAgent:
    """A process that has loaded agent.bpf.o: ids of its objects by name, and its descriptors."""

    pid: int
    maps: dict[str, int]
    programs: dict[str, int]
    links: dict[str, int]
    fds: dict[str, dict[str, int]]


def compiled(name: str, directory: Path) -> Path:
    """Compile NAME.bpf.c of this directory."""
    clang = shutil.which("clang")
    if clang is None:
        pytest.skip("no clang")
    target = directory / f"{name}.bpf.o"
    include = f"-I/usr/include/{os.uname().machine}-linux-gnu"
    command = [
        clang,
        "-target",
        "bpf",
        "-mcpu=v3",
        "-g",
        "-O2",
        include,
        "-c",
        str(ROOT / f"tests/core/bpf/{name}.bpf.c"),
    ]
    subprocess.run([*command, "-o", str(target)], check=True)
    return target


def id_of(pid: int, fd: int, field: bytes) -> int:
    """The id of what a process has open, from its fdinfo: the outside truth."""
    lines = Path(f"/proc/{pid}/fdinfo/{fd}").read_bytes().splitlines()
    (value,) = [line.split(b":\t")[1] for line in lines if line.startswith(field + b":")]
    return int(value)


def bpftool(*arguments: str) -> object:
    """What bpftool says, as JSON. `skipped: why` without one."""
    tool = shutil.which("bpftool")
    if tool is None:
        pytest.skip("no bpftool")
    ran = subprocess.run([tool, "-j", *arguments], capture_output=True, check=False, timeout=60)
    return json.loads(ran.stdout)


def needs_ids() -> None:
    try:
        list(syscall.ids("program"))
    except PermissionError:
        pytest.skip("listing ids needs CAP_SYS_ADMIN")


def update(number: int, key: bytes, value: bytes) -> None:
    if not shutil.which("bpftool"):
        pytest.skip("no bpftool")
    words = ["bpftool", "map", "update", "id", str(number), "key", *map(str, key), "value", *map(str, value)]
    subprocess.run(words, check=True)


def load() -> int:
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    places = ctypes.addressof(code), ctypes.addressof(licence)
    call = struct.pack("=IIQQIIQII16s", 1, 2, *places, 0, 0, 0, 0, 0, b"short_lived")
    try:
        return syscall.bpf(5, call)
    except PermissionError:
        pytest.skip("loading eBPF needs root")
