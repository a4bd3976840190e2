"""`ebpf-tui headers|flags|build|inspect` as other programs use them: JSON, exit codes, one-line errors."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from core.system.arch import local_arch
from tests.buildgen.ebpf_sources import is_running
from tests.places import ROOT

EBPF_TUI = [sys.executable, "-m", "tui.cli.main"]


def run(
    *arguments: str | Path, code: int = 0, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    made = subprocess.run(
        [*EBPF_TUI, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert made.returncode == code, made.stderr
    assert "Traceback" not in made.stderr
    return made


def one(name: str, *arguments: str | Path) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(run(name, "--json", *arguments).stdout)
    assert said.pop("schema") == f"ebpf-tui/{name}/1"
    return said


def lines(made: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    said = [json.loads(line) for line in made.stdout.splitlines()]
    assert all(line.pop("schema") == "ebpf-tui/build/1" for line in said)
    return said


def test_headers(fake) -> None:  # type: ignore[no-untyped-def]
    fake.debian("6.1.0-56", "amd64", "cloud-amd64")
    made = run("--host-root", fake.root, "headers", "--json", "--release", "6.1.0-56-amd64", "--arch", "x64")
    said = json.loads(made.stdout)
    assert sorted(said) == [
        "arch", "candidates", "dirs", "flags", "kernel_release", "schema", "trees", "warnings",
    ]  # fmt: skip
    assert (said["kernel_release"], said["arch"], said["warnings"]) == ("6.1.0-56-amd64", "amd64", [])
    assert said["trees"] == [
        str(fake.path(f"/usr/src/linux-headers-6.1.0-56-{half}")) for half in ("amd64", "common")
    ]
    assert said["flags"] == [f"-isystem{path}" for path in said["dirs"]]
    (chosen,) = [c for c in said["candidates"] if c["path"].endswith("src/linux-headers-6.1.0-56-amd64")]
    assert chosen == {
        "path": str(fake.path("/usr/src/linux-headers-6.1.0-56-amd64")),
        "resolved": str(fake.path("/usr/src/linux-headers-6.1.0-56-amd64")),
        "release": "6.1.0-56-amd64",
        "version": [6, 1, 0, 56],
        "flavour": "amd64",
        "holds": "arch",
        "chosen": True,
        "reason": "the headers of 6.1.0-56-amd64",
    }


def test_headers_that_are_not_there(fake) -> None:  # type: ignore[no-untyped-def]
    made = run("--host-root", fake.root, "headers", "--release", "6.1", code=1)
    assert made.stdout == ""
    assert made.stderr.count("\n") == 1
    assert "no kernel headers for" in made.stderr
    assert "unknown architecture 'vax'" in run("headers", "--arch", "vax", code=2).stderr
    assert "cannot parse" in run("headers", "--release", "x", code=2).stderr


@pytest.mark.parametrize(("word", "name"), [("x86_64", "amd64"), ("aarch64", "arm64"), ("s390", "s390x")])
def test_flags(word: str, name: str, needs_llvm: None) -> None:
    said = one("flags", "--arch", word, "--variant", "co-re-debug")
    assert sorted(said) == ["arch", "clang", "command", "flags", "variant"]
    assert (said["arch"], said["variant"]) == (name, "co-re-debug")
    flags = [flag["flag"] for flag in said["flags"]]
    assert all(flag["why"] for flag in said["flags"])
    assert "-DDEBUG=1" in flags
    assert "-DCOMPILE_CORE" in flags
    assert not [flag for flag in flags if flag.startswith("-isystem")]
    assert shlex.split(said["command"])[1 : 1 + len(flags)] == flags
    assert said["clang"]["version"].count(".") == 2


def test_flags_compile(tmp_path: Path, needs_llvm: None) -> None:
    """The flags are argv as it is: no shell is needed to give them to clang."""
    said = one("flags", "--variant", "co-re")
    (tmp_path / "a.c").write_text("char name[] = KBUILD_MODNAME;\n#ifndef COMPILE_CORE\n#error\n#endif\n")
    flags = [flag["flag"] for flag in said["flags"]]
    subprocess.run(
        [said["clang"]["path"], *flags, "-c", tmp_path / "a.c", "-o", tmp_path / "a.bc"], check=True
    )
    assert "unknown variant" in run("flags", "--variant", "x", code=2).stderr


def test_build_and_inspect(co_re: Path) -> None:
    said = lines(run("build", "--json", "-C", co_re))
    arch = local_arch().name
    assert said[0] == {"event": "plan", "total": 2}
    assert said[1] == {"event": "edge_started", "output": f"{arch}/co-re/one.bpf.bc"}
    assert sorted(said[2]) == ["event", "log", "ok", "output", "seconds"]
    seconds = said[-1].pop("seconds")
    assert seconds > 0
    assert said[-1] == {"event": "done", "ok": True, "built": 1, "failed": 0, "up_to_date": 0}
    made = co_re / "build/ebpf" / arch / "co-re/one.bpf.o"
    found = one("inspect", made)
    assert {"machine", "endian", "license", "programs", "maps", "variables", "btf", "core_relocations",
            "sections"} <= found.keys()  # fmt: skip
    assert (found["machine"], found["license"]) == ("EM_BPF", "GPL")
    (program,) = found["programs"]
    assert (program["name"], program["type"], program["attach_to"]) == (
        "on_exec", "raw_tracepoint", "sched_process_exec",
    )  # fmt: skip
    again = lines(run("build", "--json", "-C", co_re))
    assert [line["event"] for line in again] == ["plan", "done"]
    assert again[-1]["up_to_date"] == 1


def test_a_failing_build(co_re: Path) -> None:
    (co_re / "one.bpf.c").write_text("#include <linux/kconfig.h>\n")
    made = run("build", "--json", "-C", co_re, code=1)
    (diagnosis,) = [line for line in lines(made) if line["event"] == "diagnosis"]
    assert sorted(diagnosis) == ["cause", "event", "file", "fix", "line", "output"]
    assert (diagnosis["file"], diagnosis["line"]) == (str(co_re / "one.bpf.c"), 1)
    plain = run("build", "-C", co_re, code=1)
    assert "FAILED" in plain.stdout
    assert "fix:" in plain.stderr


def test_nothing_to_build_and_bad_configuration(co_re: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "nothing to build" in run("build", "-C", empty, code=2).stderr
    (co_re / "ebpf.toml").write_text("[project]\nsource = []\n")
    said = run("build", "-C", co_re, code=2).stderr
    assert f"{co_re}/ebpf.toml:2: project.source: unknown key" in said
    (co_re / "ebpf.toml").unlink()
    assert "no object 'x'" in run("build", "-C", co_re, "x", code=2).stderr


def test_no_tools_is_a_diagnosis(co_re: Path) -> None:
    made = run("build", "--json", "-C", co_re, code=1, env={"EBPF_CLANG": "clang-99"})
    said = lines(made)
    assert [line["event"] for line in said] == ["plan", "diagnosis", "done"]
    assert "clang-99" in said[1]["cause"]


def test_a_damaged_object(tmp_path: Path) -> None:
    (tmp_path / "x.o").write_bytes(b"\x7fELF\x02\x01\x01")
    made = run("inspect", tmp_path / "x.o", code=1)
    assert made.stdout == ""
    assert made.stderr.startswith(f"ebpf-tui: {tmp_path}/x.o: ")
    assert made.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_build_leaves_no_process(co_re: Path, tmp_path: Path, number: int, code: int) -> None:
    launcher, pid = tmp_path / "slow", tmp_path / "pid"
    launcher.write_text(f"#!/bin/sh\necho $$ > {pid}.new; mv {pid}.new {pid}\nsleep 600\n")
    launcher.chmod(0o755)
    (co_re / "ebpf.toml").write_text(
        f'[project]\nsources = ["*.bpf.c"]\nlauncher = {json.dumps(str(launcher))}\n'
    )
    with subprocess.Popen(
        [*EBPF_TUI, "build", "--json", "-C", co_re], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        while not pid.exists():
            time.sleep(0.02)
        process.send_signal(number)
        _out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert not is_running(pid.read_text().strip())
