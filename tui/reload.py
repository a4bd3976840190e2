"""`L`: reload the probe, preferably the object that the Build screen built."""

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
    """Return a function that opens a feed with the newest probe in place of a running feed.

    The function raises ProbeUnavailable when that probe cannot be loaded.
    """

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
    """Return the probe object that the Build screen built for this host, else the shipped one.

    Raises ProbeUnavailable if anyone but root, our user and the invoking user of sudo could have written it:
    the object runs in the kernel.
    """
    from buildgen.owner import invoking_user
    from core.system.arch import parse_arch  # buildgen is imported only on demand

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
        raise ProbeUnavailable(f"other users can write to {shown}", "remove it and build it again (2, b)")
    return built


def own_probe(cache: Path) -> tuple[Path, Path]:
    """Return the directory of this program's own probe, and the user's directory for its built objects."""
    return Path(os.path.abspath(SHIPPED_OBJECT.parent)), cache / "probe"
