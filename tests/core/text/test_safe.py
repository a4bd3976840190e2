"""safe_text: nothing that it returns can steer a terminal, and nothing of what it was given is hidden."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.text.safe import json_text, safe_lines, safe_text


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        (b"\x9b31m", "\\x9b31m"),
        ("a\u202eb".encode(), "a\\u202eb"),
        ("zero\u200bwidth".encode(), "zero\\u200bwidth"),
        (b"line\nline", "line\\x0aline"),
        ("line\u2028line", "line\\u2028line"),
        ("\ud800", "\\ud800"),
        (b"caf\xe9", "caf\\xe9"),
        ("héé 漢字", "héé 漢字"),
        (b"[/red]x", "[/red]x"),
    ],
)
def test_what_is_shown(raw: bytes | str, shown: str) -> None:
    assert safe_text(raw) == shown


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_only_printable_characters_come_out(raw: bytes | str) -> None:
    shown = safe_text(raw)
    assert all(unicodedata.category(char)[0] != "C" for char in shown)
    assert not set(shown) & {"\u2028", "\u2029"}


@given(st.binary(max_size=100), st.integers(min_value=1, max_value=20))
def test_the_limit_holds(raw: bytes, limit: int) -> None:
    assert len(safe_text(raw, limit)) <= limit


def test_a_cut_is_marked() -> None:
    assert safe_text(b"x" * 100, 10) == "x" * 9 + "…"


@given(st.binary(max_size=100))
def test_json_text_keeps_every_byte(raw: bytes) -> None:
    assert json_text(raw).encode("utf-8", "surrogateescape") == raw


def test_lines_stay_lines() -> None:
    assert safe_lines(b"one\r\n\ttwo\x1b") == ["one", "    two\\x1b"]
