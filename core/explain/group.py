"""What the explain pane says of a container, a pod or the host: what it is and costs, how it is known."""

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
"""Containers of a pod that are named."""


def group_explanation(
    group: Node, cpu_history: tuple[float | None, ...], span_ns: int, now_ns: int
) -> Explanation:
    """Put into words what is known of a settled group. All texts are safe to show.

    `cpu_history` are the shares of the last `span_ns`, None where nobody looked.
    """
    container = group.container
    facts: LabelledFacts
    if group.key == HOST or container is None:
        title, facts = HOST, [("what", "processes that are in no container")]
    elif is_pod(group.key):
        title, facts = f"pod {group_name(group)}", _pod(group, container)
    else:
        title, facts = f"container {group_name(group)}", _container(container)
    return Explanation(
        key=group.key,
        title=title,
        story=tuple(_known(_costs(group, now_ns, cpu_history, span_ns))),
        facts=tuple(_known(facts)),
        cpu_history=cpu_history,
    )


def outside(outer: ContainerContext | None) -> Iterator[str]:
    """Name the containers that a nested one is in, from inside outwards."""
    for level in outer.levels() if outer is not None else ():
        yield f"inside {container_name(level)}"


def pod_name(container: ContainerContext) -> str:
    """Return `namespace/name` of a container's pod and its uid, as far as they are known."""
    uid = f"uid {container.pod_uid}" if container.pod_uid else ""
    return "  ".join(safe_text(word, 256) for word in (container.pod_name, uid) if word)


def _known(facts: Iterable[tuple[str, str | None]]) -> Iterator[tuple[str, str]]:
    return ((label, text) for label, text in facts if text)


def _costs(group: Node, now_ns: int, history: tuple[float | None, ...], span_ns: int) -> LabelledFacts:
    yield "state", _state(group)
    yield "processes", str(group.count)
    yield "memory", f"{size(group.rss)}, shared pages counted in each process"
    first = _oldest(group)
    if first is not None:
        ago = age(now_ns - first.entry.start_ns)
        yield "oldest", f"{ago}  pid {first.entry.pid}  {process_text(first.entry)[:256]}"
    now = group.cpu / 1000
    seen = [share for share in history if share is not None]
    most = f" now, {percent(max(now, *seen))} % at most in {age(span_ns)}" if seen else ""
    yield "cpu", f"{percent(now)} %{most}"  # its line is drawn below it


def _state(group: Node) -> str:
    """Say of a container whether it runs; a pod and the host are in no state of their own."""
    container = group.container
    if group.key == HOST or container is None or is_pod(group.key):
        return ""
    if not group.count:
        return "all of its processes have ended"
    return "paused: its cgroup is frozen, or one that it is in" if container.paused else "running"


def _oldest(group: Node) -> ProcessView | None:
    """Return the live process that was started first; below a process stand only younger ones of its line."""
    found: ProcessView | None = None
    todo = list(group.children)
    while todo:
        node = todo.pop()
        view = node.view
        if view is None or view.ended_ns is not None:
            todo.extend(node.children)
        elif found is None or view.entry.start_ns < found.entry.start_ns:
            found = view
    return found


def _container(container: ContainerContext) -> LabelledFacts:
    yield "id", safe_text(container.id or "", 256)
    yield "runtime", container.runtime
    yield "image", container.image or "not known"
    if not container.name:
        yield "name", f"not known: {container.reason or 'its runtime has given it none'}"
    yield "known by", _source(container)
    yield "pod", pod_name(container)
    yield "cgroup", safe_text(container.cgroup_path, 1024)
    yield "nested", "  ".join(outside(container.outer))
    if container.name:
        yield "note", container.reason
    for label, (name, value) in zip(_first_only("labels"), container.labels, strict=False):
        yield label, f"{name}={value}"


def _source(container: ContainerContext) -> str:
    where = "its id in the cgroup path" if _names_itself(container) else "its runtime's own state"
    return f"{where}; {container.source} tells the rest" if container.source else where


def _names_itself(container: ContainerContext) -> bool:
    """Whether the path alone tells the id; `/web` of `runc run web` does not, the runtime's state has to."""
    return container_of_cgroup(container.cgroup_path).id == container.id


def _pod(group: Node, container: ContainerContext) -> LabelledFacts:
    name = container.pod_name
    yield (
        "pod",
        safe_text(name, 256) if name else f"name not known: {container.reason or 'no state names it'}",
    )
    yield "uid", container.pod_uid and safe_text(container.pod_uid, 256)
    yield "nested", "  ".join(outside(container.outer))
    held = [child for child in group.children if child.view is None]
    for label, child in zip(_first_only("containers"), held[:_NAMED], strict=False):
        image = child.container.image if child.container is not None else None
        yield label, "  ".join(word for word in (group_name(child), image) if word)
    if len(held) > _NAMED:
        yield "", f"and {len(held) - _NAMED} more"


def _first_only(label: str) -> Iterator[str]:
    """Yield a label, then empty ones: lines that follow belong to it."""
    yield label
    while True:
        yield ""
