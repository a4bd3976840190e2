"""Draws screenshots/*.svg, the pictures of the tests, from a recording and fixtures, never of this machine.

Run by `make screenshots`. If rsvg-convert is installed, it also writes build/screenshots/*.png for review.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.tui.pictures import PICTURES, Picture

ROOT = Path(__file__).resolve().parent.parent
SIZE = (120, 34)
SMALL = {"processes": (80, 24)}
_CELL = 12.2
"""Width of a cell in the SVG that Rich writes."""

_BLANK = "&#160;"
_TEXT = re.compile(
    r'<text (?P<head>[^>]*?)x="(?P<x>[\d.]+)"(?P<y>[^>]*?)textLength="[\d.]+"(?P<tail>[^>]*)>'
    r"(?P<text>[^<]*)</text>"
)


def in_words(svg: str) -> str:
    """Position each word separately: librsvg drops blanks around a text and lets long texts drift."""

    def split(match: re.Match[str]) -> str:
        text = match["text"].replace(_BLANK, " ")
        x = float(match["x"])
        words = []
        cells = 0
        for blanks, word in re.findall(r"( *)([^ ]+)", text):
            cells += len(blanks)
            length = len(re.sub(r"&[#\w]+;", "x", word))
            at = f'x="{x + cells * _CELL:.1f}"{match["y"]}textLength="{length * _CELL:.1f}"'
            words.append(f"<text {match['head']}{at}{match['tail']}>{word}</text>")
            cells += length
        return "".join(words)

    return _TEXT.sub(split, svg)


async def draw(picture: Picture, size: tuple[int, int]) -> str:
    """Return one picture as SVG."""
    app = picture.app()
    async with app.run_test(size=size) as pilot:
        await picture.prepare(pilot)
        return in_words(app.export_screenshot(title="ebpf-tui"))


def write(name: str, svg: str) -> None:
    """Write the SVG, and a PNG for review."""
    (ROOT / f"screenshots/{name}.svg").write_text(svg)
    if shutil.which("rsvg-convert"):
        folder = ROOT / "build/screenshots"
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["rsvg-convert", "-o", str(folder / f"{name}.png")], input=svg.encode(), check=True)


def main() -> None:
    os.environ.pop("NO_COLOR", None)
    for name in sys.argv[1:] or list(PICTURES):
        write(name, asyncio.run(draw(PICTURES[name], SIZE)))
        if name in SMALL:
            width, height = SMALL[name]
            write(f"{name}-{width}x{height}", asyncio.run(draw(PICTURES[name], SMALL[name])))
        print(f"screenshots/{name}.svg")


if __name__ == "__main__":
    main()
