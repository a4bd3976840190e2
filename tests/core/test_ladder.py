"""The ladder of degradation, step by step and for real: capabilities, libbpf, BTF, lockdown, users, hidepid.

Each step names its cause and its cure, ends with the right exit code, and never with a traceback.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

from core.probe.loader import SHIPPED_OBJECT, ProbeOptions
from core.probe.refusals import EVENT_PROGRAMS
from core.resolve.engine import Engine
from core.sources.feed import open_feed
from core.system.distribution import install_libbpf
from core.system.host import LOCAL
from tests.needs import lacks
from tests.places import ROOT
from tests.world import differences, settle

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]


@dataclass
class Answer:
    """What `ps --json` says of the tiers under some constraint, and how `watch` ends under it."""

    step: str
    maps: str
    procfs: str
    pids: set[int]
    watch: subprocess.CompletedProcess[str]


def under(*constraint: str, **environment: str) -> Answer:
    ps = run(*constraint, "ps", "--json", **environment)
    assert ps.returncode == 0, ps.stderr
    assert ps.stderr == ""
    answer = json.loads(ps.stdout)
    tiers = answer["tiers"]
    watch = run(*constraint, "watch", "--duration", "0.2", **environment)
    assert "Traceback" not in watch.stderr
    pids = {process["pid"] for process in answer["processes"]}
    return Answer(tiers["step"], tiers["maps"]["reason"] or "", tiers["procfs"]["reason"] or "", pids, watch)


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ebpf-tui with what stands in front of its own arguments as the constraint."""
    at = next(n for n, word in enumerate(command) if word in ("ps", "watch", "doctor"))
    return subprocess.run(
        [*command[:at], sys.executable, "-m", "tui.cli.main", *command[at:]],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def without_events(answer: Answer) -> bool:
    """`watch` ends with exit code 3 and one line that has the same reason."""
    return (
        answer.watch.returncode == 3
        and answer.watch.stderr.count("\n") == 1
        and answer.maps in answer.watch.stderr
    )


@pytest.fixture(autouse=True)
def tools(as_root: None) -> None:
    """Only root can take rights away and mount; the host itself has to reach the top step."""
    for tool in ("setpriv", "unshare"):
        if shutil.which(tool) is None:
            lacks(tool)
    feed = open_feed(LOCAL)
    feed.close()
    if feed.tiers.step != "events+maps":
        pytest.skip(f"this host is not on the top step itself: {feed.tiers.maps.reason}")


def mounted(script: str, *then: str) -> list[str]:
    """The constraint of running in a mount namespace of its own, after a shell script."""
    command = ["unshare", "--mount", "sh", "-ec", script + '\nexec "$@"', "sh", *then]
    probe = subprocess.run([*command, "true"], capture_output=True, text=True, check=False)
    if probe.returncode:
        pytest.skip(f"cannot mount here: {probe.stderr.strip()}")
    return command


def test_everything_is_allowed() -> None:
    answer = under()
    assert (answer.step, answer.maps, answer.procfs) == ("events+maps", "", "")
    assert answer.watch.returncode == 0


@pytest.mark.parametrize(
    ("kept", "missing"),
    [([], ["CAP_BPF", "CAP_PERFMON"]), (["+bpf"], ["CAP_PERFMON"]), (["+perfmon"], ["CAP_BPF"])],
    ids=["none", "CAP_BPF", "CAP_PERFMON"],
)
def test_without_the_capabilities(kept: list[str], missing: list[str]) -> None:
    answer = under("setpriv", "--inh-caps=-all", f"--bounding-set={','.join(['-all', *kept])}")
    assert answer.step == "procfs"
    assert answer.maps.startswith(f"needs {' and '.join(missing)}: start the container with")
    assert all(f"--cap-add {name.removeprefix('CAP_')}" in answer.maps for name in missing)
    assert "SYS_PTRACE" in answer.procfs
    assert without_events(answer)


@pytest.mark.parametrize("kept", ["+bpf,+perfmon", "+sys_admin"])
def test_with_just_enough_capabilities(kept: str) -> None:
    """CAP_SYS_ADMIN stands for both; nothing else of root is needed for the top step."""
    answer = under("setpriv", "--inh-caps=-all", f"--bounding-set=-all,{kept}")
    assert (answer.step, answer.maps) == ("events+maps", "")
    assert "exe of other users' processes is hidden" in answer.procfs
    assert answer.watch.returncode == 0


@pytest.mark.parametrize("others", ["", ",+sys_ptrace"], ids=["alone", "and CAP_SYS_PTRACE"])
def test_an_ordinary_user_with_the_capabilities(others: str) -> None:
    """As a unit with AmbientCapabilities= gives them: no uid 0 anywhere."""
    given = f"+bpf,+perfmon{others}"
    answer = under(*NOBODY[:-1], f"--inh-caps=-all,{given}", f"--ambient-caps={given}")
    assert (answer.step, answer.maps) == ("events+maps", "")
    assert ("exe of other users' processes is hidden" in answer.procfs) == (not others)
    assert os.getpid() in answer.pids
    assert answer.watch.returncode == 0


def test_in_a_user_namespace_capabilities_do_not_count() -> None:
    answer = under("unshare", "--user", "--map-root-user")
    assert answer.step == "procfs"
    assert "run it in the host's user namespace" in answer.maps
    assert without_events(answer)


def test_an_ordinary_user() -> None:
    answer = under(*NOBODY)
    assert answer.step == "procfs"
    assert "needs CAP_BPF and CAP_PERFMON: run it as root: " in answer.maps
    assert "exe of other users' processes is hidden: run it as root: " in answer.procfs
    assert os.getpid() in answer.pids
    assert without_events(answer)


def test_hidepid_shows_own_processes_only() -> None:
    hidden = mounted("mount -t proc -o hidepid=2 proc /proc", *NOBODY)
    answer = under(*hidden)
    assert answer.step == "procfs, own processes only"
    assert "hidepid" in answer.procfs
    assert "run it as root: " in answer.procfs
    assert os.getpid() not in answer.pids
    assert without_events(answer)


def test_hidepid_does_not_hide_from_its_group_nor_from_root() -> None:
    grouped = mounted("mount -t proc -o hidepid=2,gid=65534 proc /proc", *NOBODY)
    assert under(*grouped).step == "procfs"
    assert under(*mounted("mount -t proc -o hidepid=2 proc /proc")).step == "events+maps"


def library() -> str:
    """Where the libbpf is that the program loads."""
    code = "import ctypes; ctypes.CDLL('libbpf.so.1'); print(open('/proc/self/maps').read())"
    maps = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    return next(line.split()[-1] for line in maps.splitlines() if "libbpf.so" in line)


def test_no_libbpf() -> None:
    """An overlay without the library and its links hides it as if it were not installed."""
    folder = Path(library()).parent
    script = (
        f"mkdir -p /tmp/e && mount -t tmpfs none /tmp/e && mkdir /tmp/e/u /tmp/e/w\n"
        f"mount -t overlay -o lowerdir={folder},upperdir=/tmp/e/u,workdir=/tmp/e/w overlay {folder}\n"
        f"rm -f {folder}/libbpf.so*\n"
    )
    answer = under(*mounted(script))
    assert answer.step == "procfs"
    assert answer.maps == f"libbpf.so.1 is not installed: {install_libbpf(LOCAL)}"
    assert without_events(answer)


def test_a_damaged_libbpf() -> None:
    answer = under(*mounted(f"mount --bind /dev/null {library()}"))
    assert answer.step == "procfs"
    assert answer.maps.startswith("libbpf.so.1 cannot be loaded (")
    assert without_events(answer)


def test_libbpf_before_1_0(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("clang")
    if compiler is None:
        lacks("a C compiler")
    source = tmp_path / "old.c"
    source.write_text('const char *libbpf_version_string(void) { return "v0.5"; }\n')
    for name in ("libbpf.so.0", "libbpf.so.1", "libbpf.so"):
        subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / name, source], check=True)
    answer = under(LD_LIBRARY_PATH=str(tmp_path))
    assert answer.step == "procfs"
    assert answer.maps.startswith("the installed libbpf is older than 1.0; libbpf.so.1 is needed: ")
    assert answer.maps.endswith(install_libbpf(LOCAL))
    assert without_events(answer)


def test_no_btf() -> None:
    answer = under(*mounted("mount -t tmpfs none /sys/kernel/btf"))
    assert answer.step == "procfs"
    assert answer.maps.startswith("this kernel has no BTF (/sys/kernel/btf/vmlinux): ")
    assert without_events(answer)


def test_lockdown_confidentiality() -> None:
    """What is asserted before anything is loaded is what the kernel would do: see test_real_lockdown."""
    script = (
        "mount -t tmpfs none /sys/kernel/security\n"
        "echo 'none integrity [confidentiality]' >/sys/kernel/security/lockdown\n"
    )
    answer = under(*mounted(script))
    assert answer.step == "procfs"
    assert answer.maps == "kernel lockdown is in confidentiality mode: boot with lockdown=integrity"
    assert without_events(answer)


def refusing(folder: Path, *programs: str) -> Path:
    """A copy of the probe in which no kernel accepts these programs: their last instruction is none."""
    image = bytearray(SHIPPED_OBJECT.read_bytes())
    with open(SHIPPED_OBJECT, "rb") as file:
        elf = ELFFile(file)
        symbols: Any = elf.get_section_by_name(".symtab")
        for name in programs:
            (symbol,) = symbols.get_symbol_by_name(name)
            section = elf.get_section(symbol["st_shndx"])
            image[section["sh_offset"] + symbol["st_value"] + symbol["st_size"] - 8] = 0xFF
    path = folder / "refused.o"
    path.write_bytes(image)
    return path


@pytest.mark.parametrize("program", ["on_reaped", "on_cgroup", "identify", "sweep", "fill"])
def test_a_refused_optional_program_costs_its_feature_only(tmp_path: Path, program: str) -> None:
    feed = open_feed(LOCAL, need_maps=True, options=ProbeOptions(object_file=refusing(tmp_path, program)))
    try:
        assert feed.tiers.step == "events+maps"
        assert feed.tiers.maps.reason.startswith("no ")
        engine = Engine(feed)
        engine.start()
        child = subprocess.Popen(["/bin/sleep", "60", "x" * 700])
        settle(engine)
        try:
            assert differences(engine, {os.getpid(), os.getppid(), child.pid}) == []
            engine.sweep()
            process = engine.cache.get(child.pid)
            assert process is not None
            assert process.usage is not None
        finally:
            child.kill()
            child.wait()
        settle(engine)
        engine.sweep()
        assert engine.cache.get(child.pid) is None
    finally:
        feed.close()


@pytest.mark.parametrize("program", EVENT_PROGRAMS)
def test_without_one_of_the_life_events_only_the_iterators_answer(tmp_path: Path, program: str) -> None:
    feed = open_feed(LOCAL, need_maps=True, options=ProbeOptions(object_file=refusing(tmp_path, program)))
    try:
        assert feed.tiers.step == "iterator only"
        assert feed.tiers.maps.on
        assert "no events: " in feed.tiers.maps.reason
        assert not feed.exact
        engine = Engine(feed)
        engine.start()
        child = subprocess.Popen(["/bin/sleep", "60"])
        try:
            engine.sweep()
            assert differences(engine, {os.getpid(), child.pid}, sweeps=True) == []
            process = engine.cache.get(child.pid)
            assert process is not None
            assert process.parent is engine.cache.get(os.getpid())
        finally:
            child.kill()
            child.wait()
        engine.sweep()
        assert engine.cache.get(child.pid) is None
    finally:
        feed.close()


def test_procfs_alone_notices_an_exec_that_keeps_the_name() -> None:
    feed = open_feed(LOCAL, probe=False)
    engine = Engine(feed)
    engine.start()
    script = "read x; exec sh -c 'read y; :' second"
    child = subprocess.Popen(["sh", "-c", script, "first"], stdin=subprocess.PIPE)
    assert child.stdin is not None
    try:
        while look_at(child.pid) != b"first":
            time.sleep(0.01)
        engine.sweep()
        child.stdin.write(b"\n")
        child.stdin.flush()
        while look_at(child.pid) != b"second":
            time.sleep(0.01)
        engine.sweep()
        assert differences(engine, {child.pid}) == []
        process = engine.cache.get(child.pid)
        assert process is not None
        assert process.entry.args[-1] == b"second"
        assert process.entry.comm == b"sh"
    finally:
        child.kill()
        child.wait()


def look_at(pid: int) -> bytes:
    """The last argument of a process."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().removesuffix(b"\0").split(b"\0")[-1]


def test_without_any_iterator_there_is_no_kernel_tier(tmp_path: Path) -> None:
    broken = ProbeOptions(object_file=refusing(tmp_path, "snapshot"))
    feed = open_feed(LOCAL, options=broken)
    feed.close()
    assert feed.tiers.step == "procfs"
    assert "\n" not in feed.tiers.maps.reason
    assert feed.tiers.maps.reason.startswith("bpf_object__load: this kernel's verifier rejects it")
