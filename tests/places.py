"""Where the checkout is, and what tests of several rooms use of it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHOP = ROOT / "tests/tui/shop.rec"
"""The recording that the pictures are of."""
