"""The one door for bytes that came from outside.

In this program `bytes` is what the kernel, a file or a tool gave us, and `str` is what may be shown.
Process names, argv, cgroup names, labels, ELF strings and compiler output stay bytes until `safe_text`
makes a str of them; `json_text` keeps them exact for machine-readable output.
"""

from __future__ import annotations

DISPLAY_LIMIT = 4096
"""Longest text that `safe_text` returns unless told otherwise, in characters."""

ELLIPSIS = "…"


def safe_text(value: bytes | str, limit: int = DISPLAY_LIMIT) -> str:
    """Return `value` as text that cannot steer a terminal or hide what it says.

    Bytes are read as UTF-8. Whatever is not printable (C0, DEL, C1, bidirectional and zero-width
    controls, line separators, lone surrogates, undecodable bytes) becomes a visible escape such as
    `\\x1b` or `\\u202e`. The result has at most `limit` characters; a cut is marked with an ellipsis.
    The result may still hold square brackets: give it to widgets as Text or Content, never as markup.
    """
    if isinstance(value, bytes):
        # Four bytes are the most that one character takes, so nothing that would be shown is lost.
        value = value[: limit * 4 + 4].decode("utf-8", "backslashreplace")
    if len(value) > limit:
        value = value[: limit - 1] + ELLIPSIS
    if value.isprintable():
        return value
    shown = "".join(char if char.isprintable() else _visible(char) for char in value)
    return shown if len(shown) <= limit else shown[: limit - 1] + ELLIPSIS


def _visible(char: str) -> str:
    code = ord(char)
    if code == 0xA0:  # no-break space: harmless, and common in translated messages
        return " "
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def safe_lines(value: bytes | str, limit: int = DISPLAY_LIMIT) -> list[str]:
    """Split tool output at its newlines and make every line safe; tabs become four spaces."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    return [safe_text(line.rstrip("\r").replace("\t", "    "), limit) for line in text.split("\n")]


def json_text(value: bytes) -> str:
    """Return `value` so that JSON keeps it byte for byte: UTF-8, other bytes as lone surrogates.

    `json_text(x).encode("utf-8", "surrogateescape") == x`; the JSON writer escapes everything that
    is not ASCII, so nothing of it reaches a terminal raw.
    """
    return value.decode("utf-8", "surrogateescape")
