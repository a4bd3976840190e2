"""Starts other Python interpreters, which import code from this program's installation and nowhere else.

`python -m NAME` searches for NAME, and for everything that NAME imports, in the current directory first, and
in PYTHONPATH, where an empty entry is the current directory. Root often works in directories that belong to
somebody else. So each interpreter starts with -I: no PYTHON* variables, no current directory.
"""

from __future__ import annotations

import site
import sys
from pathlib import Path

NEUTRAL = Path("/")
"""Working directory of child processes that need none: relative names in it are root's."""

_ROOT = str(Path(__file__).resolve().parents[2])
_RUN = "import runpy, sys; sys.path += {paths!r}; runpy.run_module({module!r}, None, '__main__', True)"


def python(*arguments: str) -> list[str]:
    """Return a command that starts an isolated interpreter: `-c` and code, or a script's absolute path."""
    flags = ["-I"]
    if sys.flags.dont_write_bytecode:  # -I ignores PYTHONDONTWRITEBYTECODE; keep root's .pyc files out
        flags.append("-B")
    return [sys.executable, *flags, *arguments]


def python_module(module: str, *arguments: str) -> list[str]:
    """Return a command that runs a module of this program, also from a checkout, as `python -m` would.

    The packages of this program and their dependencies come last on the path: nothing there can replace a
    module of the standard library.
    """
    paths = [_ROOT]
    if site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path:  # pip install --user
        paths.append(site.getusersitepackages())
    return python("-c", _RUN.format(paths=paths, module=module), *arguments)
