"""A sweep decodes what is new; the rest are the same samples as before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core.probe.samples import SAMPLE, Samples

Thread = tuple[int, int, bool, int, int]
"""pid, CPU time, whether it is the first thread, threads of the process, state."""


def records(threads: list[Thread]) -> bytes:
    return b"".join(
        SAMPLE.pack(pid * 1000, cpu, 7, pid, leader, 1, 1, 0, 0, state, count, b"worker")
        for pid, cpu, leader, count, state in threads
    )


SLEEPING, RUNNING, ZOMBIE = 1, 0, 0x20
HOST: list[Thread] = [
    (10, 500, True, 1, SLEEPING),
    (20, 100, True, 3, SLEEPING),
    (20, 40, False, 3, SLEEPING),
    (20, 40, False, 3, SLEEPING),  # two threads may well look the same
    (30, 0, True, 2, ZOMBIE),
    (30, 9, False, 2, RUNNING),
]


def test_an_unchanged_process_is_the_same_sample() -> None:
    samples = Samples()
    first = samples.decode(records(HOST))
    assert [(s.pid, s.usage.cpu_ns, s.usage.state, s.usage.threads) for s in first] == [
        (10, 500, "S", 1),
        (20, 180, "S", 3),
        (30, 9, "R", 2),
    ]
    again = samples.decode(records(HOST))
    assert samples.decoded == 0
    assert all(one is other for one, other in zip(first, again, strict=True))


def test_a_process_with_one_busy_thread_is_decoded_whole_and_the_others_are_not() -> None:
    samples = Samples()
    first = {sample.pid: sample for sample in samples.decode(records(HOST))}
    busy = [*HOST[:3], (20, 45, False, 3, RUNNING), *HOST[4:]]
    second = {sample.pid: sample for sample in samples.decode(records(busy))}
    assert samples.decoded == 1
    assert second[20].usage.cpu_ns == 185
    assert second[10] is first[10]
    assert second[30] is first[30]


def test_who_ended_is_gone() -> None:
    samples = Samples()
    samples.decode(records(HOST))
    assert [sample.pid for sample in samples.decode(records(HOST[1:]))] == [20, 30]


threads = st.tuples(
    st.integers(1, 6), st.integers(0, 2), st.booleans(), st.integers(1, 2), st.sampled_from([0, 1])
)


@given(st.lists(st.lists(threads, max_size=12), max_size=4))
def test_sweeps_one_after_the_other_say_what_each_says_alone(sweeps: list[list[Thread]]) -> None:
    samples = Samples()
    for sweep in sweeps:
        once = [t for n, t in enumerate(sweep) if not t[2] or t[0] not in [o[0] for o in sweep[:n] if o[2]]]
        # The kernel counts the threads in each record.
        told = [
            (pid, cpu, first, sum(o[0] == pid for o in once), state) for pid, cpu, first, _, state in once
        ]
        alone = Samples().decode(records(told))
        after = samples.decode(records(told))
        assert {one.pid: one for one in after} == {one.pid: one for one in alone}
