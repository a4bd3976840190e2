"""What can go wrong between a source and an object, each as one line that a person can act on."""

from __future__ import annotations

from pathlib import Path

from core.text.safe import safe_text


class BuildgenError(Exception):
    """Base of every error this package raises on purpose; `str()` of it is one safe line."""

    def __init__(self, message: str) -> None:
        super().__init__(safe_text(message))


class KernelReleaseError(BuildgenError):
    """A text without a kernel version in it."""


class ConfigError(BuildgenError):
    """What was asked for makes no sense: a bad `ebpf.toml`, or an object nobody declared.

    `file`, `line` and `key` say where, as far as that is known; the message names them too.
    """

    def __init__(
        self, message: str, *, file: Path | None = None, line: int | None = None, key: str | None = None
    ) -> None:
        where = "" if file is None else f"{file}:{line}: " if line else f"{file}: "
        super().__init__(f"{where}{f'{key}: ' if key else ''}{message}")
        self.file = file
        self.line = line
        self.key = key


class ToolchainError(BuildgenError):
    """No complete LLVM, a mix of two, or no ninja. `fix` is what a person does about it."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}: {fix}")
        self.cause = safe_text(cause)
        self.fix = safe_text(fix)


class VmlinuxError(BuildgenError):
    """No vmlinux.h could be made from a kernel's BTF."""


class KheadersError(BuildgenError):
    """The headers that the kernel carries in itself cannot be used."""


class VerifyError(BuildgenError):
    """Programs cannot be loaded here at all: what is missing, and how to get it."""


class DisassemblyError(BuildgenError):
    """llvm-objdump is not there, or does not read an object."""


class ObjectError(BuildgenError):
    """A file that is no eBPF object, or a damaged one; the message starts with its name."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
