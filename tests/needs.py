"""What a test needs of the machine. A tool that can be installed is no reason to skip where CI=true."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def needs(*programs: str) -> None:
    """Go on only where these programs are installed."""
    for program in programs:
        if shutil.which(program) is None:
            lacks(program)


def lacks(tool: str) -> NoReturn:
    """Skip, because `tool` is not installed; under CI=true fail: there everything is to be installed.

    What depends on the kernel or on rights is skipped everywhere, by pytest.skip with the reason.
    """
    if os.environ.get("CI") == "true":
        pytest.fail(f"{tool} is not installed, and CI installs all that the tests use", pytrace=False)
    pytest.skip(f"{tool} is not installed")
