"""An agent of our own on the host: its object, and a process that has loaded it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.bpf.running_agent import RunningAgent, compiled, id_of
from tests.places import ROOT


@pytest.fixture(scope="session")
def agent_object(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled("agent", tmp_path_factory.mktemp("agent"))


@pytest.fixture(scope="module")
def agent(agent_object: Path) -> Iterator[RunningAgent]:
    """The agent in a process of its own. `skipped: why` where it cannot be loaded."""
    if os.geteuid() != 0:
        pytest.skip("loading eBPF needs root")
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.core.bpf.agent", agent_object],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            pytest.skip(f"the agent cannot be loaded here: {child.communicate()[1][-300:]}")
        fds = json.loads(line)
        yield RunningAgent(
            child.pid,
            {name: id_of(child.pid, fd, b"map_id") for name, fd in fds["maps"].items()},
            {name: id_of(child.pid, fd, b"prog_id") for name, fd in fds["programs"].items()},
            {name: id_of(child.pid, fd, b"link_id") for name, fd in fds["links"].items()},
            fds,
        )
    finally:
        child.communicate()
