"""What it costs (CPU time) to look at 500 programs and 500 maps, and to find holders of 20,000 descriptors.

Run as root: python benchmarks/host_bpf.py. It loads 500 programs of two instructions and 500 maps of one
element, and frees them at its end. Peer in the same run: bpftool, where it is installed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable

from core.bpf import syscall
from core.bpf.holders import descriptors
from core.bpf.listing import Lister
from core.bpf.rates import counting, read_counters
from core.bpf.snapshot import HostBpf
from core.system.host import LOCAL
from core.system.interpreter import python

OBJECTS = 500
DESCRIPTORS = 20_000
HOLDERS = 25
PROG_LOAD, MAP_CREATE = 5, 0
SOCKET_FILTER, ARRAY = 1, 2


def best(what: Callable[[], object], times: int = 9) -> float:
    """Return the shortest of some runs in ms of CPU, with that of what they run: the machine is shared."""
    found = []
    for _ in range(times):
        begin = cpu_seconds()
        what()
        found.append(cpu_seconds() - begin)
    return min(found) * 1000


def cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def say(what: str, milliseconds: float, limit: float | None = None) -> None:
    print(f"{what:58} {milliseconds:9.2f} ms" + (f"   (at most {limit:.0f})" if limit else ""))


def load() -> list[int]:
    code = ctypes.create_string_buffer(struct.pack("=BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack("=IIQQ", SOCKET_FILTER, 2, ctypes.addressof(code), ctypes.addressof(licence))
    programs = [syscall.bpf(PROG_LOAD, attributes) for _ in range(OBJECTS)]
    maps = [syscall.bpf(MAP_CREATE, struct.pack("=IIII", ARRAY, 4, 8, 1)) for _ in range(OBJECTS)]
    return programs + maps


def bpftool(*arguments: str) -> None:
    subprocess.run(["bpftool", "-j", *arguments], check=True, capture_output=True)


def lists() -> None:
    lister = Lister()

    def whole() -> None:
        fresh = Lister()
        fresh.types = lister.types  # the kernel's BTF is indexed once a session
        fresh.programs([])
        fresh.maps([])
        fresh.links([])
        fresh.btfs([])

    programs = lister.programs([])
    print(f"{len(programs)} programs, {len(lister.maps([]))} maps")
    ids = [program.id for program in programs]
    with counting():
        say("rates of all programs, read once", best(lambda: read_counters(ids)), 8)
    say("whole listing: programs, maps, links, BTF", best(whole), 40)
    say("the same again, programs known", best(lambda: (lister.programs([]), lister.maps([]))))
    if shutil.which("bpftool"):
        say("bpftool prog show", best(lambda: bpftool("prog", "show"), 5))
        say("bpftool map show", best(lambda: bpftool("map", "show"), 5))


def holders() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    each = DESCRIPTORS // HOLDERS
    code = f"import os,sys; n=[os.dup(0) for _ in range({each})]; print(flush=True); sys.stdin.read()"
    children = [
        subprocess.Popen(python("-c", code), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(HOLDERS)
    ]
    for child in children:
        assert child.stdout is not None
        child.stdout.readline()
    host = HostBpf(LOCAL)
    try:
        if host.iterators is not None:
            rows = descriptors(LOCAL, host.iterators, [])
            print(f"{len(rows)} descriptors of eBPF objects among {DESCRIPTORS} and more")
            say("holders, our iterator", best(lambda: descriptors(LOCAL, host.iterators, [])), 10)
        say("holders, a walk over /proc", best(lambda: descriptors(LOCAL, None, []), 3))
        say("a whole snapshot: lists, holds, attachments, fill", best(host.snapshot, 5))
    finally:
        host.close()
        for child in children:
            child.communicate()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def main() -> int:
    if os.geteuid() != 0:
        print("needs root", file=sys.stderr)
        return 3
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    loaded = load()
    try:
        lists()
        holders()
    finally:
        for fd in loaded:
            os.close(fd)
    return 0


if __name__ == "__main__":
    sys.exit(main())
