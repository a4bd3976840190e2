"""`L`: the probe that is loaded anew, the one that the Build screen built if there is one."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from platformdirs import user_cache_path

from core.probe.loader import SHIPPED_OBJECT, ProbeOptions
from core.probe.refusals import ProbeUnavailable
from core.sources.feed import Feed, open_feed
from core.text.safe import safe_text
from tui.settings import Settings


def probe_opener(settings: Settings) -> Callable[[Feed], Feed]:
    """Return what opens a feed with the newest probe after another feed, or raises ProbeUnavailable."""

    def opener(running: Feed) -> Feed:
        options = ProbeOptions(object_file=probe_object())
        return open_feed(
            settings.host,
            probe=settings.probe,
            need_maps=True,
            options=options,
            ask_runtimes=settings.ask_runtimes,
            after=running,
        )

    return opener


def probe_object() -> Path:
    """Return the object that the Build screen made of the probe for this host, else the shipped one.

    Raises ProbeUnavailable when others than root, we and who called sudo could have written it: what is
    loaded runs in the kernel.
    """
    from buildgen.owner import invoking_user
    from core.system.arch import parse_arch  # what builds is imported when it is asked for

    _, out = own_probe(user_cache_path("ebpf-tui"))
    built = out / parse_arch("local").name / "co-re" / SHIPPED_OBJECT.name
    try:
        about = built.stat()
    except OSError:
        return SHIPPED_OBJECT
    caller = invoking_user()
    trusted = {0, os.geteuid(), *([caller.uid] if caller is not None else [])}
    if about.st_uid not in trusted or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        shown = safe_text(str(built))
        raise ProbeUnavailable(f"others can write {shown}", "remove it, and build it again (2, b)")
    return built


def own_probe(cache: Path) -> tuple[Path, Path]:
    """Return where this program's own probe is, and a place of the person's own for its objects."""
    return Path(os.path.abspath(SHIPPED_OBJECT.parent)), cache / "probe"
