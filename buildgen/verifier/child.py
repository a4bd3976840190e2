"""Loads each program of an object on its own, and says what libbpf and the kernel's verifier made of it.

Runs as a process of its own (buildgen.verifier.checker starts it): libbpf reads files that anybody may have
made, in C. The object is standard input; the arguments are the number of the first program to load, the
seconds of processor time, and how many bytes and how many maps there may be. Before it reads anything it
gives up all rights that loading does not need. Writes one JSON object a line: the names of all programs and
what their maps take, then what became of each program. Nothing is attached, nothing is pinned, and all is
gone when the process ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import re
import resource
import sys
from collections.abc import Iterator
from ctypes import CFUNCTYPE, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_void_p

from buildgen.verifier.confine import CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON, CAP_SYS_ADMIN, confine
from buildgen.verifier.map_memory import Shape, entries_to_set, is_map_of_maps, memory_of, smaller

NO_LIBBPF = 3
"""Exit code when libbpf.so.1 is not there."""

_ERRORS_AND_STATS, _WHOLE_WAY = 4, 1
"""BPF_LOG_STATS: what was wrong, and how many instructions were seen. BPF_LOG_LEVEL1: each of them, too."""
_SHORT, _LONG = 64 * 1024, 16 * 1024 * 1024
"""Room for the logs. Since Linux 6.4 a log that is longer keeps its end, before that its start."""
_KEPT = 1024 * 1024
"""As much of a log's end is passed on."""
_KEPT_OF_ALL, _KEPT_THEN = 32 * 1024 * 1024, 16 * 1024
"""As much of all logs together; behind it, as much of each."""
_MOST_SAID = 64
_MOST_DATA, _MOST_FILES = 1 << 30, 4096
_OBJECT = b"/proc/self/fd/0"
_HASH, _PATTERN_VALUE = 1, 4096
"""The pattern of a map of maps that has none: large, so that no access is refused for its size."""
_SLOT = re.compile(r"map '[^']*': failed to initialize slot \[\d+\] to prog '[^']*'")
ADMIN = "admin"
"""A last argument: some program cannot be loaded without CAP_SYS_ADMIN."""

_PRINT = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_set_print": (c_void_p, [_PRINT]),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_map__set_pin_path": (c_int, [c_void_p, c_char_p]),
    "bpf_map__type": (c_int, [c_void_p]),
    "bpf_map__name": (c_char_p, [c_void_p]),
    "bpf_map__key_size": (c_uint32, [c_void_p]),
    "bpf_map__value_size": (c_uint32, [c_void_p]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__inner_map": (c_void_p, [c_void_p]),
    "bpf_map__set_inner_map_fd": (c_int, [c_void_p, c_int]),
    "bpf_map_create": (c_int, [c_int, c_char_p, c_uint32, c_uint32, c_uint32, c_void_p]),
    "libbpf_num_possible_cpus": (c_int, []),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, c_bool]),
    "bpf_program__set_log_level": (c_int, [c_void_p, c_uint32]),
    "bpf_program__set_log_buf": (c_int, [c_void_p, c_char_p, c_size_t]),
}


class _Libbpf:
    """The functions above, and the warnings that libbpf wrote since `said` was last taken."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name in ("bpf_object__open_file", "bpf_object__load", "bpf_program__set_log_buf"):
            getattr(self.c, name)  # libbpf 0 lacks the last
        for name, (result, arguments) in _SIGNATURES.items():
            with contextlib.suppress(AttributeError):
                function = getattr(self.c, name)
                function.restype, function.argtypes = result, arguments
        self._said: list[str] = []
        self._vsnprintf = ctypes.CDLL(None).vsnprintf
        self._vsnprintf.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]
        self._printer = _PRINT(self._print)  # libbpf calls it for as long as it is loaded
        self.c.libbpf_set_print(self._printer)

    def said(self) -> list[str]:
        said, self._said = self._said, []
        return said

    def _print(self, level: int, template: bytes, arguments: int) -> int:
        if level == 0 and len(self._said) < _MOST_SAID:  # LIBBPF_WARN
            buffer = ctypes.create_string_buffer(4096)
            self._vsnprintf(buffer, len(buffer), template, arguments)
            self._said += _text(buffer.value).splitlines()
        return 0


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _programs(bpf: _Libbpf, opened: int) -> Iterator[int]:
    program = bpf.c.bpf_object__next_program(opened, None)
    while program:
        yield program
        program = bpf.c.bpf_object__next_program(opened, program)


def _maps(bpf: _Libbpf, opened: int) -> Iterator[int]:
    """Yield the maps, each with the map that is a pattern of what is in it."""
    one = bpf.c.bpf_object__next_map(opened, None)
    while one:
        yield one
        if inner := bpf.c.bpf_map__inner_map(one):
            yield inner
        one = bpf.c.bpf_object__next_map(opened, one)


def _shape(bpf: _Libbpf, one: int) -> Shape:
    return Shape(
        bpf.c.bpf_map__type(one),
        bpf.c.bpf_map__key_size(one),
        bpf.c.bpf_map__value_size(one),
        bpf.c.bpf_map__max_entries(one),
    )


def _measured(bpf: _Libbpf, opened: int, most: int) -> dict[str, object]:
    """Return what the maps take as they are, what they take in a check, and which are smaller there."""
    whole = checked = count = 0
    names = []
    for one in _maps(bpf, opened):
        count += 1
        shape, cpus = _shape(bpf, one), max(1, bpf.c.libbpf_num_possible_cpus())
        whole += memory_of(shape, cpus)
        entries = smaller(shape)
        checked += memory_of(shape._replace(max_entries=entries), cpus)
        if entries != shape.max_entries:
            names.append(_text(bpf.c.bpf_map__name(one) or b""))
    if whole <= most:
        checked, names = whole, []
    return {"maps": count, "whole": whole, "checked": checked, "shrunk": names[:_MOST_SAID]}


def _fill_in(bpf: _Libbpf, opened: int, patterns: list[int]) -> list[str]:
    """Set what the object leaves to its loader; return what was set, in words.

    `patterns` gets the descriptors of the maps made as patterns of what is in a map of maps: the caller
    closes them.
    """
    done = []
    for one in _maps(bpf, opened):
        shape = _shape(bpf, one)
        name = _text(bpf.c.bpf_map__name(one) or b"")
        if entries := entries_to_set(shape):
            bpf.c.bpf_map__set_max_entries(one, entries)
            done.append(f"map {name!r}: max_entries is 0, which its loader sets; checked with {entries}")
        if is_map_of_maps(shape) and not bpf.c.bpf_map__inner_map(one):
            patterns.append(bpf.c.bpf_map_create(_HASH, b"pattern", 4, _PATTERN_VALUE, 1, None))
            if bpf.c.bpf_map__set_inner_map_fd(one, patterns[-1]) == 0:
                done.append(
                    f"map {name!r}: no inner map is defined, which its loader sets; checked with a hash of "
                    f"4-byte keys and {_PATTERN_VALUE}-byte values"
                )
    return done


def _load(bpf: _Libbpf, number: int, shrink: bool, level: int, room: int) -> tuple[int, bytes, list[str]]:
    """Load program `number` alone; return (errno or 0, the verifier's log, what was set for the check)."""
    opened = bpf.c.bpf_object__open_file(_OBJECT, None)
    if not opened:
        return ctypes.get_errno(), b"", []
    log = ctypes.create_string_buffer(room)
    patterns: list[int] = []
    try:
        for index, program in enumerate(_programs(bpf, opened)):
            bpf.c.bpf_program__set_autoload(program, index == number)
            if index == number:
                bpf.c.bpf_program__set_log_level(program, level)
                bpf.c.bpf_program__set_log_buf(program, log, room)
        for one in _maps(bpf, opened):
            bpf.c.bpf_map__set_pin_path(one, None)  # a map that wants to be pinned would outlive us
            shape = _shape(bpf, one)
            if shrink and smaller(shape) != shape.max_entries:
                bpf.c.bpf_map__set_max_entries(one, smaller(shape))
        done = _fill_in(bpf, opened, patterns)
        return -min(0, bpf.c.bpf_object__load(opened)), log.value, done
    finally:
        bpf.c.bpf_object__close(opened)
        for fd in patterns:
            if fd >= 0:
                os.close(fd)


def _verdict(bpf: _Libbpf, number: int, shrink: bool, kept: int) -> dict[str, object]:
    failed, brief, fixups = _load(bpf, number, shrink, _ERRORS_AND_STATS, _SHORT)
    said = bpf.said()
    if failed and brief and (slot := _unset_slot(said)):
        failed = 0
        fixups.append(slot)
    log = brief
    if failed and brief:
        log = _load(bpf, number, shrink, _WHOLE_WAY, _LONG)[1] or brief
        bpf.said()
    return {
        "number": number,
        "errno": failed,
        "brief": _text(brief),
        "log": _text(log[-kept:]),
        "said": said,
        "fixups": fixups[:_MOST_SAID],
    }


def _unset_slot(said: list[str]) -> str:
    """Return what libbpf said of an element of a program array that it could not set, if it did.

    It sets them when the program is loaded already: they name programs that a check of one leaves out.
    """
    for line in said:
        if _SLOT.search(line):
            return f"{line.removeprefix('libbpf: ')}: that program is not loaded in this check"
    return ""


def main() -> int:
    first, seconds, most, most_maps = map(int, sys.argv[1:5])
    try:
        bpf = _Libbpf()
    except (OSError, AttributeError):
        return NO_LIBBPF
    admin = {CAP_SYS_ADMIN} if ADMIN in sys.argv[5:] else set()
    confine(frozenset({CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN} | admin), _limits(seconds, most))
    opened = bpf.c.bpf_object__open_file(_OBJECT, None)
    if not opened:
        _write({"open": ctypes.get_errno() or errno.EINVAL, "said": bpf.said()})
        return 0
    names = [_text(bpf.c.bpf_program__name(program)) for program in _programs(bpf, opened)]
    maps = _measured(bpf, opened, most)
    bpf.c.bpf_object__close(opened)
    _write({"programs": names, "said": bpf.said(), **maps})
    if int(str(maps["checked"])) > most or int(str(maps["maps"])) > most_maps:
        return 0
    left = _KEPT_OF_ALL
    for number in range(first, len(names)):
        answer = _verdict(bpf, number, bool(maps["shrunk"]), _KEPT if left > 0 else _KEPT_THEN)
        left -= len(str(answer["log"]))
        _write(answer)
    return 0


def _limits(seconds: int, most: int) -> dict[int, int]:
    """No core file, no other process, no file; before Linux 5.11 maps count as locked memory."""
    return {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_DATA: _MOST_DATA,
        resource.RLIMIT_NOFILE: _MOST_FILES,
        resource.RLIMIT_MEMLOCK: 2 * most,
        resource.RLIMIT_CPU: seconds,
    }


def _write(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
