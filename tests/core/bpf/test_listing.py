"""The four lists on the real kernel, compared with bpftool and fdinfo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core.bpf import names, syscall
from core.bpf.listing import Lister
from core.bpf.records import Refused
from tests.core.bpf.running_agent import RunningAgent, bpftool
from tests.places import ROOT

Json = dict[str, Any]


def by_id(answer: object) -> dict[int, Json]:
    assert isinstance(answer, list)
    return {entry["id"]: entry for entry in answer}


def test_programs_are_those_of_bpftool(agent: RunningAgent) -> None:
    refused: list[Refused] = []
    ours = {program.id: program for program in Lister().programs(refused)}
    theirs = by_id(bpftool("prog", "show"))
    boot = int(subprocess.check_output(["sh", "-c", "sed -n 's/^btime //p' /proc/stat"]))
    for number in agent.programs.values():
        mine, other = ours[number], theirs[number]
        assert mine.name.decode() == other["name"]
        assert (mine.type, mine.tag, mine.uid) == (other["type"], other["tag"], other["uid"])
        assert (mine.xlated_bytes, mine.jited_bytes) == (other["bytes_xlated"], other["bytes_jited"])
        assert mine.memory == other["bytes_memlock"]
        assert sorted(mine.map_ids) == sorted(other.get("map_ids", []))
        assert mine.btf_id == other["btf_id"]
        assert (mine.verified_insns or 0) >= 2
        assert mine.gpl == other["gpl_compatible"]
        assert abs(boot + mine.loaded_ns / 1e9 - other["loaded_at"]) < 3
    assert not refused


def test_a_long_name_is_whole(agent: RunningAgent) -> None:
    programs = {program.id: program for program in Lister().programs([])}
    long_named = programs[agent.programs["on_sys_enter_with_a_name_longer_than_15"]]
    assert long_named.name == b"on_sys_enter_with_a_name_longer_than_15"


def test_the_attach_target_has_a_name(agent: RunningAgent) -> None:
    programs = {program.id: program for program in Lister().programs([])}
    assert programs[agent.programs["on_switch"]].attach_to == b"sched_switch"
    assert programs[agent.programs["each_task"]].attach_to == b"task"
    assert programs[agent.programs["pass_frames"]].attach_to == b""


def test_maps_are_those_of_bpftool(agent: RunningAgent) -> None:
    ours = {found.id: found for found in Lister().maps([])}
    theirs = by_id(bpftool("map", "show"))
    for number in agent.maps.values():
        mine, other = ours[number], theirs[number]
        assert mine.type == other["type"]
        assert mine.name.decode() == other.get("name", "")
        assert (mine.key_size, mine.value_size) == (other["bytes_key"], other["bytes_value"])
        assert (mine.max_entries, mine.flags) == (other["max_entries"], other["flags"])
        assert mine.memory == other["bytes_memlock"]
        assert mine.frozen == bool(other["frozen"])


def test_a_map_without_btf_has_no_btf_id(agent: RunningAgent) -> None:
    """bpftool 7.1 and 7.8 show the BTF of the map before: they use one structure again."""
    ours = {found.id: found for found in Lister().maps([])}
    alone = by_id([bpftool("map", "show", "id", str(agent.maps["ring"]))])
    assert alone[agent.maps["ring"]].get("btf_id", 0) == 0
    assert ours[agent.maps["ring"]].btf_id == 0
    assert ours[agent.maps["images"]].btf_id > 0


def test_links_are_those_of_bpftool(agent: RunningAgent) -> None:
    ours = {link.id: link for link in Lister().links([])}
    theirs = by_id(bpftool("link", "show"))
    for number in agent.links.values():
        assert ours[number].type == theirs[number]["type"]
        assert ours[number].program_id == theirs[number]["prog_id"]
    by_name = {name: ours[number] for name, number in agent.links.items()}
    assert by_name["each_task"].target.decode() == theirs[agent.links["each_task"]]["target_name"]
    entered = by_name["on_sys_enter_with_a_name_longer_than_15"]
    assert entered.target.decode() == theirs[entered.id]["tp_name"] == "sys_enter"


def test_btf_objects_are_those_of_bpftool(agent: RunningAgent) -> None:
    theirs = by_id(bpftool("btf", "show"))
    ours = {found.id: found for found in Lister().btfs([])}
    assert ours.keys() >= {1}
    for number in ours.keys() & theirs.keys():
        assert ours[number].size == theirs[number]["size"]
        assert ours[number].name.decode() == theirs[number].get("name", "")
        assert ours[number].kernel == theirs[number]["kernel"]


def test_a_second_listing_reads_only_what_changes(agent: RunningAgent) -> None:
    lister = Lister()
    assert lister.programs([]) == lister.programs([])


def test_nothing_is_kept_open(agent: RunningAgent) -> None:
    before = os.listdir("/proc/self/fd")
    lister = Lister()
    lister.programs([]), lister.maps([]), lister.links([]), lister.btfs([])
    assert os.listdir("/proc/self/fd") == before


def test_a_program_that_never_ran_was_not_counted(agent: RunningAgent) -> None:
    programs = {program.id: program for program in Lister().programs([])}
    idle = programs[agent.programs["pass_frames"]]
    assert (idle.run_ns, idle.run_count) == (None, None)
    counted = {program.id: program for program in Lister().programs([], counting=True)}
    assert (counted[idle.id].run_ns, counted[idle.id].run_count) == (0, 0)


def test_without_rights_it_says_so() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to give rights away")
    code = (
        "from core.bpf.listing import Lister, NotPermitted\n"
        "try: Lister().programs([])\n"
        "except NotPermitted as error: print(error)"
    )
    nothing = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"]
    ran = subprocess.run(
        [*nothing, sys.executable, "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "CAP_SYS_ADMIN" in ran.stdout, ran.stderr


def test_an_object_that_is_gone_is_skipped() -> None:
    with pytest.raises(FileNotFoundError), syscall.opened("program", 0x7FFFFFFF):
        pass


@pytest.mark.parametrize(
    ("enum", "prefix", "name"),
    [
        ("bpf_prog_type", "BPF_PROG_TYPE_", names.program_type),
        ("bpf_map_type", "BPF_MAP_TYPE_", names.map_type),
        ("bpf_attach_type", "BPF_", names.attach_type),
        ("bpf_link_type", "BPF_LINK_TYPE_", names.link_type),
    ],
)
def test_names_are_those_of_the_header(enum: str, prefix: str, name: Any) -> None:
    try:
        header = Path("/usr/include/linux/bpf.h").read_text()
    except OSError:
        pytest.skip("no linux/bpf.h")
    found = re.search(rf"enum {enum} \{{(.*?)\}};", header, re.DOTALL)
    assert found
    words = [word.split("=")[0].strip() for word in re.sub(r"/\*.*?\*/", "", found[1]).split(",")]
    words = [word.removeprefix(prefix).lower() for word in words if word and "MAX_" not in word.upper()]
    renamed = {"cgroup_storage_deprecated": "cgroup_storage"}
    assert [name(number) for number in range(len(words))] == [renamed.get(word, word) for word in words]
    assert name(4000) == "type 4000"
