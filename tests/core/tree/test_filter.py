"""What each word of the filter language takes, and what it says about words it cannot understand."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.model.entities import ContainerContext, Credentials, Origin, ProcessEntry, Tier, Usage
from core.model.view import ProcessView
from core.tree.filter import FilterError, Subject, parse_filter

NGINX = ProcessView(
    entry=ProcessEntry(pid=4121, start_ns=1, comm=b"nginx", credentials=Credentials(uid=33, euid=33)),
    source=Tier.CACHE,
    origin=Origin.PROCFS,
    container=ContainerContext(
        id="1b060cc81653" + "f" * 52,
        runtime="docker",
        name="web",
        image="Nginx:1.27",
        pod="shop-1",
        namespace="eu",
    ),
    usage=Usage(rss_bytes=300 << 20, state="S", threads=2, cpu_percent=4.5),
)
KWORKER = ProcessView(
    entry=ProcessEntry(pid=9, start_ns=1, comm=b"kworker/0:1", kthread=True),
    source=None,
    origin=Origin.SNAPSHOT,
    ended_ns=5,
)


def takes(text: str, view: ProcessView) -> bool:
    chosen = parse_filter(text)
    name = {33: "www-data", 0: "root"}[view.entry.credentials.euid]
    shown = "nginx: worker process" if view is NGINX else "[kworker/0:1]"
    return chosen is None or chosen(Subject(view, name, lambda: shown))


@pytest.mark.parametrize(
    "text",
    [
        "", "  ", "nginx", "NGINX", "nginx: worker", '"worker process"', '"worker pro', "src:cache",
        "SRC:Cache",
        "src:cache‹procfs", "src:cache<procfs", "ctr:web", "ctr:1b06", "ctr:nginx:1", "ctr:docker", "ctr:",
        "pod:shop", "pod:eu", "pod:", "user:www-data", "user:33", "pid:4121", "pid:1,4000-4200", "state:s",
        "state:RS", "cpu>4", "cpu>=4.5", "cpu<=4.5", "cpu<5%", "mem>299M", "mem<0.5g",
        "mem>=300MiB", "!kthread",
        "!ctr:db", "!!nginx", "nginx !src:maps cpu>1",
    ],
)  # fmt: skip
def test_taken(text: str) -> None:
    assert takes(text, NGINX)


@pytest.mark.parametrize(
    "text",
    [
        "apache", "nginx apache", '"process worker"', "src:procfs", "src:event", "src:none",
        "src:cache‹event",
        "ctr:db", "!ctr:", "pod:blog", "user:root", "user:3", "pid:412", "state:R", "state:X", "cpu>4.5",
        "cpu<4.5", "mem>300M", "mem<1k", "kthread", "!nginx",
    ],
)  # fmt: skip
def test_not_taken(text: str) -> None:
    assert not takes(text, NGINX)


@pytest.mark.parametrize(
    "text", ["kthread", "src:none", "src:snapshot", "state:X", "!ctr:", "!cpu>0", "kworker"]
)
def test_what_has_no_container_no_usage_and_no_source(text: str) -> None:
    assert takes(text, KWORKER)
    assert not takes("cpu<100", KWORKER)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("src:kernel", "cache, maps, procfs"),
        ("src:cache‹nowhere", "cache‹event"),
        ("src:", "cache, maps, procfs"),
        ("pid:abc", "pid:1"),
        ("pid:", "pid:1"),
        ("state:Q", "R S D"),
        ("cpu>", "cpu>5"),
        ("mem>lots", "mem>100M"),
        ("cpu>5M", "cpu>5"),
        ("user:", "name or a uid"),
        ("nginx !", "needs a word"),
    ],
)
def test_what_cannot_be_understood_says_what_would_be(text: str, names: str) -> None:
    with pytest.raises(FilterError, match=names):
        parse_filter(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a" * 5000, "4,096 characters"),
        ("a " * 65, "64 words"),
        ("pid:" + "1" * 1000, "pid:1"),
        ("pid:1²", "pid:1"),
        ("pid:١", "pid:1"),
        ("cpu>" + "9" * 1000, "cpu>5"),
        ("mem>١", "mem>100M"),
        ("!" * 1000, "needs a word"),
    ],
)
def test_what_is_too_much_is_said_and_ends_nothing(text: str, names: str) -> None:
    with pytest.raises(FilterError, match=names):
        takes(text, NGINX)


def test_a_thousand_turns_are_one_or_none() -> None:
    assert takes("!" * 1000 + "nginx", NGINX)
    assert not takes("!" * 1001 + "nginx", NGINX)


@given(st.lists(st.tuples(st.integers(4100, 4140), st.integers(4100, 4140)), min_size=1, max_size=8))
def test_ranges_of_pids_may_overlap(ranges: list[tuple[int, int]]) -> None:
    text = "pid:" + ",".join(f"{low}-{high}" for low, high in ranges)
    assert takes(text, NGINX) == any(low <= 4121 <= high for low, high in ranges)


@given(st.text(max_size=60) | st.text('!"pid:1,-cpumem>< ', max_size=4000))
def test_no_text_is_a_traceback(text: str) -> None:
    with suppress(FilterError):
        takes(text, NGINX)
        takes(text, KWORKER)
