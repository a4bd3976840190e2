"""What the explain pane says of a process's container and of the ones around it."""

from __future__ import annotations

from itertools import takewhile

from core.explain.process import Moment, explanation
from core.model.entities import ContainerContext, Origin, ProcessEntry, Resolution
from core.model.view import ProcessView
from core.resolve.metrics import Counters
from core.resolve.process_cache import ProcessCache

NODE = ContainerContext(id="a" * 64, runtime="docker", name="node")
POD = ContainerContext(
    id="b" * 64, runtime="containerd", image="nginx:1.25", pod="app-0", namespace="shop", outer=NODE
)


def told_of(container: ContainerContext | None) -> list[str]:
    """Return the lines that stand beside `container`."""
    process = ProcessCache(Counters()).insert(ProcessEntry(6, 6006, comm=b"x"), Origin.SNAPSHOT)
    resolution = Resolution(6, None, None, None, ())
    view = ProcessView(process.entry, None, Origin.SNAPSHOT, container=container)
    facts = explanation(process, resolution, view, Moment(7007)).facts
    first = next((at for at, (label, _) in enumerate(facts) if label == "container"), len(facts))
    more = takewhile(lambda fact: not fact[0], facts[first + 1 :])
    return [text for _, text in (*facts[first : first + 1], *more)]


def test_a_container_with_pod_and_outer_ones_from_inside_outwards() -> None:
    inner = ContainerContext(id="job", runtime="unknown", name="job", outer=POD)
    assert told_of(inner) == ["unknown · job", "inside bbbbbbbbbbbb", "inside node"]
    assert told_of(POD) == ["containerd · nginx:1.25 · bbbbbbbbbbbb", "pod shop/app-0", "inside node"]


def test_why_a_container_has_no_name() -> None:
    told = told_of(ContainerContext(id="c" * 64, runtime="docker", reason="not permitted"))
    assert told == ["docker · cccccccccccc", "(not permitted)"]


def test_no_container() -> None:
    assert told_of(None) == []
    assert told_of(ContainerContext(runtime="systemd")) == []
