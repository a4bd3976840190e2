"""Verdicts of the verifier, compared with those that bpftool gets for the same program on its own."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildgen.errors import ObjectError
from buildgen.verifier.model import ObjectVerdict, ProgramVerdict
from buildgen.verifier.verify import verify_object
from tests.buildgen.verifier.rejected_programs import CASES, PRELUDE, compiled, source
from tests.needs import lacks
from tests.places import ROOT

NO_BPF = "-bpf,-perfmon,-sys_admin,-net_admin"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
    pytest.mark.usefixtures("needs_llvm"),
]


@pytest.fixture(scope="module")
def verdict(tmp_path_factory: pytest.TempPathFactory, needs_llvm: None) -> ObjectVerdict:
    found = verify_object(compiled(tmp_path_factory.mktemp("all"), source(*CASES)))
    if not found.permitted:
        pytest.skip("this host does not let root load programs")
    return found


@pytest.fixture
def bpffs(tmp_path: Path) -> Iterator[Path]:
    where = tmp_path / "bpffs"
    where.mkdir()
    if subprocess.run(["mount", "-t", "bpf", "bpf", where], capture_output=True, check=False).returncode:
        pytest.skip("no bpffs can be mounted here")
    yield where
    subprocess.run(["umount", where], check=True)


def of(verdict: ObjectVerdict, name: str) -> ProgramVerdict:
    (one,) = [one for one in verdict.programs if one.name == name]
    return one


def test_each_program_has_a_verdict(verdict: ObjectVerdict) -> None:
    assert sorted(one.name for one in verdict.programs) == sorted(CASES)
    assert not verdict.accepted
    assert {one.name for one in verdict.programs if one.accepted} == {
        name for name, case in CASES.items() if case.says is None
    }


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.says])
def test_the_reason_and_its_line(verdict: ObjectVerdict, name: str) -> None:
    one, case = of(verdict, name), CASES[name]
    assert case.says is not None
    assert case.says in one.reason
    assert "\n" not in one.reason
    if case.at:
        assert case.at in one.source
        assert one.file is not None
        assert Path(one.file).read_text().splitlines()[(one.line or 0) - 1].strip() == one.source


@pytest.mark.parametrize("name", CASES)
def test_bpftool_says_the_same(name: str, tmp_path: Path, bpffs: Path, verdict: ObjectVerdict) -> None:
    if not shutil.which("bpftool"):
        lacks("bpftool")
    alone = compiled(tmp_path, source(name))
    pinned = bpffs / "program"
    if '"?' in CASES[name].body:
        pytest.skip("bpftool leaves out what is not to be loaded unasked")
    loaded = subprocess.run(["bpftool", "prog", "load", alone, pinned], capture_output=True, check=False)
    assert of(verdict, name).accepted == (loaded.returncode == 0), loaded.stderr
    if loaded.returncode == 0:
        assert of(verdict, name).insns_verified == verified_insns(pinned)


def verified_insns(pinned: Path) -> int:
    """Return what the kernel itself counted: bpf_prog_info.verified_insns."""
    libbpf = ctypes.CDLL("libbpf.so.1")
    fd = libbpf.bpf_obj_get(os.fsencode(pinned))
    assert fd >= 0
    info, size = ctypes.create_string_buffer(232), ctypes.c_uint32(232)
    assert libbpf.bpf_obj_get_info_by_fd(fd, info, ctypes.byref(size)) == 0
    os.close(fd)
    return int(struct.unpack_from("=I", info.raw, 216)[0])


def test_the_whole_log_is_kept(verdict: ObjectVerdict) -> None:
    log = of(verdict, "no_null_check").log.splitlines()
    assert any(line.startswith("6: (85) call bpf_map_lookup_elem#1") for line in log)
    assert any("return *value;" in line for line in log)


def test_a_licence_that_is_not_gpl_is_named_with_its_cure(tmp_path: Path) -> None:
    body = """SEC("raw_tp/sched_process_exec") int reads(void *ctx) {
    char name[16];
    return bpf_probe_read_kernel(name, sizeof(name), ctx);
}
char LICENSE[] SEC("license") = "Proprietary";
"""
    (one,) = verify_object(compiled(tmp_path, PRELUDE + body)).programs
    assert "GPL" in one.reason
    assert "Dual BSD/GPL" in one.explained.fix


def test_nothing_is_pinned(tmp_path: Path) -> None:
    pinning = PRELUDE.replace("__uint(max_entries, 8);", "__uint(max_entries, 8); __uint(pinning, 1);")
    made = compiled(tmp_path, pinning + CASES["looks_up"].body + '\nchar LICENSE[] SEC("license") = "GPL";')
    watched = Path("/sys/fs/bpf/counts")
    if watched.exists():
        pytest.skip("somebody else's map is pinned there")
    assert verify_object(made).accepted
    assert not watched.exists()


@pytest.mark.skipif(sys.byteorder != "little", reason="the object is made for the other byte order")
def test_the_wrong_byte_order_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "big.c").write_text('__attribute__((section("xdp"))) int one(void *c) { return 0; }')
    subprocess.run(["clang", "-target", "bpfeb", "-c", "big.c", "-o", "big.o"], cwd=tmp_path, check=True)
    with pytest.raises(ObjectError, match="endianness mismatch"):
        verify_object(tmp_path / "big.o")


def test_the_command(tmp_path: Path) -> None:
    made = compiled(tmp_path, source("good", "no_null_check"))
    run = command("--json", str(made))
    assert run.returncode == 1
    said = json.loads(run.stdout)
    assert said["schema"] == "ebpf-tui/verify/2"
    assert [(p["name"], p["accepted"]) for p in said["programs"]] == [
        ("good", True),
        ("no_null_check", False),
    ]
    assert {
        "verdict",
        "insns_verified",
        "states",
        "reason",
        "cause",
        "fix",
        "trace",
        "fixups",
        "line",
        "log",
    } <= said["programs"][0].keys()
    log = command(str(made), "--log", "no_null_check")
    assert "R0 invalid mem access" in log.stdout
    assert command(str(made), "--log", "nobody").returncode == 2
    assert command(str(compiled(tmp_path, source("good")))).returncode == 0
    assert command(str(tmp_path / "absent.o")).returncode == 1


def test_without_the_right_to_load_it_ends_with_3(tmp_path: Path) -> None:
    if not shutil.which("setpriv"):
        lacks("setpriv")
    made = compiled(tmp_path, source("good"))
    run = command(str(made), before=["setpriv", "--bounding-set", NO_BPF])
    assert run.returncode == 3, run.stdout + run.stderr
    assert "CAP_BPF" in run.stdout
    assert "Traceback" not in run.stderr


def command(*arguments: str, before: list[str] | None = None) -> subprocess.CompletedProcess[str]:
    tui = [sys.executable, "-m", "tui.cli.main", "verify", *arguments]
    return subprocess.run([*(before or []), *tui], cwd=ROOT, capture_output=True, text=True, check=False)


CRASHING = """
#include <signal.h>
#include <stddef.h>
static long programs[3] = {1, 2, 3}, *wanted;
void *libbpf_set_print(void *f) { return 0; }
void *bpf_object__open_file(const char *path, void *options) { return programs; }
void *bpf_object__next_program(void *o, long *p) { return !p ? programs : p < programs + 2 ? p + 1 : NULL; }
void *bpf_object__next_map(void *o, void *m) { return NULL; }
void bpf_object__close(void *o) {}
int bpf_object__load(void *o) { if (*wanted == 2) raise(SIGSEGV); return 0; }
int bpf_map__set_pin_path(void *m, const char *p) { return 0; }
const char *bpf_program__name(long *p) { return *p == 1 ? "one" : *p == 2 ? "two" : "three"; }
int bpf_program__set_autoload(long *p, _Bool on) { if (on) wanted = p; return 0; }
int bpf_program__set_log_level(void *p, unsigned level) { return 0; }
int bpf_program__set_log_buf(void *p, char *log, size_t size) { return 0; }
"""


def test_a_crash_in_libbpf_costs_one_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = compiled(tmp_path, source("good"))
    (tmp_path / "crash.c").write_text(CRASHING)
    library = ["clang", "-w", "-shared", "-fPIC", "crash.c", "-o", "libbpf.so.1"]
    if subprocess.run(library, cwd=tmp_path, capture_output=True, check=False).returncode:
        lacks("a C library to link with")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    found = verify_object(made)
    assert [(one.name, one.accepted) for one in found.programs] == [
        ("one", True),
        ("two", False),
        ("three", True),
    ]
    assert found.programs[1].reason == "libbpf crashed (SIGSEGV) loading it"


def test_no_libbpf_is_one_line_and_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = compiled(tmp_path, source("good"))
    (tmp_path / "libbpf.so.1").write_text("not a library")
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    run = command(str(made))
    assert (run.returncode, run.stdout) == (3, "")
    assert "libbpf.so.1 is not here" in run.stderr
