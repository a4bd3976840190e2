"""What keeps objects loaded, on the real kernel: descriptors, links, pins, devices, cgroups, tables."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.bpf import namespaces, pins
from core.bpf.agents import AgentKind, agents, holder_names
from core.bpf.holders import descriptors
from core.bpf.records import Attachment, Hold, HoldKind, HostSnapshot, Kind, Refused
from core.bpf.snapshot import HostBpf
from core.bpf.words import HoldWords
from core.system.host import LOCAL
from tests.core.bpf.running_agent import RunningAgent, bpftool, compiled
from tests.places import ROOT

Places = dict[str, Any]


@pytest.fixture(scope="module")
def places(agent: RunningAgent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    """The agent's programs at devices of a network namespace, and pinned in a mount namespace of its own."""
    if not all(map(shutil.which, ("unshare", "ip", "tc", "bpftool"))):
        pytest.skip("needs unshare, ip, tc and bpftool")
    directory = tmp_path_factory.mktemp("bpffs")
    programs = agent.programs
    child = subprocess.Popen(
        [
            "unshare", "-m", "-n", sys.executable, "-m", "tests.core.bpf.places", directory,
            str(programs["pass_frames"]), str(programs["pass_packets"]), str(agent.maps["images"]),
        ],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            pytest.skip(f"no network of its own here: {child.communicate()[1][-300:]}")
        yield {**json.loads(line), "directory": os.fsencode(directory), "pid": child.pid}
    finally:
        child.communicate()


@pytest.fixture
def host(agent: RunningAgent) -> Iterator[HostBpf]:
    loaded = HostBpf(LOCAL)
    if loaded.iterators is None:
        pytest.skip("iterators cannot be loaded here")
    yield loaded
    loaded.close()


@pytest.fixture
def snapshot(host: HostBpf) -> HostSnapshot:
    return host.snapshot()


def of(snapshot: HostSnapshot, kind: Kind, number: int, how: HoldKind) -> list[Hold]:
    return [h for h in snapshot.holds if (h.object, h.id, h.kind) == (kind, number, how)]


def at(snapshot: HostSnapshot, program: int, kind: str) -> list[Attachment]:
    return [a for a in snapshot.attachments if (a.program_id, a.kind) == (program, kind)]


def test_descriptors_are_those_of_proc(agent: RunningAgent, snapshot: HostSnapshot) -> None:
    for kind, ids, fds in (
        (Kind.PROGRAM, agent.programs, agent.fds["programs"]),
        (Kind.MAP, agent.maps, agent.fds["maps"]),
        (Kind.LINK, agent.links, agent.fds["links"]),
    ):
        for name, number in ids.items():
            (hold,) = of(snapshot, kind, number, HoldKind.DESCRIPTOR)
            assert hold.pid == agent.pid
            assert fds[name] in hold.fds
            assert hold.comm == Path(f"/proc/{agent.pid}/comm").read_bytes().rstrip(b"\n")


def test_the_walk_over_proc_finds_the_same(agent: RunningAgent, host: HostBpf) -> None:
    refused: list[Refused] = []
    by_walk = {row for row in descriptors(LOCAL, None, refused) if row.pid == agent.pid}
    by_iterator = {row for row in descriptors(LOCAL, host.iterators, refused) if row.pid == agent.pid}
    assert by_walk == by_iterator
    assert len(by_walk) > 20


def test_perf_descriptors_lead_to_their_program(agent: RunningAgent, host: HostBpf) -> None:
    import ctypes
    import fcntl
    import struct

    from core.bpf import syscall

    with syscall.opened("program", agent.programs["sampled"]) as program:
        attributes = ctypes.create_string_buffer(64)
        struct.pack_into("=IIQQ", attributes, 0, 1, 64, 0, 1_000_000_000)  # cpu-clock
        struct.pack_into("=Q", attributes, 40, 1)  # disabled
        event = syscall._PERF_CALL(syscall._PERF_EVENT_OPEN, attributes, -1, 0, -1, 8)
        if event < 0:
            pytest.skip("no sampling event here")
        try:
            fcntl.ioctl(event, 0x40042408, program)  # PERF_EVENT_IOC_SET_BPF
            snapshot = host.snapshot()
        finally:
            os.close(event)
    (hold,) = of(snapshot, Kind.PROGRAM, agent.programs["sampled"], HoldKind.PERF_EVENT)
    assert hold.pid == os.getpid()
    assert hold.fds == (event,)
    assert [a.where for a in snapshot.attachments if a.program_id == agent.programs["sampled"]] == [
        b"sampling"
    ]


def test_links_maps_and_tables_hold(agent: RunningAgent, snapshot: HostSnapshot) -> None:
    (link,) = of(snapshot, Kind.PROGRAM, agent.programs["on_switch"], HoldKind.LINK)
    assert link.by == agent.links["on_switch"]
    (slot,) = of(snapshot, Kind.PROGRAM, agent.programs["tail_called"], HoldKind.TAIL_CALL)
    assert (slot.by, slot.place) == (agent.maps["jumps"], b"2")
    (inner,) = of(snapshot, Kind.MAP, agent.maps["inner_map"], HoldKind.INNER_MAP)
    assert (inner.by, inner.place) == (agent.maps["of_maps"], b"1")
    users = {hold.by for hold in of(snapshot, Kind.MAP, agent.maps["counters"], HoldKind.PROGRAM)}
    assert users == {agent.programs["tail_called"]}


def test_a_pin_of_a_private_mount_namespace(
    agent: RunningAgent, places: Places, snapshot: HostSnapshot
) -> None:
    """`bpftool -f` looks at its own mount namespace only."""
    (pin,) = of(snapshot, Kind.PROGRAM, agent.programs["pass_packets"], HoldKind.PIN)
    assert pin.place == places["directory"] + b"/agent/filter"
    assert pin.namespace == places["mount"]
    (pin,) = of(snapshot, Kind.MAP, agent.maps["images"], HoldKind.PIN)
    assert pin.place == places["directory"] + b"/agent/images"
    answer = bpftool("-f", "prog", "show", "id", str(agent.programs["pass_packets"]))
    assert isinstance(answer, dict)
    assert not answer.get("pinned")


def test_devices_of_another_network_namespace(
    agent: RunningAgent, places: Places, snapshot: HostSnapshot
) -> None:
    (xdp,) = at(snapshot, agent.programs["pass_frames"], "xdp generic")
    assert (xdp.where, xdp.namespace, xdp.link_id) == (b"strange0", places["net"], 0)
    (tc,) = at(snapshot, agent.programs["pass_packets"], "tc egress")
    assert (tc.where, tc.namespace) == (b"strange0", places["net"])
    inside = subprocess.run(
        ["nsenter", "-t", str(places["pid"]), "-n", "bpftool", "-j", "net", "show"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(inside.stdout)[0]
    assert [(e["devname"], e["id"]) for e in theirs["xdp"]] == [("strange0", agent.programs["pass_frames"])]
    assert [e["devname"] for e in theirs["tc"]] == ["strange0"]
    assert of(snapshot, Kind.PROGRAM, agent.programs["pass_frames"], HoldKind.NETDEV)


def test_a_tcx_link_has_its_devices_name(agent: RunningAgent, places: Places, snapshot: HostSnapshot) -> None:
    if not places["tcx"]:
        pytest.skip("this kernel has no tcx")
    (found,) = at(snapshot, agent.programs["pass_packets"], "tcx_ingress")
    assert (found.where, found.namespace) == (b"strange1", places["net"])
    link = next(link for link in snapshot.links if link.id == found.link_id)
    assert (link.type, link.attach) == ("tcx", "tcx_ingress")
    assert not [
        hold
        for hold in of(snapshot, Kind.PROGRAM, agent.programs["pass_packets"], HoldKind.NETDEV)
        if hold.detail == b"tcx_ingress"
    ]


def test_a_cgroup_without_a_link(agent: RunningAgent, host: HostBpf) -> None:
    mount = next(
        (
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if " - cgroup2 " in line
        ),
        None,
    )
    if mount is None or not shutil.which("bpftool"):
        pytest.skip("no cgroup2, or no bpftool")
    group = Path(mount) / f"ebpf-tui-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cgroup can be made here: {error}")
    program = agent.programs["allow_egress"]
    try:
        attach = ["bpftool", "cgroup", "attach", str(group), "egress", "id", str(program)]
        if subprocess.run(attach, check=False, capture_output=True).returncode:
            pytest.skip("this kernel attaches nothing to cgroups")
        snapshot = host.snapshot()
        (found,) = at(snapshot, program, "cgroup_inet_egress")
        assert (found.where, found.link_id) == (os.fsencode(f"/{group.name}"), 0)
        (hold,) = of(snapshot, Kind.PROGRAM, program, HoldKind.CGROUP)
        assert hold.place == os.fsencode(f"/{group.name}")
    finally:
        group.rmdir()


def test_what_a_registered_table_of_functions_keeps(host: HostBpf, tmp_path: Path) -> None:
    """A congestion control without a link: nobody has its map or its programs open."""
    if not shutil.which("bpftool"):
        pytest.skip("no bpftool")
    built = compiled("congestion", tmp_path)
    register = ["bpftool", "struct_ops", "register", str(built)]
    if subprocess.run(register, check=False, capture_output=True).returncode:
        pytest.skip("no struct_ops here")
    try:
        snapshot = host.snapshot()
        shown = bpftool("struct_ops", "show", "name", "ebpf_tui_test")
    finally:
        unregister = ["bpftool", "struct_ops", "unregister", "name", "ebpf_tui_test"]
        subprocess.run(unregister, check=True, capture_output=True)
    assert isinstance(shown, list)
    table = next(found for found in snapshot.maps if found.id == shown[0]["id"])
    assert (table.type, table.name) == ("struct_ops", b"ebpf_tui_test")
    held = {hold.place: hold.id for hold in snapshot.holds if hold.by == table.id and hold.place}
    named = {program.id: program.name for program in snapshot.programs}
    assert {place: named[number] for place, number in held.items()} == {
        b"ssthresh": b"threshold",
        b"cong_avoid": b"avoid",
        b"undo_cwnd": b"undo",
    }
    words = HoldWords(snapshot)
    assert words.held_by(Kind.MAP, table.id)[0] == "registered in the kernel"
    (nobodys,) = [a for a in agents(snapshot, holder_names(snapshot)) if table.id in a.maps]
    assert nobodys.kind is AgentKind.NOBODY
    assert set(held.values()) <= set(nobodys.programs)


def test_a_tp_btf_program_is_called_that(agent: RunningAgent, snapshot: HostSnapshot) -> None:
    """Its link is a raw_tracepoint link, as bpftool shows it."""
    (place,) = [a for a in snapshot.attachments if a.program_id == agent.programs["on_switch"]]
    assert (place.kind, place.where) == ("tp_btf", b"sched_switch")


def test_a_link_of_a_removed_device_is_detached(agent: RunningAgent) -> None:
    code = (
        "import socket, struct, subprocess, sys\n"
        "from core.bpf import syscall\n"
        "from core.bpf.listing import Lister\n"
        "run = lambda *words: subprocess.run(words, check=True, capture_output=True)\n"
        "run('ip', 'link', 'add', 'strange2', 'type', 'veth', 'peer', 'name', 'strange3')\n"
        "with syscall.opened('program', int(sys.argv[1])) as fd:\n"
        "    link = syscall.bpf(28, struct.pack('=IIII', fd, socket.if_nametoindex('strange2'), 37, 2))\n"
        "number = struct.unpack_from('=I', syscall.info('link', link), 4)[0]\n"
        "show = lambda: next(l for l in Lister().links([]) if l.id == number)\n"
        "print(show().type, show().detached, show().target.decode(), sep='|')\n"
        "run('ip', 'link', 'del', 'strange2')\n"
        "print(show().type, show().detached, show().target.decode(), sep='|')\n"
    )
    ran = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", code, str(agent.programs["pass_frames"])],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if not ran.stdout:
        pytest.skip(f"no XDP link here: {ran.stderr[-200:]}")
    before, after = ran.stdout.splitlines()
    assert before.startswith("xdp|False|device ")
    assert after == "xdp|True|a device that was removed"


def test_our_own_objects_are_marked(agent: RunningAgent, snapshot: HostSnapshot) -> None:
    ours = {program.name for program in snapshot.programs if program.ours}
    assert {b"holders", b"list_programs"} <= ours
    assert not any(program.ours for program in snapshot.programs if program.id in agent.programs.values())


def test_agents_are_processes_then_pins(agent: RunningAgent, snapshot: HostSnapshot) -> None:
    found = agents(snapshot, holder_names(snapshot))
    (mine,) = [a for a in found if agent.pid in a.pids]
    assert mine.kind is AgentKind.PROCESS
    assert set(agent.programs.values()) <= set(mine.programs)
    assert set(agent.maps.values()) <= set(mine.maps)
    everything = [number for a in found for number in a.programs]
    assert sorted(everything) == [program.id for program in snapshot.programs]
    assert [a.kind for a in found if a.ours] == [AgentKind.PROCESS]


def without(snapshot: HostSnapshot, pid: int) -> HostSnapshot:
    """The snapshot as it would be after a process has ended: its descriptors and nothing else are gone."""
    from msgspec.structs import replace

    holds = tuple(hold for hold in snapshot.holds if hold.pid != pid)
    return replace(snapshot, holds=holds)


def test_what_a_dead_agent_leaves(agent: RunningAgent, places: Places, snapshot: HostSnapshot) -> None:
    left = without(without(snapshot, agent.pid), places["pid"])
    found = agents(left, holder_names(left))
    (pinned,) = [a for a in found if a.kind is AgentKind.PINS]
    assert pinned.name == places["directory"] + b"/agent"
    assert agent.programs["pass_packets"] in pinned.programs
    assert agent.maps["images"] in pinned.maps
    nobodys = next(a for a in found if a.kind is AgentKind.NOBODY)
    # Their BTF is that of the pinned ones: what a device runs goes with them, and so does what links keep.
    assert agent.programs["pass_frames"] in pinned.programs + nobodys.programs
    waiting = next((a for a in found if a.kind is AgentKind.WAITING), None)
    assert waiting is not None
    assert agent.maps["recent"] not in waiting.maps


@given(st.binary(max_size=200))
def test_mountinfo_may_be_anything(line: bytes) -> None:
    namespaces._parse(line)


def test_what_lies_on_fuse_is_not_opened() -> None:
    assert namespaces._lies_on(b"/mnt/fuse/bpf", b"/mnt/fuse")
    assert namespaces._lies_on(b"/mnt/bpf", b"/")
    assert not namespaces._lies_on(b"/mnt/fuse2/bpf", b"/mnt/fuse")
    parsed = namespaces._parse(b"36 35 98:0 /mnt1 /mnt\\040two rw,noatime master:1 - bpf none rw")
    assert parsed == (b"98:0", b"/mnt1", b"/mnt two", b"bpf")


def mount_at(place: bytes, *, device: bytes = b"0:999999", may_wait: bool = False) -> namespaces.Mount:
    return namespaces.Mount(os.getpid(), 1, device, b"/", place, b"bpf", may_wait)


def test_what_is_mounted_over_a_bpffs_is_not_walked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(pins, "mounts", lambda *_: [mount_at(os.fsencode(tmp_path))])
    monkeypatch.setattr(pins, "_walk", lambda *_: pytest.fail("walked"))
    assert pins.pins(LOCAL, namespaces.Namespaces(), []) == []


def test_a_bpffs_below_a_fuse_mount_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may never answer: the path is not even opened."""
    monkeypatch.setattr(pins, "mounts", lambda *_: [mount_at(b"/mnt/\xff", may_wait=True)])
    monkeypatch.setattr(pins, "_walk_mount", lambda *_: pytest.fail("opened"))
    refused: list[Refused] = []
    assert pins.pins(LOCAL, namespaces.Namespaces(), refused) == []
    assert [row.what for row in refused] == ["pins below /mnt/\\xff"]


def test_the_shipped_object_is_that_of_its_source() -> None:
    from tools.build_probe import SOURCES, is_up_to_date

    assert [stem for stem in SOURCES if not is_up_to_date(stem)] == []
