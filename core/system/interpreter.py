"""The one way to start another Python: it takes code from where this program is installed, and nowhere else.

`python -m NAME` looks for NAME, and for all that NAME imports, in the current directory first; so do the
directories in PYTHONPATH, where an empty entry is the current directory. Root often stands in directories
that belong to somebody else. So each interpreter starts with -I: no PYTHON* variables, no current directory.
"""

from __future__ import annotations

import site
import sys
from pathlib import Path

NEUTRAL = Path("/")
"""Where a child runs that has no business in any directory: a relative name leads nowhere of a stranger's."""

_ROOT = str(Path(__file__).resolve().parents[2])
_RUN = "import runpy, sys; sys.path += {paths!r}; runpy.run_module({module!r}, None, '__main__', True)"


def python(*arguments: str) -> list[str]:
    """Return a command that starts an isolated interpreter: `-c` and code, or a script's absolute path."""
    flags = ["-I"]
    if sys.flags.dont_write_bytecode:  # -I leaves out PYTHONDONTWRITEBYTECODE; root's files are in the way
        flags.append("-B")
    return [sys.executable, *flags, *arguments]


def python_module(module: str, *arguments: str) -> list[str]:
    """Return a command that runs a module of this program, of a checkout too, as `python -m` would.

    The packages of this program and what they need come last on the path: nothing in there takes the place
    of a module of Python's own.
    """
    paths = [_ROOT]
    if site.ENABLE_USER_SITE and site.getusersitepackages() in sys.path:  # pip install --user
        paths.append(site.getusersitepackages())
    return python("-c", _RUN.format(paths=paths, module=module), *arguments)
