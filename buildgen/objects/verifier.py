"""Loads each program of an object on its own, and says what libbpf and the kernel's verifier made of it.

Runs as a process of its own, `python -m buildgen.objects.verifier OBJECT FIRST`: libbpf reads files that
anybody may have made, in C. Writes one JSON object a line: the names of all programs, then what became of
each from number FIRST on. Nothing is attached, nothing is pinned, and all is gone when the process ends.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import sys
from collections.abc import Iterator
from ctypes import CFUNCTYPE, c_bool, c_char_p, c_int, c_size_t, c_uint32, c_void_p

NO_LIBBPF = 3
"""Exit code when libbpf.so.1 is not there."""

_ERRORS_AND_STATS, _WHOLE_WAY = 4, 1
"""BPF_LOG_STATS: what was wrong, and how many instructions were seen. BPF_LOG_LEVEL1: each of them, too."""
_SHORT, _LONG = 64 * 1024, 16 * 1024 * 1024
"""Room for the logs. Since Linux 6.4 a log that is longer keeps its end, before that its start."""
_KEPT = 1024 * 1024
"""As much of a log's end is passed on."""
_MOST_SAID = 64

_PRINT = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_set_print": (c_void_p, [_PRINT]),
    "bpf_object__open_file": (c_void_p, [c_char_p, c_void_p]),
    "bpf_object__next_program": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__next_map": (c_void_p, [c_void_p, c_void_p]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_map__set_pin_path": (c_int, [c_void_p, c_char_p]),
    "bpf_program__name": (c_char_p, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, c_bool]),
    "bpf_program__set_log_level": (c_int, [c_void_p, c_uint32]),
    "bpf_program__set_log_buf": (c_int, [c_void_p, c_char_p, c_size_t]),
}


class _Libbpf:
    """The functions above, and the warnings that libbpf wrote since `said` was last taken."""

    def __init__(self) -> None:
        self.c = ctypes.CDLL("libbpf.so.1", use_errno=True)
        for name, (result, arguments) in _SIGNATURES.items():
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


def _load(bpf: _Libbpf, path: bytes, number: int, level: int, room: int) -> tuple[int, bytes]:
    """Load program `number` alone; return (errno or 0, the verifier's log)."""
    opened = bpf.c.bpf_object__open_file(path, None)
    if not opened:
        return ctypes.get_errno(), b""
    log = ctypes.create_string_buffer(room)
    try:
        for index, program in enumerate(_programs(bpf, opened)):
            bpf.c.bpf_program__set_autoload(program, index == number)
            if index == number:
                bpf.c.bpf_program__set_log_level(program, level)
                bpf.c.bpf_program__set_log_buf(program, log, room)
        one = bpf.c.bpf_object__next_map(opened, None)
        while one:
            bpf.c.bpf_map__set_pin_path(one, None)  # a map that wants to be pinned would outlive us
            one = bpf.c.bpf_object__next_map(opened, one)
        return -min(0, bpf.c.bpf_object__load(opened)), log.value
    finally:
        bpf.c.bpf_object__close(opened)


def _verdict(bpf: _Libbpf, path: bytes, number: int) -> dict[str, object]:
    failed, brief = _load(bpf, path, number, _ERRORS_AND_STATS, _SHORT)
    said = bpf.said()
    log = brief
    if failed and brief:
        log = _load(bpf, path, number, _WHOLE_WAY, _LONG)[1] or brief
        bpf.said()
    return {
        "number": number,
        "errno": failed,
        "brief": _text(brief),
        "log": _text(log[-_KEPT:]),
        "said": said,
    }


def main() -> int:
    path, first = os.fsencode(sys.argv[1]), int(sys.argv[2])
    try:
        bpf = _Libbpf()
    except (OSError, AttributeError):
        return NO_LIBBPF
    opened = bpf.c.bpf_object__open_file(path, None)
    if not opened:
        _write({"open": ctypes.get_errno() or errno.EINVAL, "said": bpf.said()})
        return 0
    names = [_text(bpf.c.bpf_program__name(program)) for program in _programs(bpf, opened)]
    bpf.c.bpf_object__close(opened)
    _write({"programs": names, "said": bpf.said()})
    for number in range(first, len(names)):
        _write(_verdict(bpf, path, number))
    return 0


def _write(value: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
