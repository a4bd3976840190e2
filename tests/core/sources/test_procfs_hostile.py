"""A /proc as no kernel writes it, cut and garbled: it says less, and that it does; nothing else is raised."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.model.entities import TICK_NS, Credentials, ProcessEntry
from core.probe import layout
from core.sources.procfs import Procfs, ProcfsError
from core.system.host import LOCAL, Host

PID = 42
STAT = (
    b"42 (%b) S 1 42 42 34817 42 4194304 1 2 3 4 500 60 7 8 20 0 3 0 1234 4096 77 18446744073709551615 1 1 99"
    b" 0 0 0 0 0 0 1 0 0 17 1 0 0 0 0 0 1 1 1 1 1 1 1 0\n"
)
STATUS = (
    b"Name:\tagent\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t42\nNgid:\t0\nPid:\t42\nPPid:\t1\n"
    b"Uid:\t10\t11\t12\t13\nGid:\t20\t21\t22\t23\nGroups:\t0 \nNSpid:\t42\t7\n"
    b"CapInh:\t0000000000000000\nCapPrm:\t000001ffffffffff\nCapEff:\t0000000000000400\n"
    b"CapBnd:\t000001ffffffffff\nThreads:\t3\n"
)
CREDENTIALS = Credentials(10, 20, 11, 21, 13, 23, 1000, 0x400, 0x1FFFFFFFFFF)
A_FEW = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A /proc/42 of files, like the kernel's; its namespaces and executable are not there."""
    folder = tmp_path / f"proc/{PID}"
    folder.mkdir(parents=True)
    for name, data in {
        "stat": STAT % b"agent",
        "status": STATUS,
        "loginuid": b"1000",
        "cgroup": b"0::/a\n",
        "cmdline": b"agent\0",
    }.items():
        (folder / name).write_bytes(data)
    return folder


def entry(folder: Path) -> ProcessEntry | None:
    try:
        return Procfs(Host(folder.parents[1])).entry(PID)[0]
    except ProcfsError:
        return None


def fits_into_the_maps(one: ProcessEntry) -> None:
    """What is pushed to the maps has the sizes of the kernel's own numbers."""
    ids, capabilities = layout.bytes_of(one.credentials)
    names = layout.NAMES.pack(one.comm, one.tty)
    layout.PID_ENTRY.pack(
        0, one.start_ns, 0, one.fork_ns, 0, 0, capabilities, one.ppid, 0, ids, 0, 0, 0, one.inner_pid, 0,
        names,
    )  # fmt: skip


def test_the_files_are_read_as_they_are_meant(folder: Path) -> None:
    one = entry(folder)
    assert one is not None
    assert (one.comm, one.ppid, one.tty, one.inner_pid) == (b"agent", 1, b"pts/1", 7)
    assert one.start_ns == 1234 * TICK_NS
    assert one.credentials == CREDENTIALS


@A_FEW
@given(st.binary(max_size=64))
def test_any_name_is_kept_and_moves_no_field(folder: Path, name: bytes) -> None:
    (folder / "stat").write_bytes(STAT % name)
    one = entry(folder)
    assert one is not None
    assert (one.comm, one.ppid, one.start_ns) == (name, 1, 1234 * TICK_NS)


@A_FEW
@given(st.integers(0, len(STAT % b"agent")))
def test_a_cut_stat_is_no_answer_or_the_same(folder: Path, size: int) -> None:
    (folder / "stat").write_bytes((STAT % b"agent")[:size])
    one = entry(folder)
    needed = len((STAT % b"agent").partition(b" 99 ")[0]) + 2  # in the middle of a number it is another
    if size < needed:
        assert one is None
    else:
        assert one is not None
        assert (one.ppid, one.start_ns) == (1, 1234 * TICK_NS)


@A_FEW
@given(st.lists(st.integers(-(2**70), 2**70).map(lambda n: b"%d" % n), min_size=25, max_size=30))
def test_numbers_of_any_size_are_answers_that_fit_or_none(folder: Path, numbers: list[bytes]) -> None:
    (folder / "stat").write_bytes(b"42 (agent) S " + b" ".join(numbers))
    one = entry(folder)
    if one is not None:
        fits_into_the_maps(one)


@A_FEW
@given(st.integers(0, len(STATUS)))
def test_a_cut_status_gives_the_rights_or_says_that_it_does_not(folder: Path, size: int) -> None:
    (folder / "status").write_bytes(STATUS[:size])
    one = entry(folder)
    assert one is not None
    ends = STATUS.index(b"\nCapBnd")
    if size >= ends:
        assert one.credentials == CREDENTIALS
    elif size < STATUS.index(b"CapEff:\t") + len(b"CapEff:\t") + 1:
        assert one.credentials == Credentials()
        assert "status not understood" in one.problem


@pytest.mark.parametrize(
    "line",
    [
        b"CapEff:\t0000000000000001000001ffffffffff",  # 128 bits, as a later kernel may have
        b"CapEff:\t-1",
        b"CapEff:\tall",
        b"CapEff:",
        b"Uid:\t0\t0",
        b"Uid:\t0\t0\t0\t4294967296",
        b"Gid:\t-1\t0\t0\t0",
        b"NSpid:\t",
        b"Tgid:\tx",
    ],
)
def test_a_garbled_line_is_named_and_the_rest_is_told(folder: Path, line: bytes) -> None:
    name = line.partition(b":")[0]
    lines = [line if old.startswith(name + b":") else old for old in STATUS.split(b"\n")]
    (folder / "status").write_bytes(b"\n".join(lines))
    one = entry(folder)
    assert one is not None
    assert "status not understood" in one.problem
    assert (one.credentials, one.args, one.cgroup) == (Credentials(), (b"agent",), b"/a")


@A_FEW
@given(
    st.sampled_from(["stat", "status", "loginuid", "cgroup", "cmdline"]),
    st.binary(max_size=300) | st.text(alphabet="0123456789abcdefx: \t\n()-/", max_size=300).map(str.encode),
)
def test_anything_at_all_is_an_answer_that_fits_or_none(folder: Path, name: str, data: bytes) -> None:
    before = (folder / name).read_bytes()
    (folder / name).write_bytes(data)
    one = entry(folder)
    (folder / name).write_bytes(before)
    if one is not None:
        fits_into_the_maps(one)
        assert name == "loginuid" or one.credentials == CREDENTIALS or "not understood" in one.problem


def test_a_carriage_return_in_a_name_begins_no_line(folder: Path) -> None:
    status = STATUS.replace(b"Name:\tagent", b"Name:\tx\rNSpid:\t9").replace(b"NSpid:\t42\t7\n", b"")
    (folder / "status").write_bytes(status)
    one = entry(folder)
    assert one is not None
    assert one.inner_pid == 0


def test_capabilities_behind_tens_of_thousands_of_groups_are_read(as_root: None) -> None:
    code = "import os; os.setgroups(range(100_000, 165_536)); print('ready', flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        assert Path(f"/proc/{child.pid}/status").stat().st_size == 0
        one = Procfs(LOCAL).entry(child.pid)[0]
        own = Procfs(LOCAL).entry(os.getpid())[0]
        assert one.credentials == own.credentials
        assert one.problem == ""
    finally:
        child.kill()
        child.communicate()
