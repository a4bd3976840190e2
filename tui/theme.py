"""The colour themes. Colour is never the only sign: every source, state and verdict is also a word.

Dark and light: cache is blue, maps orange, procfs grey, which every kind of colour vision can tell apart;
good is green and bad is red. The colour-blind theme uses blue and orange for good and bad. Mono has no hue.
"""

from __future__ import annotations

from textual.theme import Theme


def _sources(cache: str, maps: str, procfs: str, guides: str, primary: str) -> dict[str, str]:
    return {
        "source-cache": cache,
        "source-maps": maps,
        "source-procfs": procfs,
        "guides": guides,
        "input-selection-background": f"{primary} 35%",
    }


DARK = Theme(
    name="dark",
    primary="#4aa3df",
    secondary="#e69f3c",
    accent="#7fc7c0",
    foreground="#d3dbe3",
    background="#0e1217",
    surface="#161c23",
    panel="#1c242d",
    success="#8fce72",
    warning="#e6c04f",
    error="#f0716a",
    dark=True,
    variables=_sources("#5fb2ec", "#eda84a", "#a9a4b8", "#4a5765", "#4aa3df"),
)
LIGHT = Theme(
    name="light",
    primary="#0b66b0",
    secondary="#a65a00",
    accent="#0f6f68",
    foreground="#1d2630",
    background="#fbfcfd",
    surface="#eef1f4",
    panel="#e2e7ec",
    success="#2c7a1d",
    warning="#8a5a00",
    error="#c0261d",
    dark=False,
    variables=_sources("#0b66b0", "#a65a00", "#6a6478", "#a9b4bf", "#0b66b0"),
)
COLOUR_BLIND = Theme(
    name="colour-blind",
    primary="#56b4e9",
    secondary="#e69f00",
    accent="#9fc9e8",
    foreground="#e4e8ec",
    background="#0e1217",
    surface="#161c23",
    panel="#1c242d",
    success="#56b4e9",
    warning="#f0e442",
    error="#ff9d3b",
    dark=True,
    variables=_sources("#56b4e9", "#e69f00", "#b3b3b3", "#54606c", "#56b4e9"),
)
MONO = Theme(
    name="mono",
    primary="#bdbdbd",
    secondary="#bdbdbd",
    accent="#ffffff",
    foreground="#d6d6d6",
    background="#0d0d0d",
    surface="#1a1a1a",
    panel="#242424",
    success="#e6e6e6",
    warning="#ffffff",
    error="#ffffff",
    dark=True,
    variables=_sources("#d6d6d6", "#ffffff", "#9e9e9e", "#5c5c5c", "#bdbdbd"),
)
ALL = (DARK, LIGHT, COLOUR_BLIND, MONO)
