"""vmlinux.h: found next to the sources, else generated from the running kernel's BTF.

libbpf's btf_dump generates it (no bpftool needed), which takes seconds, so the result is cached by the hash
of the BTF. The cache directory is the user's own, with mode 0700 and its owner checked: headers from a
directory that others could write to caused CVE-2024-2314.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from buildgen.errors import VmlinuxError
from buildgen.owner import Owner, acting_for, cache_directory, invoking_user, private_directory
from core.system.arch import Arch
from core.system.distribution import install_hint
from core.system.files import read_regular, write_file
from core.system.host import LOCAL, Host

KERNEL_BTF = "/sys/kernel/btf/vmlinux"

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.MULTILINE)
_PRINTF = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
_BIGGEST_BTF = 64 * 1024 * 1024
_BIGGEST_SOURCE = 16 * 1024 * 1024
_HEAD = b"""#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

"""
_TAIL = b"""
#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif
"""


def wants_vmlinux(source: Path, include: Iterable[Path]) -> bool:
    """Return whether `source`, or a header of the project that it includes, includes vmlinux.h."""
    places = list(include)
    todo, seen = [source], {source}
    while todo:
        header = todo.pop()
        for name in _included(header):
            if name == b"vmlinux.h":
                return True
            for place in (header.parent, *places):
                path = place / os.fsdecode(name)
                if path not in seen and path.is_file():
                    seen.add(path)
                    todo.append(path)
                    break
    return False


def find_vmlinux(source: Path, include: Iterable[Path], arch: Arch) -> Path | None:
    """Return the directory of the project's own vmlinux.h: next to the source, in the include directories,
    or in the <kernel-arch>/ folder of one of these."""
    for place in (source.parent, *include):
        for directory in (place / arch.kernel, place):
            if (directory / "vmlinux.h").is_file():
                return directory
    return None


def cached_vmlinux(host: Host = LOCAL, owner: Owner | None = None) -> Path:
    """Return the directory of the running kernel's vmlinux.h, generating it if it is not cached.

    The cache is that of `owner`, who will read it: by default of the invoking user.

    Raises VmlinuxError: no BTF, no libbpf, or a cache directory that others can write to.
    """
    source = host.path(KERNEL_BTF)
    try:
        with open(source, "rb") as file:
            btf = file.read(_BIGGEST_BTF)
    except OSError as error:
        raise VmlinuxError(f"{source}: {error.strerror}; the kernel needs CONFIG_DEBUG_INFO_BTF") from error
    owner = owner or invoking_user()
    cache = cache_directory(owner)
    try:
        with acting_for(owner):
            directory = private_directory(cache / "vmlinux" / hashlib.sha256(btf).hexdigest()[:32], owner)
            header = directory / "vmlinux.h"
            if not header.is_file():
                write_file(header, b"".join((_HEAD, *dump_types(source), _TAIL)))
    except OSError as error:
        raise VmlinuxError(f"{error.filename or cache}: {error.strerror}") from error
    return directory


def _included(path: Path) -> Iterator[bytes]:
    for include in _INCLUDE.finditer(read_regular(path, _BIGGEST_SOURCE, link=True) or b""):
        yield include[1]


# --- libbpf ----------------------------------------------------------------------------------------


def dump_types(btf_file: Path) -> list[bytes]:
    """Return every type of a raw BTF file as C, in an order that compiles. Raises VmlinuxError."""
    library = _libbpf()
    btf = library.btf__parse(os.fsencode(btf_file), None)
    if not btf:
        raise VmlinuxError(f"{btf_file}: libbpf cannot read this BTF; use a newer libbpf")
    parts: list[bytes] = []
    write = _writer(parts)
    dump = library.btf_dump__new(btf, write, None, None)
    try:
        if not dump:
            raise VmlinuxError(f"{btf_file}: libbpf cannot dump this BTF")
        for number in range(1, library.btf__type_cnt(btf)):
            if library.btf_dump__dump_type(dump, number) < 0:
                raise VmlinuxError(f"{btf_file}: libbpf cannot dump type {number}")
    finally:
        if dump:
            library.btf_dump__free(dump)
        library.btf__free(btf)
    return parts


def _writer(parts: list[bytes]) -> ctypes._FuncPointer:
    """Return a printf that appends to `parts`; it passes its va_list on to libc's vsnprintf."""
    vsnprintf = ctypes.CDLL(None).vsnprintf
    vsnprintf.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)
    size = 64 * 1024
    buffer = ctypes.create_string_buffer(size)

    def printf(_context: int, form: bytes, arguments: int) -> None:
        vsnprintf(buffer, size, form, arguments)
        parts.append(buffer.value)

    return _PRINTF(printf)


def _libbpf() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libbpf.so.1")
    except OSError as error:
        raise VmlinuxError(f"libbpf.so.1 is not installed: {install_hint('libbpf runtime')}") from error
    library.btf__parse.restype = ctypes.c_void_p
    library.btf__parse.argtypes = (ctypes.c_char_p, ctypes.c_void_p)
    library.btf__type_cnt.restype = ctypes.c_uint
    library.btf__type_cnt.argtypes = (ctypes.c_void_p,)
    library.btf__free.argtypes = (ctypes.c_void_p,)
    library.btf__free.restype = None
    library.btf_dump__new.restype = ctypes.c_void_p
    library.btf_dump__new.argtypes = (ctypes.c_void_p, _PRINTF, ctypes.c_void_p, ctypes.c_void_p)
    library.btf_dump__dump_type.argtypes = (ctypes.c_void_p, ctypes.c_uint)
    library.btf_dump__dump_type.restype = ctypes.c_int
    library.btf_dump__free.argtypes = (ctypes.c_void_p,)
    library.btf_dump__free.restype = None
    return library
