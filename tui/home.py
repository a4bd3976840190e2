"""Where the person's own directories are, also where the environment does not say so.

Containers and services run with users that are in no passwd file and without HOME, and `sudo -u` may keep
another person's. Python then leaves "~" as it is, and files would go into a directory of that name.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import MutableMapping

_XDG = ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR")


def settle_home(environ: MutableMapping[str, str] = os.environ) -> None:
    """Leave in `environ` a HOME that is an absolute path, and no XDG directory that is a relative one.

    The specification of XDG has relative ones ignored. A user without any home gets /nonexistent, as
    Debian's users without one have: what would be written there is one error that names the path.
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
