"""Access control: the checks before every response of `ebpf-tui serve`."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field

_LOCAL_NAME = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """The secrets of one server, kept only in memory and only while it runs.

    The token is part of the address that the user opens; after that the browser sends the cookie. Browsers
    send a cookie to every port of a host, so this one is restricted to a random path: servers of other users
    on this machine do not receive it.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    path: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(9)}/")

    def knows_token(self, given: str) -> bool:
        return _same(given, self.token)

    def knows_cookie(self, given: str) -> bool:
        return _same(given, self.cookie)


def is_local(host: str) -> bool:
    """Return whether a Host header names this machine, with any port: `ssh -L` changes the port.

    A request of a page that uses DNS rebinding to 127.0.0.1 has the page's own name in this header.
    """
    return _LOCAL_NAME.fullmatch(host) is not None


def is_own_page(origin: str, host: str) -> bool:
    """Return whether our own page opens a websocket: browsers allow any page to open one."""
    return origin == f"http://{host}"


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
