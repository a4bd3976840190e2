"""The doctor's findings, compared with what really happens under each set of privileges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.doctor import (
    check_btf,
    check_cgroup,
    check_kernel,
    check_lockdown,
    check_proc,
    check_unprivileged_bpf,
)
from core.system.host import LOCAL, Host
from core.system.privileges import current_privileges
from tests.places import ROOT

DOCTOR = [sys.executable, "-m", "tui.cli.main", "doctor", "--json"]

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to take privileges away")
needs_bpf = pytest.mark.skipif(
    bool(current_privileges().missing_for_probe()), reason="needs CAP_BPF and CAP_PERFMON"
)


def diagnose(*prefix: str) -> dict[str, dict[str, Any]]:
    ran = subprocess.run([*prefix, *DOCTOR], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    answer = json.loads(ran.stdout)
    assert answer["schema"] == "ebpf-tui/doctor/1"
    assert all(check["ok"] or check["fix"] for check in answer["checks"])
    return {check["name"]: check for check in answer["checks"]}


def with_only(*capabilities: str) -> list[str]:
    allowed = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return ["setpriv", "--bounding-set", allowed, "--inh-caps", "-all"]


@needs_root
@needs_bpf
@pytest.mark.parametrize("capabilities", [("bpf", "perfmon"), ("sys_admin",)])
def test_enough_capabilities_load_the_probe(capabilities: tuple[str, ...]) -> None:
    checks = diagnose(*with_only(*capabilities))
    assert checks["capabilities"]["ok"]
    assert checks["probe"]["ok"], checks["probe"]


@needs_root
@pytest.mark.parametrize(
    ("capabilities", "missing"),
    [
        ((), "CAP_BPF and CAP_PERFMON"),
        (("bpf",), "CAP_PERFMON"),
        (("perfmon",), "CAP_BPF"),
        (("sys_ptrace",), "CAP_BPF and CAP_PERFMON"),
    ],
)
def test_what_is_missing_is_named_and_never_blamed_on_ulimit(
    capabilities: tuple[str, ...], missing: str
) -> None:
    checks = diagnose(*with_only(*capabilities))
    for name in ("capabilities", "probe"):
        assert not checks[name]["ok"]
        assert missing in checks[name]["detail"]
        assert "--cap-add" in checks[name]["fix"]
    assert "ulimit" not in json.dumps([checks["capabilities"], checks["probe"]])


@needs_root
def test_root_of_a_user_namespace_is_not_root() -> None:
    if subprocess.run(["unshare", "-Ur", "true"], capture_output=True, check=False).returncode:
        pytest.skip("no user namespaces here")
    checks = diagnose("unshare", "-Ur")
    assert not checks["capabilities"]["ok"]
    assert "user namespace" in checks["capabilities"]["fix"]
    assert not checks["other-users"]["ok"]


@needs_root
@pytest.mark.parametrize("option", ["hidepid=1", "hidepid=2", "hidepid=2,gid=54321"])
def test_hidepid_hides_only_from_those_it_hides_from(option: str) -> None:
    mount = f"mount -t proc -o {option} proc /proc && exec "
    if subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + "true"], capture_output=True, check=False
    ).returncode:
        pytest.skip("cannot mount another /proc here")
    assert diagnose("unshare", "-m", "sh", "-c", mount + '"$0" "$@"')["proc"]["ok"]
    blind = diagnose("unshare", "-m", "sh", "-c", mount + '"$0" "$@"', *with_only())["proc"]
    assert not blind["ok"]
    assert "only own processes" in blind["detail"]
    group = diagnose("unshare", "-m", "sh", "-c", mount + '"$0" "$@"', *with_only(), "--groups", "54321")[
        "proc"
    ]
    assert group["ok"] == ("gid" in option)


@needs_root
def test_without_sysfs_the_mount_is_named() -> None:
    bare = ["unshare", "-m", "sh", "-c", 'umount -l /sys && exec "$0" "$@"']
    if subprocess.run([*bare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("cannot unmount /sys here")
    checks = diagnose(*bare)
    assert checks["btf"]["fix"] == "mount -t sysfs sysfs /sys"
    assert not checks["cgroup"]["ok"]


def fake(root: Path, files: dict[str, str]) -> Host:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return Host(root)


@pytest.mark.parametrize(
    ("release", "ok"),
    [
        ("5.8.0", True),
        ("6.1.0-56-amd64", True),
        ("10.2", True),
        ("5.7.19", False),
        ("4.18.0-553.el8", False),
        ("?", True),
    ],
)
def test_the_kernel_floor(tmp_path: Path, release: str, ok: bool) -> None:
    assert check_kernel(fake(tmp_path, {"proc/sys/kernel/osrelease": release + "\n"})).ok is ok


@pytest.mark.parametrize(
    ("text", "ok", "detail"),
    [
        ("[none] integrity confidentiality\n", True, "none"),
        ("none [integrity] confidentiality\n", True, "integrity"),
        ("none integrity [confidentiality]\n", False, "confidentiality"),
    ],
)
def test_lockdown(tmp_path: Path, text: str, ok: bool, detail: str) -> None:
    check = check_lockdown(fake(tmp_path, {"sys/kernel/security/lockdown": text}))
    assert (check.ok, detail in check.detail) == (ok, True)


def test_hostile_files_end_in_safe_text(tmp_path: Path) -> None:
    host = fake(
        tmp_path,
        {"proc/sys/kernel/osrelease": "\x1b]0;x\x07", "proc/sys/kernel/unprivileged_bpf_disabled": "\x1b[2J"},
    )
    for check in (check_kernel(host), check_unprivileged_bpf(host)):
        assert check.detail.isprintable()


def test_a_host_that_is_only_looked_at(tmp_path: Path) -> None:
    host = Host(tmp_path)
    for check in (check_btf(host), check_proc(host), check_cgroup(host)):
        assert not check.ok
        assert str(tmp_path) in check.fix


def test_this_host_agrees_with_its_files() -> None:
    assert check_btf(LOCAL).ok == Path("/sys/kernel/btf/vmlinux").exists()
    assert check_cgroup(LOCAL).ok == ("cgroup" in Path("/proc/self/mountinfo").read_text())
