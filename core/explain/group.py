"""Explanation of a container, a pod or the host: what it is, what it costs, and where the facts are from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from core.containers.container_id import container_of_cgroup
from core.model.entities import ContainerContext
from core.model.view import Explanation, LabelledFacts, ProcessView
from core.text.safe import safe_text
from core.text.units import age, percent, size
from core.tree.node import HOST, Node, is_pod
from core.tree.rows import container_name, group_name, process_text

_NAMED = 12
"""How many containers of a pod are listed by name."""


def group_explanation(
    group: Node, cpu_history: tuple[float | None, ...], span_ns: int, now_ns: int
) -> Explanation:
    """Describe a settled group. All texts are safe to show.

    `cpu_history` holds CPU percents over the last `span_ns`; None where no sample was taken.
    """
    container = group.container
    facts: LabelledFacts
    if group.key == HOST or container is None:
        title, facts = HOST, [("what", "processes outside any container")]
    elif is_pod(group.key):
        title, facts = f"pod {group_name(group)}", _pod(group, container)
    else:
        title, facts = f"container {group_name(group)}", _container(container)
    return Explanation(
        key=group.key,
        title=title,
        story=tuple(_non_empty(_costs(group, now_ns, cpu_history, span_ns))),
        facts=tuple(_non_empty(facts)),
        cpu_history=cpu_history,
    )


def outside(outer: ContainerContext | None) -> Iterator[str]:
    """Name the containers around a nested container, innermost first."""
    for level in outer.levels() if outer is not None else ():
        yield f"inside {container_name(level)}"


def pod_name(container: ContainerContext) -> str:
    """Return `namespace/name` and uid of a container's pod, as far as they are known."""
    uid = f"uid {container.pod_uid}" if container.pod_uid else ""
    return "  ".join(safe_text(word, 256) for word in (container.pod_name, uid) if word)


def _non_empty(facts: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    return ((label, text) for label, text in facts if text)


def _costs(group: Node, now_ns: int, history: tuple[float | None, ...], span_ns: int) -> LabelledFacts:
    yield "state", _state(group)
    yield "processes", str(group.count)
    yield "memory", f"{size(group.rss)}, shared pages counted in each process"
    oldest = _oldest(group)
    if oldest is not None:
        ago = age(now_ns - oldest.entry.start_ns)
        yield "oldest", f"{ago}  pid {oldest.entry.pid}  {process_text(oldest.entry)[:256]}"
    now = group.cpu / 1000
    measured = [share for share in history if share is not None]
    peak = f" now, peak {percent(max(now, *measured))} % in the last {age(span_ns)}" if measured else ""
    yield "cpu", f"{percent(now)} %{peak}"  # the pane draws the history below this line


def _state(group: Node) -> str:
    """Return whether a container runs or is paused; empty for a pod and the host, which have no state."""
    container = group.container
    if group.key == HOST or container is None or is_pod(group.key):
        return ""
    if not group.count:
        return "all its processes have ended"
    return "paused: its cgroup or a parent cgroup is frozen" if container.paused else "running"


def _oldest(group: Node) -> ProcessView | None:
    """Return the live process that started first. Descendants of a live process are younger: skip them."""
    oldest: ProcessView | None = None
    todo = list(group.children)
    while todo:
        node = todo.pop()
        view = node.view
        if view is None or view.ended_ns is not None:
            todo.extend(node.children)
        elif oldest is None or view.entry.start_ns < oldest.entry.start_ns:
            oldest = view
    return oldest


def _container(container: ContainerContext) -> LabelledFacts:
    yield "id", safe_text(container.id or "", 256)
    yield "runtime", container.runtime
    yield "image", container.image or "not known"
    if not container.name:
        yield "name", f"not known: {container.reason or 'its runtime gave it no name'}"
    yield "known by", _source(container)
    yield "pod", pod_name(container)
    yield "cgroup", safe_text(container.cgroup_path, 1024)
    yield "nested", "  ".join(outside(container.outer))
    if container.name:
        yield "note", container.reason
    for label, (name, value) in zip(_first_only("labels"), container.labels, strict=False):
        yield label, f"{name}={value}"


def _source(container: ContainerContext) -> str:
    id_source = "its id in the cgroup path" if _names_itself(container) else "its runtime's own state"
    return f"{id_source}; the other facts from {container.source}" if container.source else id_source


def _names_itself(container: ContainerContext) -> bool:
    """Return whether the cgroup path alone contains the id.

    The path `/web` of `runc run web` does not: only the runtime's state identifies that container.
    """
    return container_of_cgroup(container.cgroup_path).id == container.id


def _pod(group: Node, container: ContainerContext) -> LabelledFacts:
    name = safe_text(container.pod_name, 256)
    yield "pod", name or f"name not known: {container.reason or 'no runtime state names it'}"
    yield "uid", container.pod_uid and safe_text(container.pod_uid, 256)
    yield "nested", "  ".join(outside(container.outer))
    containers = [child for child in group.children if child.view is None]
    for label, child in zip(_first_only("containers"), containers[:_NAMED], strict=False):
        image = child.container.image if child.container is not None else None
        yield label, "  ".join(word for word in (group_name(child), image) if word)
    if len(containers) > _NAMED:
        yield "", f"and {len(containers) - _NAMED} more"


def _first_only(label: str) -> Iterator[str]:
    """Yield a label once, then empty labels, which continue it on the following lines."""
    yield label
    while True:
        yield ""
