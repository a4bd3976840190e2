"""The system's libbpf through ctypes: only the functions that the probe needs, with their types.

On failure every function of libbpf >= 1.0 returns NULL or a negative number and sets errno. Its log lines go
to `log_lines()`, never to the terminal. libbpf 1.0 is enough for everything here.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import CFUNCTYPE, POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_uint64, c_void_p
from functools import lru_cache

from core.text.safe import safe_text

SAMPLE_CALLBACK = CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
"""int (*)(void *ctx, void *data, size_t size): called for each ring buffer record. Keep the object alive."""

_PRINT_CALLBACK = CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)


class LibbpfError(OSError):
    """A call into libbpf failed: errno, the function in `action`, and libbpf's own lines in `log`."""

    def __init__(self, number: int, action: str, log: tuple[str, ...] = ()) -> None:
        super().__init__(number, f"{action}: {os.strerror(number)}")
        self.action = action
        self.log = log


class LibbpfMissing(Exception):
    """There is no usable libbpf; the text says why."""


class OpenOptions(ctypes.Structure):
    """The first fields of struct bpf_object_open_opts; libbpf reads `sz` bytes of it."""

    _fields_ = [("sz", c_size_t), ("object_name", c_char_p)]


class IterOptions(ctypes.Structure):
    """struct bpf_iter_attach_opts: which map an iterator over a map's elements walks.

    `link_info` points to a union bpf_iter_link_info; its first member is the map's descriptor.
    """

    _fields_ = [("sz", c_size_t), ("link_info", POINTER(c_uint32)), ("link_info_len", c_uint32)]


_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "libbpf_version_string": (c_char_p, []),
    "libbpf_major_version": (c_uint32, []),
    "libbpf_set_print": (c_void_p, [_PRINT_CALLBACK]),
    "bpf_object__open_mem": (c_void_p, [c_char_p, c_size_t, POINTER(OpenOptions)]),
    "bpf_object__load": (c_int, [c_void_p]),
    "bpf_object__close": (None, [c_void_p]),
    "bpf_object__find_map_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_object__find_program_by_name": (c_void_p, [c_void_p, c_char_p]),
    "bpf_map__fd": (c_int, [c_void_p]),
    "bpf_map__initial_value": (c_void_p, [c_void_p, POINTER(c_size_t)]),
    "bpf_map__set_max_entries": (c_int, [c_void_p, c_uint32]),
    "bpf_map__max_entries": (c_uint32, [c_void_p]),
    "bpf_program__set_autoload": (c_int, [c_void_p, ctypes.c_bool]),
    "bpf_program__attach": (c_void_p, [c_void_p]),
    "bpf_program__attach_iter": (c_void_p, [c_void_p, c_void_p]),
    "bpf_link__fd": (c_int, [c_void_p]),
    "bpf_link__destroy": (c_int, [c_void_p]),
    "bpf_iter_create": (c_int, [c_int]),
    "bpf_map_lookup_elem": (c_int, [c_int, c_void_p, c_void_p]),
    "bpf_map_update_elem": (c_int, [c_int, c_void_p, c_void_p, c_uint64]),
    "bpf_map_delete_elem": (c_int, [c_int, c_void_p]),
    "ring_buffer__new": (c_void_p, [c_int, SAMPLE_CALLBACK, c_void_p, c_void_p]),
    "ring_buffer__free": (None, [c_void_p]),
    "ring_buffer__consume": (c_int, [c_void_p]),
    "ring_buffer__epoll_fd": (c_int, [c_void_p]),
}

_LOGGER = logging.getLogger("ebpf_tui.libbpf")
_LOG_BYTES = 4 << 20
_LOG: deque[str] = deque(maxlen=400)
_LOG_LOCK = threading.Lock()


class Libbpf:
    """One loaded libbpf; its functions are called by their C names."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        for name, (result, arguments) in _SIGNATURES.items():
            function = getattr(library, name)
            function.restype, function.argtypes = result, arguments
        self.version: str = library.libbpf_version_string().decode().removeprefix("v")
        # Kept as an attribute, because libbpf calls it while it is loaded.
        self._printer = _PRINT_CALLBACK(_print)
        library.libbpf_set_print(self._printer)

    def call(self, name: str, *arguments: object) -> int:
        """Call a function that returns int; raise LibbpfError when it is negative."""
        result: int = getattr(self._library, name)(*arguments)
        if result < 0:
            raise LibbpfError(-result if result > -4096 else ctypes.get_errno(), name, log_lines())
        return result

    def pointer(self, name: str, *arguments: object) -> int:
        """Call a function that returns a pointer; raise LibbpfError when it is NULL."""
        result: int | None = getattr(self._library, name)(*arguments)
        if not result:
            raise LibbpfError(ctypes.get_errno(), name, log_lines())
        return result

    def read_iterator(self, link: int) -> bytes:
        """Return everything that an iterator prints; `link` is the pointer to its bpf_link.

        The kernel returns EAGAIN after a million skipped objects. Raises LibbpfError, OSError.
        """
        fd = self.call("bpf_iter_create", self.call("bpf_link__fd", link))
        chunks: list[bytes] = []
        try:
            while True:
                with contextlib.suppress(BlockingIOError, InterruptedError):
                    chunk = os.read(fd, 1 << 20)
                    if not chunk:
                        return b"".join(chunks)
                    chunks.append(chunk)
        finally:
            os.close(fd)

    def free(self, name: str, pointer: int) -> None:
        """Call a function that frees an object."""
        getattr(self._library, name)(pointer)

    def value(self, name: str, *arguments: object) -> int:
        """Call a function and return its result, also a negative one (map look-ups: 0 or -errno)."""
        result: int = getattr(self._library, name)(*arguments)
        return result

    def function(self, name: str) -> Callable[..., int]:
        """Return a function for direct calls in every look-up; it must never block.

        It keeps the interpreter's lock: releasing and taking it would be a third of a look-up's time.
        """
        library = ctypes.PyDLL(self._library._name, handle=self._library._handle)
        function: Callable[..., int] = getattr(library, name)
        return function

    def initial_value(self, map_pointer: int) -> tuple[int, int]:
        """Return address and size of a map's initial memory, before the object is loaded (.rodata)."""
        size = c_size_t()
        address = self.pointer("bpf_map__initial_value", map_pointer, byref(size))
        return address, size.value


@lru_cache(maxsize=1)
def load_libbpf() -> Libbpf:
    """Load libbpf.so.1. Raises LibbpfMissing; libbpf.so.0 lacks functions and is refused."""
    unusable = ""
    for name in ("libbpf.so.1", "libbpf.so"):
        try:
            library = ctypes.CDLL(name, use_errno=True)
        except OSError as error:
            if "No such file" not in str(error):  # it exists, but is damaged or for another architecture
                unusable = unusable or f"{name} cannot be loaded ({safe_text(str(error), 200)})"
            continue
        try:
            library.libbpf_major_version.restype = c_uint32
            if library.libbpf_major_version() >= 1:
                return Libbpf(library)
        except AttributeError:
            pass
    if unusable:
        raise LibbpfMissing(unusable)
    try:
        ctypes.CDLL("libbpf.so.0")
    except OSError:
        raise LibbpfMissing("libbpf.so.1 is not installed") from None
    raise LibbpfMissing("the installed libbpf is older than 1.0; libbpf.so.1 is needed")


_SIGNALS = signal.valid_signals()


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block signals while libbpf may call back.

    An exception that a signal handler raises within a callback (KeyboardInterrupt) cannot cross the C code:
    ctypes would discard it, and the signal would be lost. Python runs handlers in the main thread only, so
    other threads need nothing, and blocking signals there would cost more than reading an event.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    try:
        # Inside `try`: a signal that came just before raises in this call, with all signals already blocked.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def log_lines() -> tuple[str, ...]:
    """Return libbpf's latest log lines, oldest first; they are not safe to show yet."""
    with _LOG_LOCK:
        return tuple(_LOG)


def clear_log() -> None:
    with _LOG_LOCK:
        _LOG.clear()


_LIBC = ctypes.CDLL(None)
_LIBC.vsnprintf.argtypes = [c_char_p, c_size_t, c_char_p, c_void_p]
_LIBC.vsnprintf.restype = c_int


def _print(level: int, template: bytes, arguments: int) -> int:
    """libbpf's print callback. `arguments` is its va_list, passed to libc unchanged."""
    if level > 1:  # LIBBPF_DEBUG
        return 0
    # One call may have a whole verifier log, with the useful part at its end; a va_list is read only once.
    buffer = ctypes.create_string_buffer(_LOG_BYTES)
    _LIBC.vsnprintf(buffer, len(buffer), template, arguments)
    lines = buffer.value.decode("utf-8", "replace").splitlines()
    with _LOG_LOCK:
        _LOG.extend(lines)
    for line in lines:
        _LOGGER.info("%s", safe_text(line))
    return 0
