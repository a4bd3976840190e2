"""The errors of a build, each with a one-line message that the user can act on."""

from __future__ import annotations

from pathlib import Path

from core.text.safe import safe_text


class BuildgenError(Exception):
    """Base of every error that this package raises on purpose; its `str()` is one safe line."""

    def __init__(self, message: str) -> None:
        super().__init__(safe_text(message))


class KernelReleaseError(BuildgenError):
    """A text contains no kernel version."""


class ConfigError(BuildgenError):
    """An invalid request: a mistake in `ebpf.toml`, or an undeclared object.

    `file`, `line` and `key` locate it as far as possible; the message includes them.
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
    """LLVM is incomplete or of mixed majors, or ninja is missing. `fix` is the remedy."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}: {fix}")
        self.cause = safe_text(cause)
        self.fix = safe_text(fix)


class VmlinuxError(BuildgenError):
    """vmlinux.h could not be generated from a kernel's BTF."""


class KheadersError(BuildgenError):
    """The headers embedded in the kernel cannot be used."""


class VerifyError(BuildgenError):
    """No program can be loaded on this host; the message names what is missing and how to get it."""


class DisassemblyError(BuildgenError):
    """llvm-objdump is missing, or cannot read an object."""


class ObjectError(BuildgenError):
    """A file is damaged or not an eBPF object; the message starts with its path."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
