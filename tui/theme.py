"""The colours. Cache is blue, maps orange, procfs grey: apart for every kind of colour vision, and never
the only sign, because the SOURCE column says it in words."""

from __future__ import annotations

from textual.theme import Theme

DARK = Theme(
    name="ebpf-dark",
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
    variables={
        "source-cache": "#5fb2ec",
        "source-maps": "#eda84a",
        "source-procfs": "#a9a4b8",
        "guides": "#4a5765",
        "input-selection-background": "#4aa3df 35%",
    },
)
