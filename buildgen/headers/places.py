"""The places on a host that may contain kernel headers."""

from __future__ import annotations

import os
from collections.abc import Iterator

from core.system.host import Host

ARCHIVE = "/sys/kernel/kheaders.tar.xz"
"""The headers embedded in a kernel with CONFIG_IKHEADERS."""

DIRECTORIES = ("/usr/src", "/usr/src/kernels", "/lib", "/lib/modules")
"""Parents of header trees; on a host with /usr/src or /lib/modules on another disk they are links."""


def places(host: Host) -> Iterator[tuple[str, str | None]]:
    """Yield the path of each candidate on the host, and R for one found by /lib/modules/R."""
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
