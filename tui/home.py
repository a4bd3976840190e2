"""The user's home and XDG directories, even if the environment does not name them.

Containers and services run as users without a passwd entry and without HOME, and `sudo -u` may keep the HOME
of another user. Python then leaves "~" unexpanded, and files would go into a directory named "~".
"""

from __future__ import annotations

import os
import pwd
from collections.abc import MutableMapping

_XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")


def settle_home(environ: MutableMapping[str, str] = os.environ) -> None:
    """Make HOME in `environ` an absolute path, and remove XDG directories that are relative.

    The XDG specification says to ignore relative directories. A user without a home gets /nonexistent, as
    such users have on Debian: writing there fails with one error that names the path.
    """
    if not os.path.isabs(environ.get("HOME", "")):
        environ["HOME"] = _home_of(os.getuid())
    for name in _XDG:
        if name in environ and not os.path.isabs(environ[name]):
            del environ[name]


def _home_of(uid: int) -> str:
    try:
        home = pwd.getpwuid(uid).pw_dir
    except KeyError:
        home = "/root" if uid == 0 else ""
    return home if os.path.isabs(home) else "/nonexistent"
