"""What a hostile object can do to `verify`: memory of maps, time, crashes, a checker without rights.

A library of our own takes libbpf's place where the real one cannot be made to fail on demand.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from buildgen.errors import VerifyError
from buildgen.objects.section_names import MAP_TYPES
from buildgen.verifier import checker
from buildgen.verifier.map_memory import Shape, memory_of, smaller
from buildgen.verifier.model import ObjectVerdict
from buildgen.verifier.verify import verify_object
from tests.buildgen.verifier.rejected_programs import CASES, PRELUDE, compiled, source
from tests.places import ROOT

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="loading programs needs root"),
    pytest.mark.usefixtures("needs_llvm"),
]

FAKE = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
static long programs[4] = {1, 2, 3, 4}, *wanted;
static char *log_, *said;
void *libbpf_set_print(void *f) { return 0; }
void *bpf_object__open_file(const char *path, void *options) { return programs; }
void *bpf_object__next_program(void *o, long *p) { return !p ? programs : p < programs + 3 ? p + 1 : NULL; }
void *bpf_object__next_map(void *o, void *m) { return NULL; }
void bpf_object__close(void *o) {}
int bpf_map__set_pin_path(void *m, const char *p) { return 0; }
const char *bpf_program__name(long *p) { return &"one\\0\\0two\\0\\0three\\0four"[(*p - 1) * 5]; }
int bpf_program__set_autoload(long *p, _Bool on) { if (on) wanted = p; return 0; }
int bpf_program__set_log_level(void *p, unsigned level) { return 0; }
int bpf_program__set_log_buf(void *p, char *log, size_t size) { log_ = log; return 0; }
static void status(void) {
    int f = open("/proc/self/status", O_RDONLY), n = read(f, log_, 4000);
    log_[n < 0 ? 0 : n] = 0;
    char *end = log_ + strlen(log_), where[500] = "";
    if (getcwd(where, sizeof(where))) sprintf(end, "cwd %s\\n", where);
    sprintf(end + strlen(end), "session %d\\n", getsid(0) == getpid());
    sprintf(end + strlen(end), "fork %d\\n", fork() < 0);
    sprintf(end + strlen(end), "shadow %d\\n", open("/etc/shadow", O_RDONLY) >= 0);
}
int bpf_object__load(void *o) { if (*wanted == 2) { WHAT; } return 0; }
"""


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return compiled(tmp_path, source("good"))


def with_fake(what: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> ObjectVerdict:
    """Verify with a library that does `what` when the second of four programs is loaded."""
    folder = made.parent
    (folder / "fake.c").write_text(FAKE.replace("WHAT", what))
    subprocess.run(["clang", "-w", "-shared", "-fPIC", "fake.c", "-o", "libbpf.so.1"], cwd=folder, check=True)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder))
    return verify_object(made)


def decided(found: ObjectVerdict) -> list[bool]:
    return [one.verdict != "not asked" for one in found.programs]


# --- the process ------------------------------------------------------------------------------------


def test_the_checker_has_no_rights_but_to_load(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real process, seen from inside the library."""
    log = with_fake("status(); return -22", made, monkeypatch).programs[1].log
    said = dict(re.findall(r"^(\w+):?[ \t]*(.*)$", log, re.MULTILINE))
    assert set(said["Uid"].split()) == {"65534"}
    assert said["Groups"].strip() == ""
    assert int(said["CapPrm"], 16) & ~(1 << 12 | 1 << 38 | 1 << 39) == 0
    assert said["CapEff"] == said["CapPrm"]
    assert int(said["CapBnd"], 16) == int(said["CapInh"], 16) == 0
    assert said["NoNewPrivs"] == "1"
    assert (said["cwd"], said["session"], said["fork"], said["shadow"]) == ("/", "1", "1", "0")


def test_time_is_bounded_and_what_was_decided_stays(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "PATIENCE", 3.0)
    found = with_fake("sleep(15)", made, monkeypatch)
    assert [one.accepted for one in found.programs] == [True, False, False, False]
    assert decided(found) == [True, False, False, False]
    assert found.programs[1].reason == "the verifier was still busy after 3 s"
    assert found.programs[2].reason == "not asked, as the check had ended before"
    assert not found.accepted
    assert found.permitted


def test_processor_time_is_bounded_too(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "PATIENCE", 2.0)
    found = with_fake("for (;;) ;", made, monkeypatch)
    assert decided(found) == [True, False, False, False]


def test_nobody_waits_for_a_pipe_that_somebody_else_holds(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A helper that escaped into another session keeps the pipe open: the answers are there all the same."""
    escape = """
static void __attribute__((constructor)) start(void) {
    if (fork() == 0) {
        setsid();
        dprintf(open("PID", O_WRONLY | O_CREAT, 0600), "%d", getpid());
        alarm(60);
        pause();
    }
}
""".replace("PID", str(tmp_path / "pid"))
    monkeypatch.setitem(globals(), "FAKE", FAKE + escape)
    assert all(one.accepted for one in with_fake("", made, monkeypatch).programs)
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)  # it was there to the end


def test_what_a_check_has_started_ends_with_it(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = """
static void __attribute__((constructor)) start(void) {
    if (fork() == 0) {
        dprintf(open("PID", O_WRONLY | O_CREAT, 0600), "%d", getpid());
        alarm(60);
        pause();
    }
}
""".replace("PID", str(tmp_path / "pid"))
    monkeypatch.setitem(globals(), "FAKE", FAKE + started)
    assert all(one.accepted for one in with_fake("", made, monkeypatch).programs)
    status = Path(f"/proc/{(tmp_path / 'pid').read_text()}/status")
    until = time.monotonic() + 20  # it would end by itself after 60 s
    while status.exists() and "State:\tZ" not in status.read_text():
        assert time.monotonic() < until, "it runs on"
        time.sleep(0.05)


@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
def test_a_check_that_was_killed_says_so_and_stops(
    name: str, made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An oops of the kernel or the OOM killer: the next program would meet the same."""
    found = with_fake(f"raise({name})", made, monkeypatch)
    assert [one.accepted for one in found.programs] == [True, False, False, False]
    assert decided(found) == [True, False, False, False]
    assert name in found.programs[1].reason
    assert ("dmesg" in found.programs[1].reason) is (name == "SIGKILL")
    assert found.programs[3].reason == "not asked, as the check had ended before"


def test_a_crash_costs_one_verdict_and_is_no_rejection(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = with_fake("raise(SIGSEGV)", made, monkeypatch)
    assert [one.accepted for one in found.programs] == [True, False, True, True]
    assert decided(found) == [True, False, True, True]


def test_crashes_without_end_are_bounded(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "_MOST_CRASHES", 2)
    monkeypatch.setitem(globals(), "FAKE", FAKE.replace("*wanted == 2", "*wanted >= 2"))
    found = with_fake("raise(SIGSEGV)", made, monkeypatch)
    assert found.programs[3].reason == "not asked, as the check had ended before"


@pytest.mark.parametrize(
    "what",
    [
        'dprintf(1, "[]\\n"); _exit(0)',
        'dprintf(1, "{\\"number\\": 99}\\n"); _exit(0)',
        'dprintf(1, "\\xff\\n")',
    ],
)
def test_answers_that_are_none(what: str, made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(VerifyError, match="does not answer"):
        with_fake(what, made, monkeypatch)


def test_answers_without_end(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "_MOST_ANSWERS", 1 << 20)
    found = with_fake('for (;;) dprintf(1, "%1000d", 1)', made, monkeypatch)
    assert "said more than 1 MiB" in found.programs[1].reason


# --- memory -----------------------------------------------------------------------------------------


def with_map(folder: Path, definition: str, body: str = CASES["good"].body) -> Path:
    text = (
        f'{PRELUDE}struct {{ {definition} }} large SEC(".maps");\n{body}\nchar L[] SEC("license") = "GPL";\n'
    )
    return compiled(folder, text)


def test_arrays_that_take_too_much_are_not_made(tmp_path: Path) -> None:
    """6 kB of object, 4 GB of kernel memory (issue 11); the limit is named, and the exit code is 1."""
    big = "__uint(type, 2); __uint(key_size, 4); __uint(value_size, 4096); __uint(max_entries, 1 << 20);"
    made = with_map(tmp_path, big)
    (one,) = verify_object(made).programs
    assert (one.verdict, one.permitted) == ("not asked", True)
    assert "4,104 MiB of kernel memory" in one.reason
    assert "at most 128 MiB" in one.reason
    tui = [sys.executable, "-m", "tui.cli.main", "verify", str(made)]
    ran = subprocess.run(tui, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert ran.stdout.startswith("not asked good")


def test_maps_whose_size_does_not_matter_are_made_smaller(tmp_path: Path) -> None:
    big = "__uint(type, 1); __uint(key_size, 4); __uint(value_size, 4096); __uint(max_entries, 1 << 20);"
    found = verify_object(with_map(tmp_path, big))
    if not found.permitted:
        pytest.skip("this host does not let root load programs")
    assert found.accepted
    (fixup,) = found.programs[0].fixups
    assert "MiB of kernel memory when it is loaded" in fixup
    assert "fewer entries: large" in fixup


def test_maps_that_fit_stay_as_they_are(tmp_path: Path) -> None:
    assert verify_object(compiled(tmp_path, source("looks_up"))).programs[0].fixups == ()


CONSTANT_KEY = """SEC("raw_tp/sched_process_exec") int constant_key(void *ctx) {
    int key = 100;
    long *value = bpf_map_lookup_elem(&large, &key);
    return *value;
}"""
"""Since Linux 6.14 the verifier knows that this finds a value, if max_entries is greater than 100."""


def test_the_verdict_is_that_of_the_array_as_it_is(tmp_path: Path) -> None:
    array = "__uint(type, 2); __type(key, int); __type(value, long); __uint(max_entries, 200);"
    big = """
struct { __uint(type, 1); __uint(key_size, 4); __uint(value_size, 4096); __uint(max_entries, 1 << 20); }
    other SEC(".maps");
"""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    alone = verify_object(with_map(tmp_path / "a", array, CONSTANT_KEY))
    beside = verify_object(with_map(tmp_path / "b", array, big + CONSTANT_KEY))
    assert beside.programs[0].fixups
    assert alone.programs[0].accepted == beside.programs[0].accepted


def test_a_map_of_maps_counts_its_pattern(tmp_path: Path) -> None:
    inner = """__uint(type, 12); __uint(key_size, 4); __uint(max_entries, 2); __array(values, struct {
        __uint(type, 2); __uint(key_size, 4); __uint(value_size, 1 << 20); __uint(max_entries, 1000); });"""
    (one,) = verify_object(with_map(tmp_path, inner)).programs
    assert one.verdict == "not asked"
    assert "1,000 MiB" in one.reason


def test_data_sections_count(tmp_path: Path) -> None:
    text = f'{PRELUDE}char huge[1 << 30];\n{CASES["good"].body}\nchar L[] SEC("license") = "GPL";\n'
    (one,) = verify_object(compiled(tmp_path, text)).programs
    assert "1,024 MiB" in one.reason


def test_many_maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checker, "MOST_MAPS", 1)
    array = "__uint(type, 2); __type(key, int); __type(value, long); __uint(max_entries, 1);"
    (one,) = verify_object(with_map(tmp_path, array)).programs
    assert one.reason == "not asked: it has 2 maps; a check makes at most 1"


@pytest.mark.parametrize("kind", ["hash", "array", "percpu_hash", "percpu_array", "lru_hash", "ringbuf"])
def test_the_estimate_is_what_the_kernel_counts(kind: str) -> None:
    """`memlock` of a map's fdinfo is the kernel's own estimate since Linux 6.4, what it took before."""
    number, ring = MAP_TYPES.index(kind), kind == "ringbuf"
    shape = Shape(number, 0 if ring else 4, 0 if ring else 256, 1 << 20 if ring else 4096)
    libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
    fd = libbpf.bpf_map_create(number, b"estimate", *shape[1:], None)
    if fd < 0:
        pytest.skip("this host does not let root make maps")
    said = Path(f"/proc/self/fdinfo/{fd}").read_text()
    os.close(fd)
    counted = int(re.findall(r"memlock:\s+(\d+)", said)[0])
    estimated = memory_of(shape, libbpf.libbpf_num_possible_cpus())
    assert counted / 2 < estimated < counted * 2, (counted, estimated)


@pytest.mark.parametrize("number", range(len(MAP_TYPES) + 3))
def test_estimates_never_overflow_and_never_grow(number: int) -> None:
    most = Shape(number, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    assert memory_of(most, 8192) >= 1024
    for entries in (0, 1, 100, 0xFFFFFFFF):
        assert 0 <= smaller(most._replace(max_entries=entries)) <= entries
