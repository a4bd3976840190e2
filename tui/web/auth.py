"""Who may come in: the checks in front of everything that `ebpf-tui serve` answers."""

from __future__ import annotations

import hmac
import re
import secrets
from dataclasses import dataclass, field

_LOCAL_NAME = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::\d{1,5})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class AccessCheck:
    """The secrets of one server. They live as long as it does, in memory only.

    The token comes once, in the address that a person opens; from then on the browser has the cookie. A
    cookie belongs to a host whatever the port, so this one is for a path that no other server knows: those
    of other people on this machine are not sent it.
    """

    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    path: str = field(default_factory=lambda: f"/{secrets.token_urlsafe(9)}/")

    def knows_token(self, given: str) -> bool:
        return _same(given, self.token)

    def knows_cookie(self, given: str) -> bool:
        return _same(given, self.cookie)


def is_local(host: str) -> bool:
    """Return whether a Host header names this machine, at whatever port: `ssh -L` changes the port.

    A page whose own name was made to point to 127.0.0.1 (DNS rebinding) comes with that name.
    """
    return _LOCAL_NAME.fullmatch(host) is not None


def is_own_page(origin: str, host: str) -> bool:
    """Return whether a websocket is opened by a page of ours: browsers let any page open one."""
    return origin == f"http://{host}"


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode())
