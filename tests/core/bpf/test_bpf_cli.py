"""`ebpf-tui bpf` as a person and other programs see it, on a real agent that is loaded."""

from __future__ import annotations

import json
import os
import select
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.core.bpf.running_agent import IMAGE, RunningAgent, load, update
from tests.places import ROOT
from tui.output import ExitCode

PROGRAM = [sys.executable, "-m", "tui.cli.main"]
BUSY = "on_sys_enter_with_a_name_longer_than_15"

Json = dict[str, Any]


def run(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, *PROGRAM, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def as_json(*arguments: str, before: tuple[str, ...] = ()) -> Json:
    ran = run(*arguments, "--json", before=before)
    assert ran.returncode == ExitCode.OK, ran.stderr
    answer: Json = json.loads(ran.stdout)
    return answer


def only(rows: list[Json], number: int) -> Json:
    (row,) = [row for row in rows if row["id"] == number]
    return row


def test_the_summary_names_the_agent(agent: RunningAgent) -> None:
    answer = as_json("bpf")
    assert answer["schema"] == "ebpf-tui/bpf/1"
    assert answer["programs"] >= len(agent.programs)
    (found,) = [a for a in answer["agents"] if agent.pid in a["pids"]]
    assert found["kind"] in ("process", "container")
    assert set(agent.programs.values()) <= set(found["program_ids"])
    shown = run("bpf").stdout
    assert str(agent.pid) in shown
    assert "programs," in shown.splitlines()[0]


def test_programs_say_where_they_run_and_who_holds_them(agent: RunningAgent) -> None:
    answer = as_json("bpf", "programs")
    assert answer["schema"] == "ebpf-tui/bpf-programs/1"
    busy = only(answer["programs"], agent.programs[BUSY])
    assert (busy["name"], busy["type"]) == (BUSY, "raw_tracepoint")
    assert {"kind": "raw_tracepoint", "where": "sys_enter"}.items() <= busy["attached_to"][0].items()
    assert agent.pid in [hold["pid"] for hold in busy["held_by"]]
    assert busy["rate"] is None
    line = next(line for line in run("bpf", "programs").stdout.splitlines() if BUSY[:30] in line)
    assert "sys_enter" in line
    assert f"({agent.pid})" in line


def test_stats_are_counted_only_when_asked(agent: RunningAgent) -> None:
    answer = as_json("bpf", "programs", "--stats", "0.3")
    rate = only(answer["programs"], agent.programs[BUSY])["rate"]
    assert rate["runs"] > 0
    assert rate["ns_per_run"] == pytest.approx(rate["run_ns"] / rate["runs"])
    assert only(answer["programs"], agent.programs["pass_frames"])["rate"]["runs"] == 0
    assert only(answer["programs"], agent.programs["pass_frames"])["run_count"] == 0
    heading = run("bpf", "programs", "--stats", "0.1").stdout.splitlines()[0]
    assert "RUNS/S" in heading
    found = as_json("bpf", "agents", "--stats", "0.2")["agents"]
    (mine,) = [a for a in found if agent.pid in a["pids"]]
    assert mine["rate"]["runs"] > 0


def test_maps_links_and_btf(agent: RunningAgent) -> None:
    maps = as_json("bpf", "maps")["maps"]
    counters = only(maps, agent.maps["counters"])
    assert (counters["type"], counters["entries"], counters["max_entries"]) == ("percpu_array", 2, 2)
    links = as_json("bpf", "links")["links"]
    link = only(links, agent.links["each_task"])
    assert (link["type"], link["target"], link["prog_id"]) == ("iter", "task", agent.programs["each_task"])
    btfs = as_json("bpf", "btf")["btfs"]
    assert only(btfs, 1)["kernel"] is True
    for name in ("maps", "links", "btf"):
        assert run("bpf", name).returncode == ExitCode.OK


def test_one_program_with_its_code(agent: RunningAgent) -> None:
    number = str(agent.programs[BUSY])
    shown = run("bpf", "program", number).stdout
    assert BUSY in shown
    assert "sys_enter" in shown
    code = run("bpf", "program", number, "--code", "xlated").stdout
    assert "; __sync_fetch_and_add(&seen, 1);" in code
    assert f"map[id:{agent.maps['recent']}]" in code
    answer = as_json("bpf", "program", number, "--code", "xlated")
    assert answer["code"][0]["function"] == BUSY
    assert {row["id"] for row in answer["maps"]} == set(answer["map_ids"])


def test_one_map_with_its_entries(agent: RunningAgent) -> None:
    update(agent.maps["images"], struct.pack("=I", 4121), IMAGE)
    number = str(agent.maps["images"])
    (entry,) = as_json("bpf", "map", number, "--dump", "5")["dump"]
    assert entry["key"] == 4121
    assert (entry["value"]["comm"], entry["value"]["nice"]) == ("nginx", -3)
    assert entry["raw"] == [IMAGE.hex()]
    assert as_json("bpf", "map", number, "--key", "4121")["dump"] == [entry]
    assert as_json("bpf", "map", number, "--key", "hex:" + struct.pack("=I", 4121).hex())["dump"] == [entry]
    assert 'comm="nginx"' in run("bpf", "map", number, "--dump", "1").stdout
    assert "images" in run("bpf", "map", number).stdout
    assert run("bpf", "map", number, "--key", "7").returncode == ExitCode.FAILED


def test_loads_are_seen_as_they_happen() -> None:
    """Loads one program after the other until one is reported: the rings take a while to be there."""
    held = [load()]
    watching = subprocess.Popen(
        [*PROGRAM, "bpf", "events", "--json"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        while not select.select([watching.stdout], [], [], 0.3)[0] and len(held) < 200:
            held.append(load())
        mine = None
        for line in watching.stdout:
            event = json.loads(line)
            if event["event"] == "load" and event["pid"] == os.getpid():
                mine = event
                break
            held.append(load())
        assert mine is not None
        assert (mine["schema"], mine["name"]) == ("ebpf-tui/bpf-events/1", "short_lived")
        assert mine["comm"] == Path("/proc/self/comm").read_text().strip()
    finally:
        watching.kill()
        watching.communicate()
        for fd in held:
            os.close(fd)


def test_what_maps_say_about_a_process(agent: RunningAgent) -> None:
    mine = os.getpid()
    planted = struct.pack("=I4xQ16sII3s5xQ", mine, 0, b"planted", 0, 0, b"", 0)
    update(agent.maps["images"], struct.pack("=I", mine), planted)
    answer = as_json("bpf", "pid", str(mine))
    assert answer["look_ups"] <= 512
    rows = {row["member"]: row for row in answer["claims"] if row["map"]["id"] == agent.maps["images"]}
    comm = Path("/proc/self/comm").read_text().strip()
    assert (rows["comm"]["theirs"], rows["comm"]["ours"], rows["comm"]["verdict"]) == (
        "planted",
        [comm],
        "differs",
    )
    assert rows["pid"]["verdict"] == "agrees"
    assert rows["start_ns"]["verdict"] == "unset"
    shown = run("bpf", "pid", str(mine)).stdout
    assert f'differs     comm "planted", /proc says "{comm}"' in shown
    assert run("bpf", "pid", "4194304").returncode == ExitCode.FAILED


def test_secrets_in_values_are_hidden_in_plain_text(agent: RunningAgent) -> None:
    from tui.cli.bpf_text import value_text

    assert "hunter2" not in value_text({b"args": b"mysql\0-phunter2"})
    assert "hunter2" not in value_text({b"args": b"tool\0--password=hunter2"})
    assert "hunter2" not in value_text({b"password": b"hunter2"})
    assert "\x1b" not in value_text({b"a\x1b[31m": b"\x1b]0;x\x07"})


def one_line(ran: subprocess.CompletedProcess[str]) -> str:
    assert ran.stdout == ""
    (line,) = ran.stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["program", "2147483647"], ExitCode.FAILED),
        (["map", "2147483647"], ExitCode.FAILED),
        (["program", "0"], ExitCode.USAGE),
        (["program", "x"], ExitCode.USAGE),
        (["map", "1", "--dump", "1", "--key", "1"], ExitCode.USAGE),
        (["programs", "--stats", "0"], ExitCode.USAGE),
        (["nothing"], ExitCode.USAGE),
        (["--json", "programs"], ExitCode.USAGE),
    ],
)
def test_a_bad_question_is_one_line(arguments: list[str], code: ExitCode) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    ran = run("bpf", *arguments)
    assert ran.returncode == code
    assert one_line(ran).startswith("ebpf-tui: ")


@pytest.mark.parametrize("key", ["4294967296", "hex:0", "x", "hex:0102", "-9999999999"])
def test_a_bad_key_is_one_line(agent: RunningAgent, key: str) -> None:
    ran = run("bpf", "map", str(agent.maps["images"]), f"--key={key}")
    assert ran.returncode in (ExitCode.USAGE, ExitCode.FAILED)
    one_line(ran)


def with_rights(*names: str) -> tuple[str, ...]:
    """Run as root with these capabilities alone."""
    if os.geteuid() != 0:
        pytest.skip("needs root to give rights away")
    kept = "".join(f",+{name}" for name in names)
    return ("setpriv", f"--bounding-set=-all{kept}", "--inh-caps=-all", "--ambient-caps=-all")


@pytest.mark.parametrize("rights", [(), ("bpf",), ("perfmon",)])
def test_without_rights_it_ends_with_3_and_what_helps(rights: tuple[str, ...]) -> None:
    for arguments in (
        ("bpf",),
        ("bpf", "programs"),
        ("bpf", "map", "1"),
        ("bpf", "programs", "--stats", "1"),
    ):
        ran = run(*arguments, before=with_rights(*rights))
        assert ran.returncode == ExitCode.NOT_PERMITTED, ran.stderr
        assert "CAP_SYS_ADMIN" in one_line(ran)


def test_the_iterators_list_with_less(agent: RunningAgent) -> None:
    rights = with_rights("bpf", "perfmon")
    answer = as_json("bpf", "programs", before=rights)
    busy = only(answer["programs"], agent.programs[BUSY])
    assert (busy["name"], busy["type"], busy["run_count"]) == (BUSY[:15], "raw_tracepoint", None)
    assert [hold["pid"] for hold in busy["held_by"] if hold["kind"] == "descriptor"] == [agent.pid]
    assert any(row["fix"] == "CAP_SYS_ADMIN" for row in answer["refused"])
    ran = run("bpf", "programs", "--stats", "1", before=rights)
    assert ran.returncode == ExitCode.NOT_PERMITTED


def test_no_probe_loads_nothing(agent: RunningAgent) -> None:
    answer = json.loads(run("--no-probe", "bpf", "programs", "--json").stdout)
    assert not [row for row in answer["programs"] if row["ours"]]
    busy = only(answer["programs"], agent.programs[BUSY])
    assert agent.pid in [hold["pid"] for hold in busy["held_by"]]


def test_another_host_is_not_asked_of_this_kernel(tmp_path: Path) -> None:
    ran = run("--host-root", str(tmp_path), "bpf")
    assert ran.returncode == ExitCode.NOT_PERMITTED
    assert "--host-root" in one_line(ran)
