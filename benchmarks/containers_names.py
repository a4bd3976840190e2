"""Cost of container names: 500 Docker and 500 runc containers, read first, looked up again, and at rest.

Run: `.venv/bin/python benchmarks/containers_names.py [CONTAINERS]`. The state files are created in a
temporary directory and read as those of another host root, which is the slower way. The peer of a path
lookup is the parse without the cache; for the work at rest, once a second, 1 ms is 0.1 % of one core.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from core.containers import ContainerNames, container_of_cgroup
from core.containers.container_id import _parse
from core.system.host import Host


def make_state(root: Path, count: int) -> list[bytes]:
    """Write the state of `count` containers of each runtime; return their cgroup paths."""
    (root / "proc").mkdir()
    paths = []
    for number in range(count):
        digits = f"{number:064x}"
        docker = root / "var/lib/docker/containers" / digits
        docker.mkdir(parents=True)
        config = {
            "Name": f"/web{number}",
            "Config": {"Image": "busybox:1.36", "Labels": {}},
            "Env": ["x"] * 500,
        }
        (docker / "config.v2.json").write_text(json.dumps(config))
        runc = root / "run/runc" / f"web{number}"
        runc.mkdir(parents=True)
        state = {
            "cgroup_paths": {"": f"/sys/fs/cgroup/web{number}"},
            "config": {"labels": ["bundle=/bundle"], "seccomp": ["rule" * 20] * 400},
        }
        (runc / "state.json").write_text(json.dumps(state))
        paths += [f"/docker/{digits}".encode(), f"/web{number}".encode()]
    return paths


def timed(work: Callable[[], object], times: int, each: int = 1) -> str:
    took = []
    for _ in range(times):
        before = time.perf_counter()
        work()
        took.append((time.perf_counter() - before) / each * 1e6)
    return f"p50 {statistics.median(took):9.2f} us   max {max(took):9.2f} us"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = make_state(root, count)
        host = Host(root)
        names = ContainerNames(host)
        each = len(paths)
        show("start (index of runc)", timed(lambda: ContainerNames(host), 3))
        show("first name, a container", timed(lambda: [*map(names.container_of, paths)], 1, each))
        show("the same again, a path", timed(lambda: [*map(names.container_of, paths)], 20, each))
        time.sleep(0.2)
        names.refresh()
        show("refresh when nothing changed", timed(names.refresh, 20))
        show("path to id, cached", timed(lambda: [*map(container_of_cgroup, paths)], 20, each))
        show("path to id, parsed", timed(lambda: [*map(_parse, paths)], 20, each))


def show(what: str, figures: str) -> None:
    print(f"{what:<30} {figures}")


if __name__ == "__main__":
    main()
