"""The places on a host where kernel headers may be."""

from __future__ import annotations

import os
from collections.abc import Iterator

from core.system.host import Host

ARCHIVE = "/sys/kernel/kheaders.tar.xz"
"""Where a kernel with CONFIG_IKHEADERS shows the headers that it carries in itself."""

DIRECTORIES = ("/usr/src", "/usr/src/kernels", "/lib", "/lib/modules")
"""Where header trees are; a host with its /usr/src or /lib/modules on another disk has a link there."""


def places(host: Host) -> Iterator[tuple[str, str | None]]:
    """Yield each candidate as the host names it, and the R of /lib/modules/R it was found by."""
    for name in _names(host, "/usr/src/kernels"):
        yield f"/usr/src/kernels/{name}", None
    for name in _names(host, "/usr/src"):
        if name.startswith("linux-"):
            yield f"/usr/src/{name}", None
    for release in _names(host, "/lib/modules"):
        for link in ("build", "source"):
            if os.path.lexists(host.path(f"/lib/modules/{release}/{link}")):
                yield f"/lib/modules/{release}/{link}", release


def _names(host: Host, directory: str) -> list[str]:
    try:
        return sorted(os.listdir(host.realpath(directory)))
    except OSError:
        return []
