"""Makes the row of a node of the forest: texts, guides, sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.model.entities import ContainerContext, ProcessEntry, Tier
from core.model.view import ProcessView, Row, RowKind
from core.text.safe import safe_text
from core.text.secrets import scrub_cmdline
from core.tree.filter import state_of
from core.tree.forest import Forest
from core.tree.node import HOST, Node, is_pod

TEXT_LIMIT = 1024
"""Limit of a row's text in characters: wider than any terminal."""

_ARGV_LIMIT = 4 * TEXT_LIMIT
"""Bytes of argv that a row is made from; an argv may have megabytes."""

_INDENT = "  "
"""Indentation of a nested group, for each level."""

_DEEP = 16
"""Levels drawn with a guide each; deeper rows show the number of levels in front."""

FRESH_NS = 3_000_000_000
"""How long a process is marked as new, in ns."""


def process_text(entry: ProcessEntry) -> str:
    """Return the text of the TREE column: argv, comm if argv is empty, [comm] for kernel threads."""
    if entry.kthread:
        return f"[{safe_text(entry.comm)}]"
    if not entry.cmdline[:_ARGV_LIMIT].strip(b"\0"):
        return safe_text(entry.comm)
    return safe_text(scrub_cmdline(entry.cmdline, _ARGV_LIMIT), TEXT_LIMIT)


def source_text(view: ProcessView) -> str:
    """Return the text of the SOURCE column: the tier that answered, for the cache also the entry's origin.

    `cache‹event`, `maps`, `procfs`, or `–` for a process that was never resolved.
    """
    if view.source is None:
        return "–"
    if view.source is Tier.CACHE:
        return f"{Tier.CACHE}‹{view.origin}"
    return str(view.source)


def group_text(node: Node) -> str:
    """Return the whole text of a group's row; `host` for the group of processes outside any container."""
    return " · ".join(part for part in (group_name(node), _group_detail(node)) if part)


def group_name(node: Node) -> str:
    """Return the name of a group: `host`, the pod's name or the container's name."""
    container = node.container
    if node.key == HOST or container is None:
        return HOST
    return _pod_name(container) if is_pod(node.key) else container_name(container)


def _pod_name(container: ContainerContext) -> str:
    """Return namespace and name of a pod, or its uid when the name is not known."""
    return container.pod_uid or "" if container.pod is None else container.pod_name


def _group_detail(node: Node) -> str:
    """Return the facts beside a group's name: runtime, image, id, and the number of nested containers."""
    container = node.container
    if node.key == HOST or container is None:
        return ""
    inner = sum(child.view is None and not is_pod(child.key) for child in node.children)
    number = f"{inner} container{'' if inner == 1 else 's'}" if inner else None
    if is_pod(node.key):
        parts = ["pod", number]
    else:
        short_id = container.short_id if container.name else None
        paused = "paused" if container.paused else None
        parts = [paused, container.runtime, container.image, short_id, number and f"holds {number}"]
    return " · ".join(part for part in parts if part)


def container_name(container: ContainerContext | None) -> str:
    """Return the container's name, else the first 12 digits of its id; empty without a container."""
    if container is None or not container.id:
        return ""
    return container.shown_name


def rows_from(forest: Forest, first: int, now_ns: int, user_name: Callable[[int], str]) -> Iterator[Row]:
    """Yield the shown rows from index `first` on, in screen order."""
    for node, guides in _walk(forest, first):
        row = (
            _group_row(node, guides)
            if node.view is None
            else _process_row(node, node.view, guides, now_ns, user_name)
        )
        if row != node.row:
            node.row = row
        assert node.row is not None
        yield node.row


def _walk(forest: Forest, first: int) -> Iterator[tuple[Node, str]]:
    """Yield (node, guides) from row `first` on. Whole subtrees before it are skipped."""
    levels = [(forest.siblings(forest.root), [forest.root.shown])]
    groups = 0  # how many of the open levels are groups
    lines: list[str] = []  # what each open level draws below itself
    skip = first
    while levels:
        siblings, left = levels[-1]
        node = next(siblings, None)
        if node is None:
            levels.pop()
            if lines:
                lines.pop()
            groups = min(groups, len(lines))
            continue
        if not node.visible:
            continue
        left[0] -= node.visible
        if skip >= node.visible:
            skip -= node.visible
            continue
        last = left[0] == 0
        if skip:
            skip -= 1
        else:
            yield node, _INDENT * groups if node.view is None else _guides(lines[groups:], last)
        if not node.folded and node.shown:
            if node.view is None:
                groups += 1
            lines.append("   " if last else "│  ")
            levels.append((forest.siblings(node), [node.shown]))


def _guides(lines: list[str], last: bool) -> str:
    """Return the guides in front of a process; the topmost processes of a group have none.

    `lines` are the guides that its ancestors draw below themselves, beginning with the topmost.
    """
    if not lines:
        return ""
    above = lines[1:]
    tip = "└─ " if last else "├─ "
    if len(above) > _DEEP:
        return f"⋯{len(above)} " + "".join(above[-_DEEP:]) + tip
    return "".join(above) + tip


def _process_row(
    node: Node, view: ProcessView, guides: str, now_ns: int, user_name: Callable[[int], str]
) -> Row:
    entry, usage = view.entry, view.usage
    if node.text_of is not entry:
        node.text, node.text_of = process_text(entry), entry
    folded = node.folded if node.shown else None
    cpu = usage.cpu_percent if usage is not None else None
    rss = usage.rss_bytes if usage is not None else None
    if folded:
        cpu, rss = node.cpu / 1000, node.rss
    return Row(
        key=view.key,
        kind=RowKind.PROCESS,
        guides=guides,
        text=node.text,
        folded=folded,
        source=source_text(view),
        pid=entry.pid,
        ppid=entry.ppid,
        user=user_name(entry.credentials.euid),
        tty=safe_text(entry.tty),
        state=state_of(view),
        threads=usage.threads if usage is not None else 0,
        cpu_percent=cpu,
        rss_bytes=rss,
        start_ns=entry.start_ns,
        count=node.count if folded else 0,
        container=container_name(view.container),
        detail=view.note,
        dim=not node.matches,
        ended=view.ended_ns is not None,
        fresh=view.ended_ns is None and 0 <= now_ns - entry.start_ns < FRESH_NS,
    )


def _group_row(node: Node, indent: str) -> Row:
    is_host = node.key == HOST
    name = group_name(node)
    return Row(
        key=node.key,
        kind=RowKind.HOST if is_host else RowKind.POD if is_pod(node.key) else RowKind.CONTAINER,
        guides=indent,
        text=name,
        folded=node.folded,
        cpu_percent=node.cpu / 1000,
        rss_bytes=node.rss,
        # A group's age is that of its oldest topmost process; for the host it would mean nothing.
        start_ns=0 if is_host else _oldest_start(node),
        count=node.count,
        container="" if is_host or is_pod(node.key) else name,
        detail=_group_detail(node),
        ended=not node.count,
    )


def _oldest_start(group: Node) -> int:
    """Return the start time of the oldest topmost process of a group and its nested groups."""
    starts = []
    todo = [group]
    while todo:
        for child in todo.pop().children:
            if child.view is None:
                todo.append(child)
            else:
                starts.append(child.view.entry.start_ns)
    return min(starts)
