"""One kind of rejection: the kernel's words, what they mean, and what to change."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """`says` is a pattern of what the verifier writes with verbose(), in its wordings of 5.10 to 6.18.

    `cause` and `fix` may name the groups of `says`, and what buildgen.verifier.rejections.words() adds.
    """

    says: str
    cause: str
    fix: str
    before: str = ""
    after: str = ""
