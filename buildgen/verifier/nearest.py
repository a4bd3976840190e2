"""The names in the running kernel's BTF that are nearest to one that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from buildgen.objects.btf import BtfError, decode_btf
from buildgen.objects.budget import Budget

_VMLINUX_BTF = Path("/sys/kernel/btf/vmlinux")
_MOST = 3
_LEAST_SCORE = 0.5
_CANDIDATES = 400
_PREFIXES = {
    "tracepoint": ("typedef", b"btf_trace_"),
    "hook": ("func", b"bpf_lsm_"),
    "kfunc": ("func", b"bpf_"),
    "struct_ops": ("struct", b"bpf_struct_ops_"),
}
_KINDS = {"function": "func", "struct": "struct", "variable": "var"}


def nearest(name: str, what: str) -> tuple[str, ...]:
    """Return at most three existing names like `name`, the nearest first; empty where there is no BTF.

    `what` is function, tracepoint, hook (of LSM), kfunc, struct, struct_ops or variable.
    """
    scored = sorted(_scored(name, _names(what)), reverse=True)
    return tuple(word for score, word in scored[:_MOST] if score >= _LEAST_SCORE)


def _scored(name: str, candidates: Iterable[str]) -> Iterable[tuple[float, str]]:
    """Score by the parts between underscores that both have, and by the letters of the best of those."""
    parts = set(name.split("_"))
    likely = sorted(candidates, key=lambda word: -_common(parts, name, word))[:_CANDIDATES]
    for word in likely:
        letters = difflib.SequenceMatcher(None, name, word).ratio()
        whole = 0.9 if name.startswith(f"{word}_") or word.startswith(f"{name}_") else 0.0
        yield max(whole, (letters + _common(parts, name, word)) / 2), word


def _common(parts: set[str], name: str, word: str) -> float:
    """Return how much of both names their common parts are, 0 to 1; a common beginning counts, too."""
    shared = sum(map(len, parts & set(word.split("_"))))
    start = 0
    for one, other in zip(name, word, strict=False):
        if one != other:
            break
        start += 1
    return 2 * max(shared, start) / (len(name) + len(word))


@lru_cache(maxsize=8)
def _names(what: str) -> frozenset[str]:
    prefix = b""
    kind = _KINDS.get(what, "")
    if what in _PREFIXES:
        kind, prefix = _PREFIXES[what]
    cut = 0 if what == "kfunc" else len(prefix)
    return frozenset(
        name[cut:].decode("utf-8", "replace")
        for of, name in _all_names()
        if of == kind and name.startswith(prefix)
    )


@lru_cache(maxsize=1)
def _all_names() -> tuple[tuple[str, bytes], ...]:
    """Return (kind, name) of all types of the kernel; nothing when its BTF cannot be read."""
    try:
        btf = decode_btf(_VMLINUX_BTF.read_bytes(), Budget(records=4_000_000, text=1 << 30))
        kinds = frozenset({"func", "typedef", "struct", "var"})
        return tuple((one.kind, btf.name(one)) for one in btf.types if one.kind in kinds and one.name_at)
    except (OSError, BtfError, ValueError):
        return ()
