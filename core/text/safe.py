"""The only conversion of bytes from outside to text.

In this program `bytes` come from the kernel, a file or a tool, and `str` may be shown. Process names, argv,
cgroup names, labels, ELF strings and compiler output stay bytes until `safe_text` converts them; `json_text`
keeps them exact for machine-readable output.
"""

from __future__ import annotations

DISPLAY_LIMIT = 4096
"""Default limit of the text that `safe_text` returns, in characters."""

ELLIPSIS = "…"


def safe_text(value: bytes | str, limit: int = DISPLAY_LIMIT) -> str:
    """Return `value` as text that cannot control a terminal or disguise its content.

    Bytes are decoded as UTF-8. Everything that is not printable (C0, DEL, C1, bidirectional and zero-width
    controls, line separators, lone surrogates, undecodable bytes) becomes a visible escape such as
    `\\x1b` or `\\u202e`. The result has at most `limit` characters; a cut is marked with an ellipsis.
    It may still contain square brackets: pass it to widgets as Text or Content, never as markup.
    """
    if isinstance(value, bytes):
        # A character takes at most four bytes, so nothing that would be shown is lost.
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
    """Split tool output at newlines and make every line safe; tabs become four spaces."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
    return [safe_text(line.rstrip("\r").replace("\t", "    "), limit) for line in text.split("\n")]


def json_text(value: bytes) -> str:
    """Return `value` as text that preserves every byte in JSON: UTF-8, other bytes as lone surrogates.

    `json_text(x).encode("utf-8", "surrogateescape") == x`. The JSON writer escapes everything that is not
    ASCII, so no raw control character reaches a terminal.
    """
    return value.decode("utf-8", "surrogateescape")
