"""What the explain pane says of a process's container and of the ones around it."""

from __future__ import annotations

from core.explain import explanation
from core.lineage import Lineage
from core.model import ContainerContext, Origin, ProcessEntry, Resolution
from core.stats import Stats
from core.view import ProcessView

NODE = ContainerContext(id="a" * 64, runtime="docker", name="node")
POD = ContainerContext(
    id="b" * 64, runtime="containerd", image="nginx:1.25", pod="app-0", namespace="shop", outer=NODE
)


def told_of(container: ContainerContext | None) -> str | None:
    process = Lineage(Stats()).insert(ProcessEntry(6, 6006, comm=b"x"), Origin.SNAPSHOT)
    resolution = Resolution(6, None, None, None, ())
    view = ProcessView(process.entry, None, Origin.SNAPSHOT, container=container)
    return dict(explanation(process, resolution, view).image).get("container")


def test_a_container_with_pod_and_outer_ones_from_inside_outwards() -> None:
    inner = ContainerContext(id="job", runtime="unknown", name="job", outer=POD)
    told = told_of(inner) or ""
    assert told.startswith("unknown · job · job")
    assert told.index("inside bbbbbbbbbbbb") < told.index("inside node")
    pod = told_of(POD) or ""
    assert pod.startswith(f"containerd · {'b' * 64} · nginx:1.25 · pod shop/app-0")
    assert pod.count("inside") == 1


def test_why_a_container_has_no_name() -> None:
    told = told_of(ContainerContext(id="c" * 64, runtime="docker", reason="not permitted"))
    assert told is not None
    assert told.endswith("(not permitted)")


def test_no_container() -> None:
    assert told_of(None) is None
    assert told_of(ContainerContext(runtime="systemd")) is None
