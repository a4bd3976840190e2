"""An engine in memory: the real Tree on made-up processes. Deterministic, without threads and clocks.

Nothing here is taken from a real machine. Pictures are of a recording (recorded.py) where that can be.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from core.explain.group import group_explanation
from core.explain.process import Moment, explanation
from core.model.entities import (
    ContainerContext,
    Credentials,
    LadderStep,
    Origin,
    Outcome,
    ProcessEntry,
    ProcessKey,
    Resolution,
    Tier,
    Tiers,
    TierState,
    TrailStep,
    Usage,
)
from core.model.events import MapFill
from core.model.latency import TierLatency
from core.model.view import Explanation, Frame, Header, Past, Position, ProcessView, RowKey, ViewRequest
from core.resolve.process import Process
from core.session.timeline import LIMIT_BYTES, HeaderFacts, Timeline
from core.sources.feed import Feed
from core.tree.cpu_history import SPAN_NS
from core.tree.tree import Tree

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
NOW = 40 * DAY

ALL_ON = Tiers(TierState(True), TierState(True), TierState(True), LadderStep.EVENTS_AND_MAPS)
NO_PROBE = Tiers(
    TierState(True),
    TierState(False, "needs CAP_BPF and CAP_PERFMON, this process has neither: run `sudo ebpf-tui`"),
    TierState(True),
    LadderStep.PROCFS,
)

WEB = ContainerContext(
    id="1b060cc81653" + "0" * 52,
    runtime="docker",
    name="web",
    image="nginx:1.27",
    cgroup_path=b"/docker/1b06",
)
SHOP = ContainerContext(
    id="7f3e91ab20d4" + "1" * 52,
    runtime="containerd",
    name="orders",
    image="registry.local/orders:4.2",
    pod="orders-6c9d",
    namespace="shop",
)
NAMELESS = ContainerContext(id="c0ffee123456" + "2" * 52, runtime="podman")


POD_UID = "2f8a1c6e-4b7d-4e59-9c03-7d15b6a0e842"
SIDECAR = msgspec.structs.replace(
    SHOP, id="aa04d2c17be9" + "3" * 52, name="metrics", image="registry.local/statsd:2", pod_uid=POD_UID
)
RUNNER = ContainerContext(
    id="93bd5f0e7c21" + "4" * 52, runtime="docker", name="ci-runner", image="docker:27-dind"
)
CI_JOB = ContainerContext(
    id="e51f77a90b3d" + "5" * 52, runtime="docker", name="job-118", image="node:22", outer=RUNNER
)
ELSEWHERE = ContainerContext(id="0c9e8d7f6a5b" + "6" * 52, runtime="docker")
LOOSE_JOB = ContainerContext(id="job-7", runtime="unknown", name="job-7", outer=ELSEWHERE)


def process(
    pid: int,
    parent: int,
    args: str | bytes,
    *,
    age: int = 2 * DAY,
    container: ContainerContext | None = None,
    uid: int = 0,
    cpu: float | None = 0.0,
    rss: int = 4 << 20,
    source: Tier | None = Tier.CACHE,
    origin: Origin = Origin.SNAPSHOT,
    state: str = "S",
    kthread: bool = False,
    tty: bytes = b"",
    ended: bool = False,
    note: str = "",
) -> ProcessView:
    """A process whose parent is looked up by pid when the host is put together."""
    raw = args.encode() if isinstance(args, str) else args
    words = raw.split(b" ")
    return ProcessView(
        entry=ProcessEntry(
            pid=pid,
            start_ns=NOW - age,
            exec_ns=NOW - age + (SECOND // 100 if origin is Origin.EVENT else 0),
            ppid=parent,
            exec_id=2,
            comm=raw if kthread else words[0].rsplit(b"/", 1)[-1].rstrip(b":")[:15],
            exe=b"" if kthread else words[0],
            cmdline=b"" if kthread else b"".join(word + b"\0" for word in words),
            credentials=Credentials(uid=uid, euid=uid),
            kthread=kthread,
            tty=tty,
        ),
        source=source,
        origin=origin,
        container=container,
        usage=Usage(rss_bytes=0 if kthread else rss, state=state, threads=1 + pid % 7, cpu_percent=cpu),
        ended_ns=NOW - SECOND if ended else None,
        note=note,
    )


def small_host() -> list[ProcessView]:
    """A host with three containers, kernel threads, a new and an ended process."""
    minute = 60 * SECOND
    event = Origin.EVENT
    return [
        process(1, 0, "/sbin/init", age=39 * DAY, rss=12 << 20),
        process(2, 0, "kthreadd", age=39 * DAY, kthread=True),
        process(9, 2, "kworker/0:1-events", age=39 * DAY, kthread=True, state="I"),
        process(41, 2, "ksoftirqd/1", age=39 * DAY, kthread=True),
        process(388, 1, "/lib/systemd/systemd-journald", age=39 * DAY, cpu=0.3, rss=48 << 20),
        process(612, 1, "/usr/sbin/sshd -D", age=39 * DAY, rss=9 << 20),
        process(2210, 612, "sshd: deploy [priv]", age=95 * minute, origin=event, rss=11 << 20),
        process(2214, 2210, "-bash", age=95 * minute, uid=1000, origin=event, tty=b"pts/0"),
        process(
            2390, 2214, "vim probe/process.bpf.c", age=71 * minute, uid=1000, origin=event, rss=23 << 20,
            tty=b"pts/0", cpu=0.4,
        ),
        process(2544, 2214, "make -j2 probe", age=2 * SECOND, uid=1000, origin=event, cpu=None, tty=b"pts/0"),
        process(2551, 2214, "ls --color=auto", age=8 * SECOND, uid=1000, origin=event, ended=True),
        process(700, 1, "/usr/bin/containerd", age=39 * DAY, cpu=1.2, rss=61 << 20),
        process(
            4100, 700, "/usr/bin/containerd-shim-runc-v2 -namespace moby -id 1b060cc81653", age=2 * DAY,
            rss=14 << 20,
        ),
        process(
            4121, 4100, "nginx: master process nginx -g daemon off;", age=2 * DAY, container=WEB,
            origin=event, rss=7 << 20, cpu=0.2,
        ),
        process(
            4122, 4121, "nginx: worker process", age=2 * DAY, container=WEB, uid=33, source=Tier.MAPS,
            cpu=3.1, rss=19 << 20,
        ),
        process(
            4123, 4121, "nginx: worker process", age=2 * DAY, container=WEB, uid=33, cpu=2.7, origin=event,
            rss=18 << 20, state="R",
        ),
        process(
            5200, 700, "/usr/bin/containerd-shim-runc-v2 -namespace k8s.io -id 7f3e91ab20d4", age=DAY,
            rss=13 << 20,
        ),
        process(
            5231, 5200, "/app/orders --listen :8080 --db-password=hunter2", age=DAY, container=SHOP, uid=1001,
            cpu=41.5, rss=812 << 20, origin=event, state="R",
        ),
        process(
            5260, 5231, "/app/orders-migrate", age=DAY, container=SHOP, uid=1001, source=Tier.PROCFS,
            origin=Origin.PROCFS, rss=66 << 20, note="exe: permission denied",
        ),
        process(
            6001, 1, "sleep infinity", age=3 * 3600 * SECOND, container=NAMELESS, source=None,
            origin=Origin.PROCFS, rss=1 << 20,
        ),
    ]  # fmt: skip


def nested_host() -> list[ProcessView]:
    """The small host with a pod of two containers, Docker in Docker, and one in a container unseen itself."""
    hour = 3600 * SECOND
    views = [
        msgspec.structs.replace(view, container=msgspec.structs.replace(SHOP, pod_uid=POD_UID))
        if view.container is SHOP
        else view
        for view in small_host()
    ]
    return [
        *views,
        process(5300, 5200, "/usr/bin/statsd --port 8125", age=DAY, container=SIDECAR, cpu=0.6, rss=31 << 20),
        process(7001, 700, "dockerd --host unix:///run/ci.sock", age=9 * hour, container=RUNNER, cpu=1.4),
        process(7040, 7001, "/usr/local/bin/npm ci", age=40 * SECOND, container=CI_JOB, cpu=88, uid=1000),
        process(7052, 7040, "node lint.js", age=9 * SECOND, container=CI_JOB, cpu=12.5, uid=1000),
        process(7100, 1, "/bin/step --all", age=hour, container=LOOSE_JOB, rss=2 << 20),
    ]


def large_host(count: int = 10_000) -> list[ProcessView]:
    """Many processes of two levels below init, every third of them in one of 50 containers."""
    containers = [
        ContainerContext(id=f"{n:012x}" + "0" * 52, runtime="docker", name=f"app-{n:02}") for n in range(50)
    ]
    views = [process(1, 0, "/sbin/init", age=39 * DAY)]
    for pid in range(2, count + 1):
        views.append(
            process(
                pid,
                1 if pid < 100 else pid % 98 + 2,
                f"/usr/bin/worker-{pid % 40} --config /etc/worker/{pid}.toml",
                age=(39 * DAY) - pid * SECOND,
                container=containers[pid % 50] if pid % 3 == 0 else None,
                cpu=pid % 17 / 10,
                rss=(pid % 97 + 1) << 20,
                origin=Origin.EVENT,
            )
        )
    return views


class FixtureEngine:
    """Answers every request at once, on the caller's thread. `asked` and `resolved` record the calls."""

    def __init__(
        self, views: list[ProcessView] | None = None, *, tiers: Tiers = ALL_ON, message: str = ""
    ) -> None:
        self._tree = Tree({0: "root", 33: "www-data", 1000: "deploy", 1001: "orders"}.__getitem__)
        self._line = Timeline(self._tree, HeaderFacts(tiers))
        self._starts: dict[int, int] = {}
        self._views: dict[ProcessKey, ProcessView] = {}
        self._callbacks: list[Callable[[Frame], None]] = []
        self._request = ViewRequest()
        self._explained: RowKey | None = None
        self._tiers = tiers
        self._message = message
        self._revision = 0
        self.replay: Position | None = None
        self.now_ns = NOW
        self.images: dict[int, tuple[ProcessEntry, ...]] = {}
        self.cpu_history: tuple[float | None, ...] = ()
        self.stats: tuple[tuple[str, int], ...] = ()
        self.running = False
        self.asked: list[ViewRequest] = []
        self.resolved: list[tuple[int, bool]] = []
        self.reloads = 0
        for view in small_host() if views is None else views:
            self._starts[view.entry.pid] = view.entry.start_ns
            self._put(view)
        self._line.begin_here()

    @property
    def paused(self) -> bool:
        return self._line.held

    def put(self, view: ProcessView) -> None:
        """A process comes or changes; the screen hears of it."""
        self._starts[view.entry.pid] = view.entry.start_ns
        self._line.begin(self.now_ns, HeaderFacts(self._tiers))
        self._put(view)
        self.publish()

    def container_of(self, pid: int) -> ContainerContext | None:
        """The container of a process that is there."""
        return self._views[ProcessKey(pid, self._starts[pid])].container

    def drop(self, pid: int) -> None:
        """A process goes."""
        key = ProcessKey(pid, self._starts.pop(pid))
        del self._views[key]
        self._line.begin(self.now_ns, HeaderFacts(self._tiers))
        self._line.drop(key)
        self.publish()

    def subscribe(
        self, callback: Callable[[Frame], None], failed: Callable[[BaseException], None] | None = None
    ) -> None:
        self._callbacks.append(callback)
        self.failed = failed

    def start(self) -> None:
        self.running = True
        self.publish()

    def stop(self) -> None:
        self.running = False

    def request(self, view: ViewRequest) -> None:
        self.asked.append(view)
        self._request = view
        self.publish()

    def explain(self, key: RowKey | None) -> None:
        self._explained = key
        self.publish()

    def resolve(self, pid: int, *, evict: bool = False) -> None:
        self.resolved.append((pid, evict))

    def reload(self, open_feed: Callable[[Feed], Feed]) -> None:
        self.reloads += 1
        self._message = f"the probe was loaded anew ({self.reloads})"
        self.publish()

    def pause(self, on: bool) -> None:
        if on:
            self._line.hold(self.now_ns)
        else:
            self._line.release()
        self.publish()

    def step(self, span_ns: int) -> None:
        if span_ns < 0:
            self._line.hold(self.now_ns)
            self._line.back(-span_ns)
        elif not self._line.forward(span_ns):
            self._line.release()
        self.publish()

    def change_speed(self, step: int) -> None:
        assert self.replay is not None
        self.replay = msgspec.structs.replace(self.replay, speed=self.replay.speed * 2.0**step)
        self.publish()

    def publish(self) -> None:
        """Hand out the current state as a frame."""
        if not self.running:
            return
        self._revision += 1
        line = self._line
        now_ns = line.at_ns if line.held else self.now_ns
        window = self._tree.window(self._request, now_ns)
        frame = Frame(
            revision=self._revision,
            header=Header(
                hostname="vm",
                kernel="6.18.44",
                arch="amd64",
                tiers=self._tiers,
                processes=window.processes,
                containers=window.containers,
                events_per_second=412.0,
                paused=self.paused,
                now_ns=now_ns,
                message=self._message,
                past=Past(
                    behind_ns=self.now_ns - line.at_ns if line.held else 0,
                    kept_bytes=line.bytes,
                    limit_bytes=LIMIT_BYTES,
                    rewound=line.rewound,
                    at_start=line.at_start,
                    full=line.full,
                ),
                replay=self.replay,
            ),
            window=window,
            explanation=self._explanation(),
            stats=self.stats,
            latency=(
                TierLatency(Tier.CACHE, 8_400, 447, 895, 61_000),
                TierLatency(Tier.MAPS, 210, 6_143, 10_239, 80_000),
                TierLatency(Tier.PROCFS, 6, 180_223, 262_143, 255_000),
            ),
            fills=(MapFill("pid_cache", 1_204, 16_384), MapFill("proc_cache", 9_822, 16_384)),
            cached=window.processes,
            cache_limit=131_072,
        )
        for callback in self._callbacks:
            callback(frame)

    def _put(self, view: ProcessView) -> None:
        start = self._starts.get(view.entry.ppid)
        if start is not None:
            view = msgspec.structs.replace(view, parent=ProcessKey(view.entry.ppid, start))
        self._views[view.key] = view
        self._line.put(view)

    def _explanation(self) -> Explanation | None:
        key = self._explained
        now_ns = self._line.at_ns if self._line.held else self.now_ns
        if isinstance(key, str):
            group = self._tree.group(key)
            if group is None:
                return None
            return group_explanation(group, self.cpu_history, SPAN_NS, now_ns)
        view = self._views.get(key) if key is not None else None
        if view is None:
            return None
        resolution = Resolution(view.entry.pid, view.source, view.origin, view.entry, _trail(view))
        moment = Moment(now_ns, "none, checked 12s ago")
        return explanation(self._process(view), resolution, view, moment)

    def _process(self, view: ProcessView) -> Process:
        """The lineage's object of a view, with its ancestors and the images it has had."""
        parent = self._views.get(view.parent) if view.parent is not None else None
        return Process(
            view.entry,
            view.origin,
            view.key,
            parent=self._process(parent) if parent is not None else None,
            images=self.images.get(view.entry.pid, ()),
        )


def _trail(view: ProcessView) -> tuple[TrailStep, ...]:
    """What the tiers would have said."""
    return {
        Tier.CACHE: (TrailStep(Tier.CACHE, Outcome.HIT, f"entry of {view.origin}, start time agrees", 400),),
        Tier.MAPS: (
            TrailStep(Tier.CACHE, Outcome.MISS, f"no entry for pid {view.entry.pid}", 400),
            TrailStep(Tier.MAPS, Outcome.HIT, "pid_cache → cookie 0x5f21 → proc_cache", 6300),
        ),
    }.get(
        view.source or Tier.PROCFS,
        (
            TrailStep(Tier.CACHE, Outcome.MISS, f"no entry for pid {view.entry.pid}", 400),
            TrailStep(Tier.MAPS, Outcome.MISS, "pid_cache holds nothing for it", 4100),
            TrailStep(Tier.PROCFS, Outcome.HIT, f"/proc/{view.entry.pid}", 181_000),
        ),
    )
