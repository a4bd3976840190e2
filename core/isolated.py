"""Starts Python programs of our own that import nothing from the current directory or the environment.

`python -m` puts the current directory first on the path, and PYTHONPATH and user site directories put others
there: a `json.py` in a stranger's directory would run with our rights.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

_START = (
    "import json, sys; sys.path += [d for d in json.loads(sys.argv.pop(1)) if d not in sys.path]; "
    "from importlib import import_module; import_module(sys.argv.pop(1)).main()"
)
"""Our directories come last: nothing in them goes before the standard library."""


def start_isolated(
    module: str, arguments: Sequence[str], *, stdin: int, pass_fds: Sequence[int] = ()
) -> subprocess.Popen[bytes]:
    """Start `main()` of one of our modules in an interpreter of its own; the caller ends and reaps it.

    It has an empty environment, a session of its own, `/` as its directory, only the descriptors that are
    named here, and no output. Raises OSError.
    """
    ours = (str(Path(__file__).resolve().parent.parent), str(Path(msgspec.__file__).resolve().parent.parent))
    return subprocess.Popen(
        [sys.executable, "-I", "-c", _START, msgspec.json.encode(ours).decode(), module, *arguments],
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=pass_fds,
        cwd="/",
        env={"LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
