"""Real builds with the real clang, llc and ninja."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from buildgen.errors import ConfigError
from buildgen.events import BuildEvent, Diagnosed, Done, EdgeFinished, EdgeStarted, Planned
from buildgen.headers.find import HeadersNotFound, find_header_dirs
from buildgen.ninja.runner import run_build
from buildgen.ninja.workspace import with_states
from buildgen.plan.plan import plan
from buildgen.project.flags import BASES, Base, Variant, compile_flags
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_toolchain
from core.system.arch import local_arch
from tests.buildgen.ebpf_sources import CO_RE, EMBEDDED_BY_TAG, PREBUILT, is_running


def build(project: Path, *, keep_going: bool = False, **options: object) -> list[BuildEvent]:
    return list(run_build(plan(load_project(project), **options), keep_going=keep_going))  # type: ignore[arg-type]


def done(events: list[BuildEvent]) -> tuple[bool, int, int, int]:
    last = events[-1]
    assert isinstance(last, Done)
    return last.ok, last.built, last.failed, last.up_to_date


def diagnoses(events: list[BuildEvent]) -> list[str]:
    return [f"{e.diagnosis.cause}: {e.diagnosis.fix}" for e in events if isinstance(e, Diagnosed)]


def test_events_of_a_build_and_of_one_with_nothing_to_do(co_re: Path) -> None:
    events = build(co_re)
    assert [type(e).__name__ for e in events] == [
        "Planned", "EdgeStarted", "EdgeFinished", "EdgeStarted", "EdgeFinished", "Done",
    ]  # fmt: skip
    assert events[0] == Planned(2)
    assert events[1] == EdgeStarted(f"{local_arch()}/co-re/one.bpf.bc")
    assert done(events) == (True, 1, 0, 0)
    (made,) = (co_re / "build/ebpf").glob("*/co-re/one.bpf.o")
    before = made.stat().st_mtime_ns
    again = build(co_re)
    assert [type(e).__name__ for e in again] == ["Planned", "Done"]
    assert again[0] == Planned(0)
    assert done(again) == (True, 0, 0, 1)
    assert made.stat().st_mtime_ns == before
    assert not list((co_re / "build").rglob("*.tmp"))
    assert not list((co_re / "build").rglob("*.d"))  # ninja keeps them in its own log: deps = gcc


def test_what_changed_is_built_again_and_nothing_else(co_re: Path) -> None:
    (co_re / "two.bpf.c").write_text(CO_RE.replace('#include "value.h"', "").replace("VALUE", "1"))
    assert done(build(co_re)) == (True, 2, 0, 0)
    (co_re / "value.h").write_text("#define VALUE 8\n")
    states = {t.name: t.state for t in with_states(plan(load_project(co_re))).targets}
    assert states == {"one.bpf": "stale", "two.bpf": "fresh"}
    assert done(build(co_re)) == (True, 1, 0, 1)
    (co_re / "ebpf.toml").write_text('[project]\nsources = ["*.bpf.c"]\ndefines = { A = "1" }\n')
    assert done(build(co_re)) == (True, 2, 0, 0)
    assert done(build(co_re)) == (True, 0, 0, 2)


def test_a_new_compiler_builds_everything_again(
    co_re: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package update replaces clang and leaves path, flags and even its time in the past."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("clang", "llc", "llvm-strip"):
        wrapper = tools / tool
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which(tool)} "$@"\n')
        wrapper.chmod(0o755)
    monkeypatch.setenv("EBPF_CLANG", str(tools / "clang"))
    assert done(build(co_re)) == (True, 1, 0, 0)
    assert done(build(co_re)) == (True, 0, 0, 1)
    old = tools / "clang"
    old.write_text(old.read_text() + "# the next version\n")
    os.utime(old, (1, 1))
    assert [t.state for t in with_states(plan(load_project(co_re))).targets] == ["stale"]
    assert done(build(co_re)) == (True, 1, 0, 0)


@pytest.mark.parametrize(
    "name", ["a b", "a$b", "a$ b", "a: b", "it's", 'say "hi"', "größe 🐝", "a  b", "x&y", "#1"]
)
def test_paths_with_odd_characters(tmp_path: Path, co_re: Path, name: str) -> None:
    project = co_re.rename(tmp_path / name)
    (project / "one.bpf.c").rename(project / f"{name}.bpf.c")
    (project / "value.h").rename(project / f"{name}.h")
    (project / f"{name}.bpf.c").write_text(CO_RE.replace("value.h", name.replace('"', '\\"') + ".h"))
    if '"' in name:  # C has no way to include such a name
        (project / f"{name}.bpf.c").write_text(CO_RE.replace('#include "value.h"', "#define VALUE 1"))
    events = build(project)
    assert done(events) == (True, 1, 0, 0), diagnoses(events)
    outputs = [e.output for e in events if isinstance(e, EdgeFinished)]
    assert outputs[1].endswith(f"/co-re/{name}.bpf.o")
    assert (project / "build/ebpf" / outputs[1]).is_file()
    assert done(build(project)) == (True, 0, 0, 1)
    assert [t.state for t in with_states(plan(load_project(project))).targets] == ["fresh"]
    if '"' not in name:
        (project / f"{name}.h").write_text("#define VALUE 9\n")
        assert done(build(project)) == (True, 1, 0, 0)


def test_a_name_that_is_too_long_for_a_file(co_re: Path) -> None:
    longest = "é" * 113  # 226 bytes, and `.bpf` makes it 230
    (co_re / "one.bpf.c").rename(co_re / f"{longest}.bpf.c")
    assert done(build(co_re)) == (True, 1, 0, 0)
    with pytest.raises(ConfigError, match=r"has 236 bytes, more than 230; shorten it"):
        plan(load_project(co_re), variants=["debug"])
    (co_re / "ebpf.toml").write_text(f"[object.{'x' * 300}]\nsources = ['*.bpf.c']\n")
    with pytest.raises(ConfigError, match="has 300 bytes"):
        plan(load_project(co_re))


def test_flags_reach_the_compiler_as_they_are(co_re: Path) -> None:
    text = "a  b $c 'd' \\ ${e} : #"
    (co_re / "one.bpf.c").write_text(CO_RE + "\nconst char text[] = TEXT;\n")
    (co_re / "ebpf.toml").write_text(
        f'[object.odd]\nsources = ["one.bpf.c"]\nflags = [{json.dumps("-DTEXT=" + json.dumps(text))}]\n'
    )
    events = build(co_re)
    assert done(events) == (True, 1, 0, 0), events
    (made,) = (co_re / "build/ebpf").glob("*/co-re/odd.o")
    assert text.encode() in made.read_bytes()


def test_variants_and_their_places(co_re: Path) -> None:
    (co_re / "ebpf.toml").write_text(
        '[object.one]\nsources = ["one.bpf.c"]\nvariants = ["co-re", "debug", "unit-test"]\n'
    )
    (co_re / "one.bpf.c").write_text(
        CO_RE + "\n#ifdef DEBUG\nint debug_form = 1;\n#endif\n#ifdef __BALOUM__\nint test_form = 1;\n#endif\n"
    )
    assert done(build(co_re, arches=["x86_64"])) == (True, 3, 0, 0)
    place = co_re / "build/ebpf/amd64/co-re"
    assert sorted(p.name for p in place.glob("*.o")) == ["one-debug.o", "one-unit-test.o", "one.o"]
    assert b"debug_form" in (place / "one-debug.o").read_bytes()
    assert b"debug_form" not in (place / "one.o").read_bytes()
    assert b"test_form" in (place / "one-unit-test.o").read_bytes()


def test_only_what_is_named(co_re: Path) -> None:
    (co_re / "two.bpf.c").write_text(CO_RE)
    project = load_project(co_re)

    def names(**options: object) -> list[str]:
        return [t.label for t in plan(project, arches=["amd64"], **options).targets]  # type: ignore[arg-type]

    assert names(objects=["two.bpf"]) == ["amd64/co-re/two.bpf.o"]
    with pytest.raises(ConfigError, match=r"no object 'two\.bpf\.o'; available: one\.bpf-debug"):
        names(objects=["two.bpf.o"], variants=["debug"])
    assert names(variants=["debug"]) == ["amd64/co-re/one.bpf-debug.o", "amd64/co-re/two.bpf-debug.o"]
    assert names(objects=["one.bpf-debug.o"], variants=["debug"]) == ["amd64/co-re/one.bpf-debug.o"]
    assert [t.label for t in plan(project, arches=["arm64", "aarch64"], objects=["one.bpf"]).targets] == [
        "arm64/co-re/one.bpf.o"
    ]
    with pytest.raises(ConfigError, match=r"no object 'three'; available: one\.bpf, two\.bpf"):
        plan(project, objects=["three"])
    with pytest.raises(ConfigError, match="no object of project has the variant prebuilt"):
        plan(project, variants=["prebuilt"])
    with pytest.raises(ConfigError, match="unknown variant 'fast'"):
        plan(project, variants=["fast"])
    with pytest.raises(ConfigError, match="unknown architecture 'vax'"):
        plan(project, arches=["vax"])


def test_prebuilt_against_the_headers_of_this_machine(tmp_path: Path, needs_llvm: None) -> None:
    try:
        find_header_dirs()
    except HeadersNotFound as error:
        pytest.skip(str(error))
    (tmp_path / "exit_kern.c").write_text(PREBUILT)
    events = build(tmp_path)
    assert done(events) == (True, 1, 0, 0), events
    (made,) = (tmp_path / "build/ebpf").glob("*/prebuilt/exit_kern.o")
    said = subprocess.run(["llvm-readelf", "-hS", made], capture_output=True, text=True, check=True).stdout
    assert "EM_BPF" in said
    assert "kprobe/do_exit" in said
    assert ".BTF" in said
    assert ".debug_info" not in said


EMBEDDING = """
SEC("raw_tp/sched_process_exec") int on_exec(struct outer *context)
{
    struct outer copy;
    bpf_probe_read_kernel(&copy, sizeof(copy), context);
    return copy.first + copy.second + copy.number + copy.third;
}
char LICENSE[] SEC("license") = "GPL";
"""


def test_co_re_with_types_that_embed_structs_by_their_tag(co_re: Path) -> None:
    """As vmlinux.h of Linux 6.19 and newer has them, for every architecture and form."""
    (co_re / "one.bpf.c").write_text('#include "vmlinux.h"\n#include <bpf/bpf_helpers.h>\n' + EMBEDDING)
    integers = (
        "typedef unsigned char __u8;typedef unsigned short __u16,__be16;typedef unsigned __u32,__be32,__wsum;"
    )
    wide = "typedef unsigned long long __u64,__be64;typedef int __s32;typedef long long __s64;\n"
    maps = "enum bpf_map_type { BPF_MAP_TYPE_HASH };\n"
    relocatable = "#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)\n"
    text = integers + wide + maps + relocatable + EMBEDDED_BY_TAG + "#pragma clang attribute pop\n"
    (co_re / "vmlinux.h").write_text(text)
    events = build(co_re, arches=["amd64", "arm64", "s390x"], variants=["co-re", "debug"])
    assert done(events) == (True, 6, 0, 0), diagnoses(events)


def test_prebuilt_with_types_that_embed_structs_by_their_tag(tmp_path: Path, needs_llvm: None) -> None:
    """And with linux/ftrace.h, which stops on amd64 unless the compiler is said to use fentry."""
    try:
        find_header_dirs()
    except HeadersNotFound as error:
        pytest.skip(str(error))
    (tmp_path / "kernel.h").write_text(EMBEDDED_BY_TAG)
    includes = ("<linux/ftrace.h>", "<uapi/linux/bpf.h>", "<bpf/bpf_helpers.h>", '"kernel.h"')
    (tmp_path / "one_kern.c").write_text("".join(f"#include {name}\n" for name in includes) + EMBEDDING)
    events = build(tmp_path)
    assert done(events) == (True, 1, 0, 0), diagnoses(events)


@pytest.mark.parametrize("base", BASES)
def test_every_compiler_here_takes_the_flags(tmp_path: Path, needs_llvm: None, base: Base) -> None:
    """A flag that one does not know would fail every build with it: warnings are errors."""
    majors = [f"clang-{major}" for major in range(11, 40)]
    (tmp_path / "one.c").write_text(EMBEDDED_BY_TAG + "int f(struct outer *o) { return o->second; }\n")
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux/kconfig.h").write_text("")
    for clang in filter(shutil.which, ("clang", *majors)):
        flags = [flag.flag for flag in compile_flags(local_arch(), Variant(base))]
        command = [clang, *flags, "-I.", "-c", "one.c", "-o", "one.bc"]
        made = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (made.returncode, made.stderr) == (0, ""), clang


def test_big_endian(co_re: Path) -> None:
    assert done(build(co_re, arches=["s390x"])) == (True, 1, 0, 0)
    said = subprocess.run(
        ["llvm-readelf", "-h", co_re / "build/ebpf/s390x/co-re/one.bpf.o"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "big endian" in said


def test_no_headers_for_an_architecture_blocks_only_its_targets(co_re: Path, fake: object) -> None:
    (co_re / "exit_kern.c").write_text(PREBUILT)
    events = build(co_re, host=fake.host)  # type: ignore[attr-defined]
    assert done(events) == (False, 1, 1, 0)
    (said,) = diagnoses(events)
    assert "no kernel headers for" in said


def test_the_first_failure_stops_unless_told_to_keep_going(co_re: Path) -> None:
    for number in range(6):
        (co_re / f"bad{number}.bpf.c").write_text("int f(void) { return missing; }\n")
    events = list(run_build(plan(load_project(co_re)), jobs=1))
    ok, built, failed, fresh = done(events)
    assert (ok, failed, fresh) == (False, 1, 0)
    events = build(co_re, keep_going=True)
    assert done(events)[:3] == (False, 1 - built, 6)
    said = diagnoses(events)
    assert len(said) == 6
    assert all("use of undeclared identifier 'missing'" in text for text in said)
    (first,) = [e.diagnosis for e in events if isinstance(e, Diagnosed) and "bad0" in e.diagnosis.output]
    assert (first.file, first.line) == (str(co_re / "bad0.bpf.c"), 1)
    log = next(e.log for e in events if isinstance(e, EdgeFinished) and "bad0" in e.output)
    assert "bad0.bpf.c:1:22: error" in log
    assert "FAILED" not in log
    assert "-D__KERNEL__" not in log


def test_the_log_of_an_edge_cannot_steer_the_terminal(co_re: Path) -> None:
    (co_re / "one.bpf.c").write_text("#error \x1b[2J\u202e boo\n")
    events = build(co_re)
    (log,) = [e.log for e in events if isinstance(e, EdgeFinished)]
    assert "boo" in log
    assert "\x1b" not in log + "".join(diagnoses(events))
    assert "\u202e" not in log + "".join(diagnoses(events))


def test_cancel_ends_every_process_and_leaves_no_partial_object(
    co_re: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher sleeps with a half-written output: the build is in the middle of something."""
    started = tmp_path / "started"
    launcher = tmp_path / "slow"
    launcher.write_text(
        '#!/bin/sh\nfor last; do :; done\necho half > "$last"\n'
        f'echo $$ >> {shlex.quote(str(started))}\nsleep 600\nexec "$@"\n'
    )
    launcher.chmod(0o755)
    (co_re / "ebpf.toml").write_text(
        f'[project]\nsources = ["*.bpf.c"]\nlauncher = {json.dumps(str(launcher))}\n'
    )
    (co_re / "two.bpf.c").write_text(CO_RE)
    run = run_build(plan(load_project(co_re)), jobs=2)

    def cancel() -> None:
        while not started.exists() or len(started.read_text().split()) < 2:
            time.sleep(0.01)
        run.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    events = list(run)
    thread.join()
    last = events[-1]
    assert isinstance(last, Done)
    assert (last.ok, last.cancelled, last.built, last.failed) == (False, True, 0, 0)
    assert not [e for e in events if isinstance(e, Diagnosed)]
    for pid in started.read_text().split():
        assert not is_running(pid)
    assert not [p for p in (co_re / "build").rglob("*") if p.suffix in (".bc", ".o", ".tmp")]
    run.cancel()  # again is harmless


def test_what_a_killed_llvm_strip_leaves_is_deleted(co_re: Path, tmp_path: Path, llvm_beside: Path) -> None:
    """The real one deletes it on SIGTERM, and cannot on SIGKILL (from the kernel out of memory, say)."""
    started = tmp_path / "started"
    strip = llvm_beside / "llvm-strip"
    real = strip.resolve()
    strip.unlink()
    strip.write_text(
        f'#!/bin/sh\n[ "$1" = -g ] || exec {real} "$@"\n'
        f'echo half > "$2.temp-stream-12ab34"\ntouch {shlex.quote(str(started))}\nkill -KILL $$\n'
    )
    strip.chmod(0o755)
    assert done(build(co_re)) == (False, 0, 1, 0)
    assert started.exists()
    assert not [p for p in (co_re / "build").rglob("*") if ".tmp" in p.name]


@pytest.fixture
def llvm_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory of links to the LLVM that is used, which a test may put something else into."""
    used = find_toolchain()
    tools = tmp_path / "llvm"
    tools.mkdir()
    for name, tool in (("clang", used.clang), ("llc", used.llc), ("llvm-strip", used.strip)):
        (tools / name).symlink_to(os.path.realpath(tool.path))
    monkeypatch.setenv("EBPF_CLANG", str(tools / "clang"))
    return tools


def test_abandoning_the_iterator_ends_ninja_too(co_re: Path, tmp_path: Path) -> None:
    launcher = tmp_path / "slow"
    launcher.write_text("#!/bin/sh\nsleep 600\n")
    launcher.chmod(0o755)
    (co_re / "ebpf.toml").write_text(
        f'[project]\nsources = ["*.bpf.c"]\nlauncher = {json.dumps(str(launcher))}\n'
    )
    run = run_build(plan(load_project(co_re)))
    events = iter(run)
    assert isinstance(next(events), Planned)
    assert isinstance(next(events), EdgeStarted)
    process = run._process
    assert process is not None
    events.close()
    assert process.returncode is not None


def test_two_builds_of_one_directory_do_not_meet(co_re: Path) -> None:
    planned = plan(load_project(co_re))
    events = iter(run_build(planned))
    assert next(events) == Planned(2)
    second = list(run_build(planned))
    assert "another build is using this directory" in diagnoses(second)[0]
    assert done(second)[0] is False
    events.close()


def test_a_place_that_cannot_be_written(co_re: Path) -> None:
    events = build(co_re, out=Path("/proc/nowhere"))
    assert done(events) == (False, 0, 0, 0)
    assert "--out" in diagnoses(events)[0]


def test_compile_commands_are_what_is_run(co_re: Path) -> None:
    build(co_re)
    (entry,) = json.loads((co_re / "build/ebpf/compile_commands.json").read_text())
    assert entry["file"] == str(co_re / "one.bpf.c")
    made = co_re / "build/ebpf" / entry["output"]
    made.unlink()
    subprocess.run(entry["command"], shell=True, cwd=entry["directory"], check=True)
    assert made.exists()


def test_programs_of_the_project_are_named_from_its_directory(
    co_re: Path, tmp_path: Path, llvm_beside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("EBPF_CLANG")
    monkeypatch.chdir(tmp_path)
    llvm_beside.rename(co_re / "llvm")
    (co_re / "wrap").write_text('#!/bin/sh\n"$@" -DWRAPPED && touch "$0.ran"\n')
    (co_re / "wrap").chmod(0o755)
    (co_re / "ebpf.toml").write_text(
        '[project]\nsources = ["*.bpf.c"]\nlauncher = "./wrap"\nclang = "llvm/clang"\n'
    )
    events = build(co_re)
    assert done(events) == (True, 1, 0, 0), diagnoses(events)
    assert (co_re / "wrap.ran").exists()
    planned = plan(load_project(co_re))
    assert planned.toolchain is not None
    assert planned.toolchain.clang.path == co_re / "llvm/clang"


def test_a_missing_launcher_is_diagnosed(co_re: Path) -> None:
    (co_re / "ebpf.toml").write_text('[project]\nsources = ["*.bpf.c"]\nlauncher = "no-such-cache"\n')
    events = build(co_re)
    assert done(events) == (False, 0, 1, 0)
    assert "no-such-cache cannot be run" in diagnoses(events)[0]


def test_no_llvm_is_a_diagnosis(co_re: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EBPF_CLANG", "/nowhere/clang")
    events = build(co_re)
    assert done(events) == (False, 0, 1, 0)
    assert "/nowhere/clang" in diagnoses(events)[0]
