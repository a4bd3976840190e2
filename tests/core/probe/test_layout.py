"""The Python layouts are those of the probe: compared with the BTF of the shipped object."""

from __future__ import annotations

import contextlib
import ctypes
import shutil
from pathlib import Path
from struct import Struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildgen.objects.disassembly import disassemble
from buildgen.objects.read import read_object
from core.model.entities import Credentials
from core.probe import layout
from core.probe.loader import SHIPPED_OBJECT
from core.probe.samples import Samples
from core.sources.cmdlines import LIMIT, is_short
from tests.needs import lacks
from tools.build_probe import SOURCES, is_up_to_date

# `struct sample` lives on the BPF stack only and has no BTF; the sweep of test_probe.py checks it.
STRUCTS = {
    "facts": layout.FACTS,
    "pid_entry": layout.PID_ENTRY,
    "proc_entry": layout.PROC_ENTRY,
    "cgroup_set": layout.CGROUP_SET,
}


@pytest.mark.parametrize("name", STRUCTS)
def test_sizes_are_those_of_the_object(name: str) -> None:
    try:
        libbpf = ctypes.CDLL("libbpf.so.1")
    except OSError:
        lacks("libbpf.so.1")
    libbpf.btf__parse_elf.restype = ctypes.c_void_p
    libbpf.btf__find_by_name_kind.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32]
    libbpf.btf__resolve_size.argtypes = [ctypes.c_void_p, ctypes.c_uint32]
    libbpf.btf__resolve_size.restype = ctypes.c_int64
    btf = libbpf.btf__parse_elf(str(SHIPPED_OBJECT).encode(), None)
    number = libbpf.btf__find_by_name_kind(btf, name.encode(), 4)  # BTF_KIND_STRUCT
    assert number > 0
    assert libbpf.btf__resolve_size(btf, number) == STRUCTS[name].size


def test_no_program_of_the_probe_can_sleep_or_read_another_process() -> None:
    """A page of a file system in user space may never come; who waits for it stops the host's eBPF."""
    probe = read_object(SHIPPED_OBJECT)
    sections = {program.section for program in probe.programs}
    assert {"iter/task", "tp_btf/sched_process_exec"} <= sections
    assert [section for section in sections if ".s/" in section or section.endswith(".s")] == []
    objdump = shutil.which("llvm-objdump") or shutil.which("llvm-objdump-14")
    if objdump is None:
        pytest.skip("no llvm-objdump")
    called = {one.helper for program in probe.programs for one in disassemble(probe, program, Path(objdump))}
    assert any("probe_read_kernel" in name for name in called)
    assert [name for name in called if "copy_from_user" in name] == []


def test_the_kind_of_a_record_is_all_of_its_number() -> None:
    with pytest.raises(ValueError, match="unknown kind 259"):
        layout.decode_event(Struct("=I").pack(256 + layout.EXIT) + bytes(layout.FACTS.size))


@pytest.mark.parametrize(
    ("argv", "size", "short"),
    [
        (b"sleep\x0060\0", 9, False),
        (b"sleep\x00", 9000, False),  # a title over the beginning of argv
        (b"python3\0script\0", 9000, True),  # a file is mapped over the rest
        (b"x" * 4096, 9000, False),  # a title without an end in its page
        (b"", 9000, True),
        (b"x" * (LIMIT + 1), 9, True),
    ],
)
def test_an_argv_that_is_not_all_there_is_marked(argv: bytes, size: int, short: bool) -> None:
    assert is_short(argv, size) is short


@given(st.lists(st.binary(min_size=1, max_size=20).filter(lambda b: b"/" not in b and b"\0" not in b)))
def test_names_and_paths_are_two_forms_of_one_thing(parts: list[bytes]) -> None:
    path = b"".join(b"/" + part for part in parts)
    assert layout.path_of(layout.names_of(path)) == path


@given(st.binary(max_size=600))
def test_a_foreign_record_is_a_value_error_and_nothing_else(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        layout.decode_event(data)


numbers = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 7, 16, 4096])
facts = st.builds(
    # As record.h has them: kind, flags, 12 of u64, 24 of u32, comm, tty.
    lambda kind, longs, ints, comm, tty: Struct("=II12Q24I16s16s").pack(
        kind, *ints[:1], *longs, *ints[1:], comm, tty
    ),
    st.integers(1, 6),
    st.lists(st.integers(0, 2**64 - 1), min_size=12, max_size=12),
    st.lists(numbers, min_size=25, max_size=25),
    st.binary(max_size=16),
    st.binary(max_size=16),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # an emulated kernel is
@given(st.lists(st.tuples(facts, st.binary(max_size=80)), max_size=3))
def test_records_with_any_numbers_in_them_are_decoded(records: list[tuple[bytes, bytes]]) -> None:
    """Lengths that reach beyond the record, names without a NUL, states that no kernel has."""
    for head, tail in records:
        with contextlib.suppress(ValueError):
            layout.decode_event(head + tail)
    found = layout.decode_snapshot(b"".join(head + tail for head, tail in records))
    assert len(found) <= len(records) * 2


@given(st.binary(min_size=layout.PID_ENTRY.size, max_size=layout.PID_ENTRY.size), st.data())
def test_map_entries_with_any_numbers_in_them_are_decoded(process: bytes, data: st.DataObject) -> None:
    names = st.binary(max_size=layout.STORED_EXE)
    ints = st.lists(numbers, min_size=6, max_size=6)
    image = (1, 2, 3, *data.draw(ints), data.draw(names), data.draw(names))
    entry = layout.entry_of_maps(7, layout.PID_ENTRY.unpack(process), image, layout.UNKNOWN_CGROUP)
    assert entry.pid == 7
    assert len(entry.cmdline) <= layout.STORED_ARGS


@given(
    st.builds(
        Credentials,
        *[st.integers(0, 2**32 - 1)] * 6,
        st.none() | st.integers(0, 2**32 - 2),
        *[st.integers(0, 2**64 - 1)] * 2,
    )
)
def test_credentials_and_bytes_are_two_forms_of_one_thing(creds: Credentials) -> None:
    assert layout.credentials_of(*layout.bytes_of(creds)) == creds


@given(st.binary(max_size=900))
def test_cut_streams_are_read_as_far_as_they_go(data: bytes) -> None:
    layout.decode_snapshot(data)
    Samples().decode(data)


@pytest.mark.parametrize(
    ("state", "letter"),
    [(0, "R"), (1, "S"), (2, "D"), (4, "T"), (8, "t"), (0x10, "X"), (0x20, "Z"), (0x402, "I"), (0x40, "P")],
)
def test_state_letters(state: int, letter: str) -> None:
    assert layout.state_letter(state) == letter


def test_sources_and_object_are_of_one_make() -> None:
    """The shipped object says which sources it was built from."""
    assert is_up_to_date("core/probe/process.bpf"), "run `make probe`"
    named = set(SOURCES["core/probe/process.bpf"])
    assert named == {path.name for path in SHIPPED_OBJECT.parent.iterdir() if path.suffix in (".c", ".h")}


def test_a_snapshot_that_is_cut_ends_with_its_last_whole_record() -> None:
    head = [0, 0, *[0] * 8, b"", 0, 0, *[0] * 4, b"", *[0] * 13, b""]
    head[26] = 4  # as long is the first text behind the facts
    record = layout.FACTS.pack(*head) + b"/sh\0"
    assert len(layout.decode_snapshot(record * 2)) == 2
    assert len(layout.decode_snapshot((record * 2)[:-1])) == 1
