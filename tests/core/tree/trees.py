"""Small trees of made-up processes, and the windows that are asked of them."""

from __future__ import annotations

from core.model.entities import ContainerContext, Credentials, Origin, ProcessEntry, ProcessKey, Tier, Usage
from core.model.view import ProcessView, ViewRequest, Window
from core.tree.tree import Tree

SECOND = 1_000_000_000
WEB = ContainerContext(id="a" * 64, runtime="docker", name="web", image="nginx:1.27")
DB = ContainerContext(id="b" * 64, runtime="containerd", namespace="shop", pod="db-0")
IN_DB = ContainerContext(id="d" * 64, runtime="docker", name="inner", outer=DB)
UNSEEN = ContainerContext(id="c" * 64, runtime="docker", cgroup_path=b"/docker/" + b"c" * 64)
IN_UNSEEN = ContainerContext(id="job", runtime="unknown", name="job", outer=UNSEEN)


def process(
    pid: int,
    parent: int | None = None,
    *,
    container: ContainerContext | None = None,
    args: tuple[bytes, ...] | None = None,
    cpu: float = 0.0,
    rss: int = 0,
    state: str = "S",
    uid: int = 0,
    source: Tier | None = Tier.CACHE,
    origin: Origin = Origin.EVENT,
    ended_ns: int | None = None,
    kthread: bool = False,
    comm: bytes | None = None,
) -> ProcessView:
    cmdline = b"".join(arg + b"\0" for arg in args) if args is not None else b"/bin/p%d\0" % pid
    return ProcessView(
        entry=ProcessEntry(
            pid=pid,
            start_ns=pid * SECOND,
            ppid=parent or 0,
            comm=comm or b"p%d" % pid,
            cmdline=b"" if kthread else cmdline,
            credentials=Credentials(uid=uid, euid=uid),
            kthread=kthread,
        ),
        source=source,
        origin=origin,
        parent=None if parent is None else key(parent),
        container=container,
        usage=Usage(rss_bytes=rss, state=state, threads=1, cpu_percent=cpu),
        ended_ns=ended_ns,
    )


def key(pid: int) -> ProcessKey:
    return ProcessKey(pid, pid * SECOND)


def tree_of(*views: ProcessView) -> Tree:
    tree = Tree({0: "root", 33: "www-data"}.__getitem__)
    for view in views:
        tree.put(view)
    return tree


def window(tree: Tree, **request: object) -> Window:
    return tree.window(ViewRequest(**{"height": 1000, **request}), now_ns=10**15)  # type: ignore[arg-type]
