"""How much one object may take, counted as it is read: a small file can claim very much.

Sections that lie in each other, a string that a million records name, types that lead to types: each is
small in the file. What is counted is therefore what is made of it and the steps that it takes.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_RECORDS = 500_000
"""Symbols, ELF relocations, BTF types, variables and records of .BTF.ext; the largest real objects have
less than a fifth of it."""
MOST_STEPS = 1_000_000
"""Members, elements and references that are followed: some seconds of work."""
MOST_TEXT = 64 * 1024 * 1024
"""Bytes of names and source lines."""


class TooMuch(ValueError):
    """An object takes more than one may; the message names the limit, not the file."""


@dataclass(slots=True)
class Budget:
    """What is left for one object. Every method raises TooMuch when it is used up."""

    records: int = MOST_RECORDS
    steps: int = MOST_STEPS
    text: int = MOST_TEXT

    def take_records(self, count: int = 1) -> None:
        self.records -= count
        if self.records < 0:
            raise TooMuch(f"more than {MOST_RECORDS:,} symbols, types and records in it")

    def take_steps(self, count: int = 1) -> None:
        self.steps -= count
        if self.steps < 0:
            raise TooMuch(f"reading it takes more than {MOST_STEPS:,} steps: its parts refer to each other")

    def take_text(self, size: int) -> None:
        self.text -= size
        if self.text < 0:
            raise TooMuch(f"more than {MOST_TEXT >> 20} MiB of names in it")
