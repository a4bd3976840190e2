"""vmlinux.h: found in the project, or made from the running kernel's BTF."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from buildgen.errors import VmlinuxError
from buildgen.events import Diagnosed, Done
from buildgen.ninja.runner import run_build
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from buildgen.project.vmlinux import KERNEL_BTF, cached_vmlinux, find_vmlinux, wants_vmlinux
from core.system.arch import parse_arch
from tests.buildgen.ebpf_sources import EMBEDDED_BY_TAG
from tests.buildgen.header_trees import FakeRoot

SOURCE = """
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
SEC("tp_btf/sched_process_exec") int on_exec(__u64 *ctx)
{
    struct task_struct *task = (void *)ctx[0];
    return task->signal->live.counter + BPF_CORE_READ(task, mm, exe_file, f_inode, i_ino);
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not Path(KERNEL_BTF).exists():
        pytest.skip("this kernel has no BTF")
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def own_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    return cache


def test_it_is_looked_for_beside_the_source_and_in_the_arch_folders(tmp_path: Path) -> None:
    amd64, arm64 = parse_arch("amd64"), parse_arch("arm64")
    source, include = tmp_path / "src/a.bpf.c", tmp_path / "include"
    for path in (source, include / "x86/vmlinux.h"):
        path.parent.mkdir(parents=True)
        path.write_text("")
    assert find_vmlinux(source, [include], amd64) == include / "x86"
    assert find_vmlinux(source, [include], arm64) is None
    (include / "vmlinux.h").write_text("")
    assert find_vmlinux(source, [include], arm64) == include
    assert find_vmlinux(source, [include], amd64) == include / "x86"
    (source.parent / "vmlinux.h").write_text("")
    assert find_vmlinux(source, [include], arm64) == source.parent


def test_a_header_of_the_project_may_be_what_includes_it(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text('#include "b.h"\n')
    (tmp_path / "b.h").write_text('#include "c.h"\n#include "b.h"\n')
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc/c.h").write_text("")
    assert not wants_vmlinux(tmp_path / "a.c", [tmp_path / "inc"])
    (tmp_path / "inc/c.h").write_text("  #  include <vmlinux.h>\n")
    assert wants_vmlinux(tmp_path / "a.c", [tmp_path / "inc"])
    (tmp_path / "a.c").write_text('// #include "vmlinux.h"\n')
    assert not wants_vmlinux(tmp_path / "a.c", [])


def test_it_is_made_once_and_a_program_compiles_with_it(
    tmp_path: Path, own_cache: Path, needs_llvm: None
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "exec.bpf.c").write_text(SOURCE)
    events = list(run_build(plan(load_project(project))))
    assert isinstance(events[-1], Done)
    assert events[-1].ok, events
    (header,) = own_cache.rglob("vmlinux.h")
    assert header.parent.stat().st_mode & 0o777 == 0o700
    assert list(header.parent.iterdir()) == [header]
    made = header.stat().st_mtime_ns
    assert cached_vmlinux() == header.parent
    assert header.stat().st_mtime_ns == made


def test_structs_that_are_embedded_by_their_tag(
    tmp_path: Path, needs_llvm: None, own_cache: Path, fake: FakeRoot
) -> None:
    """A kernel of 6.19 and newer: BTF with such structs becomes a vmlinux.h that is built with."""
    source = EMBEDDED_BY_TAG.replace("struct outer", "struct task_struct") + "struct task_struct all;\n"
    (tmp_path / "types.c").write_text(source)
    clang = ["clang", "-target", "bpf", "-g", "-fms-extensions", "-c", "types.c"]
    subprocess.run(clang, cwd=tmp_path, check=True)
    section = ["llvm-objcopy", "--dump-section", ".BTF=vmlinux", "types.o"]
    subprocess.run(section, cwd=tmp_path, check=True)
    fake.path(KERNEL_BTF).parent.mkdir(parents=True)
    shutil.copy(tmp_path / "vmlinux", fake.path(KERNEL_BTF))
    project = tmp_path / "project"
    project.mkdir()
    (project / "one.bpf.c").write_text(
        '#include "vmlinux.h"\n'
        '__attribute__((section("raw_tp/sys_enter"))) int f(struct task_struct *task)\n'
        "{ return task->first + task->second + task->number + task->third; }\n"
    )
    events = list(run_build(plan(load_project(project), host=fake.host)))
    assert isinstance(events[-1], Done)
    assert events[-1].ok, [event for event in events if isinstance(event, Diagnosed)]


@pytest.mark.needs("bpftool")
def test_it_has_the_types_that_bpftool_finds(own_cache: Path) -> None:
    command = ["bpftool", "btf", "dump", "file", KERNEL_BTF, "format", "c"]
    theirs = subprocess.run(command, capture_output=True, check=True).stdout
    ours = (cached_vmlinux() / "vmlinux.h").read_bytes()

    def heads(text: bytes) -> set[bytes]:
        return {line for line in text.splitlines() if line.startswith((b"struct ", b"union ", b"enum "))}

    assert heads(ours) == heads(theirs)


def test_a_cache_that_others_can_write_to_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not Path(KERNEL_BTF).exists():
        pytest.skip("this kernel has no BTF")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    place = tmp_path / "ebpf-tui" / "vmlinux"
    place.mkdir(parents=True)
    place.chmod(0o777)
    with pytest.raises(VmlinuxError, match="only you can write to"):
        cached_vmlinux()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(VmlinuxError, match="only you can write to"):
        cached_vmlinux()


def test_another_architecture_needs_its_own(tmp_path: Path, needs_llvm: None) -> None:
    (tmp_path / "exec.bpf.c").write_text(SOURCE)
    other = "arm64" if os.uname().machine != "aarch64" else "amd64"
    events = list(run_build(plan(load_project(tmp_path), arches=[other])))
    (said,) = [e.diagnosis for e in events if isinstance(e, Diagnosed)]
    assert f"no vmlinux.h for {other}" in said.cause
    assert f"include/{parse_arch(other).kernel}/vmlinux.h" in said.fix


def test_a_host_without_btf(fake, own_cache: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(VmlinuxError, match="CONFIG_DEBUG_INFO_BTF"):
        cached_vmlinux(fake.host)
