"""What a tier's answers took, summary from a small histogram, against the sorted times themselves."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.model.entities import Tier
from core.model.latency import Latency


@given(st.lists(st.integers(0, 2**39 - 1), min_size=1, max_size=300))
def test_percentiles_are_right_to_a_quarter(times: list[int]) -> None:
    latency = Latency()
    for ns in times:
        latency.note(ns)
    summary = latency.summary(Tier.MAPS)
    times.sort()
    assert (summary.tier, summary.count, summary.max_ns) == (Tier.MAPS, len(times), times[-1])
    for percent, said in ((50, summary.p50_ns), (95, summary.p95_ns)):
        exact = times[-(-len(times) * percent // 100) - 1]
        assert exact <= said <= min(exact * 5 / 4 + 1, times[-1])


def test_no_answer_took_nothing_and_an_endless_one_is_counted() -> None:
    latency = Latency()
    assert latency.summary(Tier.CACHE).count == 0
    latency.note(2**60)
    assert (latency.summary(Tier.CACHE).count, latency.summary(Tier.CACHE).max_ns) == (1, 2**60)
