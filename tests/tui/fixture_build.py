"""What the Build and Headers screens show in pictures: a made-up project on a made-up machine."""

from __future__ import annotations

import time
from pathlib import Path

from buildgen.diagnostics import Diagnosis
from buildgen.events import BuildEvent, Diagnosed, Done, EdgeFinished, EdgeStarted, Planned
from buildgen.headers.find import Candidate
from buildgen.headers.tree import Holds
from buildgen.plan.plan import BuildPlan, Target, TargetStatus
from buildgen.project.flags import Flag, Variant
from buildgen.project.project import Project
from buildgen.project.toolchain import Tool, Toolchain
from buildgen.session.board import Board, TargetRow
from buildgen.session.history import Built
from core.system.arch import parse_arch
from tui.screens.headers import Findings

ROOT = Path("/home/deploy/agent")
OUT = ROOT / "build/ebpf"
SRC = Path("/usr/src")
RELEASE = "6.1.0-56-amd64"

_NOON = time.mktime((2026, 3, 4, 12, 0, 0, 0, 0, -1))  # here, wherever that is
_CO_RE, _PREBUILT = Variant("co-re"), Variant("prebuilt")
_OBJECTS = (
    ("process.bpf", "src/process.bpf.c", "amd64", _CO_RE, "fresh", (80_412, 1127)),
    ("process.bpf", "src/process.bpf.c", "arm64", _CO_RE, "stale", (80_160, 1131)),
    ("network.bpf", "src/network.bpf.c", "amd64", _CO_RE, "stale", (41_233, 902)),
    ("network.bpf", "src/network.bpf.c", "arm64", _CO_RE, "missing", None),
    ("offsets-kern", "src/offsets-kern.c", "amd64", _PREBUILT, "fresh", (9_120, 88)),
    ("offsets-kern", "src/offsets-kern.c", "arm64", _PREBUILT, "blocked", None),
)
_NO_HEADERS = Diagnosis(
    "arm64/prebuilt/offsets-kern.o",
    "no kernel headers for arm64 found",
    "apt-get install linux-headers-arm64:arm64",
    str(ROOT / "src/offsets-kern.c"),
)
_ERROR = Diagnosis(
    "amd64/co-re/network.bpf.o",
    "struct sock has no member sk_dport in this kernel's BTF",
    "read __sk_common.skc_dport with BPF_CORE_READ, as since Linux 3.12",
    str(ROOT / "src/network.bpf.c"),
    118,
)
_LOG = """\
src/network.bpf.c:118:34: error: no member named 'sk_dport' in 'struct sock'
    flow.dport = BPF_CORE_READ(sk, sk_dport);
                 ~~~~~~~~~~~~~~~~~~^~~~~~~~~
1 error generated."""


def board() -> Board:
    """The project as it is found."""
    tool = Tool(Path("/usr/bin/clang-14"), "14.0.6")
    tools = Toolchain(tool, tool, tool, None)
    targets = tuple(_target(*entry[:5]) for entry in _OBJECTS)
    arches = (parse_arch("amd64"), parse_arch("arm64"))
    project = Project(ROOT, ROOT / "ebpf.toml", "agent", (), (), (), arches, OUT)
    plan = BuildPlan(project, OUT, targets, tools, Path("/usr/bin/ninja"), (), (), "")
    rows = [
        TargetRow(
            plan,
            target,
            target.state,
            size=entry[5][0] if entry[5] else None,
            insns=entry[5][1] if entry[5] else None,
            diagnosis=target.diagnosis,
            history=_past(*entry[5]) if entry[5] else (),
        )
        for target, entry in zip(targets, _OBJECTS, strict=True)
    ]
    return Board(targets=rows)


def _past(size: int, insns: int) -> tuple[Built, ...]:
    """Three builds before, the last of which is the object that is there."""
    return (
        Built(_NOON - 7243, 0.91, size - 1204, insns - 31),
        Built(_NOON - 611, 0.88, size, insns),
        Built(_NOON - 95, 0.84, size, insns),
    )


def _target(name: str, source: str, arch: str, variant: Variant, state: str) -> Target:
    label = f"{arch}/{variant.base}/{name}.o"
    blocked = _NO_HEADERS if state == "blocked" else None
    return Target(
        name, label, OUT / label, ROOT / source, parse_arch(arch), variant, TargetStatus(state), blocked
    )


def half_way(board: Board) -> None:
    """The state in the middle of a build."""
    _apply(
        board,
        Planned(6),
        EdgeStarted("arm64/co-re/process.bpf.bc"),
        EdgeStarted("amd64/co-re/network.bpf.bc"),
        EdgeFinished("arm64/co-re/process.bpf.bc", True, 0.61, ""),
        EdgeStarted("arm64/co-re/process.bpf.o"),
        EdgeFinished("arm64/co-re/process.bpf.o", True, 0.22, ""),
        EdgeStarted("arm64/co-re/network.bpf.bc"),
    )
    board.made(board.targets[0].plan, "arm64/co-re/process.bpf.o", Built(_NOON, 0.83, 80_488, 1143))


def failed(board: Board) -> None:
    """The state after a build in which one source did not compile."""
    half_way(board)
    _apply(
        board,
        EdgeFinished("amd64/co-re/network.bpf.bc", False, 0.44, _LOG),
        Diagnosed(_ERROR),
        EdgeFinished("arm64/co-re/network.bpf.bc", False, 0.47, _LOG),
        Diagnosed(Diagnosis("arm64/co-re/network.bpf.o", *_parts(_ERROR))),
        Diagnosed(_NO_HEADERS),
        Done(ok=False, built=1, failed=3, up_to_date=2, seconds=1.3),
    )
    board.end()


def _parts(diagnosis: Diagnosis) -> tuple[str, str, str | None, int | None]:
    return diagnosis.cause, diagnosis.fix, diagnosis.file, diagnosis.line


def _apply(board: Board, *events: BuildEvent) -> None:
    for event in events:
        board.apply(board.targets[0].plan, event)


def findings() -> Findings:
    """The headers of a Debian machine that runs the kernel they belong to."""
    amd64 = f"linux-headers-{RELEASE}"
    common = "linux-headers-6.1.0-56-common"

    def candidate(path: str, release: str, holds: Holds, reason: str, to: str = "") -> Candidate:
        chosen = holds != "none" and "older" not in reason
        resolved = SRC / (to or path)
        return Candidate(
            Path(path) if to else resolved, resolved, release, None, "amd64", holds, chosen, reason
        )

    candidates = (
        candidate(amd64, RELEASE, "arch", "the headers of the running kernel"),
        candidate(common, "6.1.0-56-common", "common", "named by the Makefile of the arch half"),
        candidate(
            f"/lib/modules/{RELEASE}/build", RELEASE, "arch", "the headers of the running kernel", amd64
        ),
        candidate("linux-headers-6.1.0-49-amd64", "6.1.0-49-amd64", "arch", "older than the running kernel"),
        candidate("linux-kbuild-6.1", "6.1", "none", "no kernel headers: it holds the build tools alone"),
    )
    arch_dirs = ("include", "include/generated/uapi", "arch/x86/include", "arch/x86/include/generated")
    common_dirs = ("include", "include/uapi", "arch/x86/include", "arch/x86/include/uapi")
    dirs = [(f"{SRC}/{amd64}", path) for path in arch_dirs]
    dirs += [(f"{SRC}/{common}", path) for path in common_dirs]
    flags = tuple(Flag(f"-isystem{tree}/{path}", "a directory of the chosen headers") for tree, path in dirs)
    return Findings(parse_arch("amd64"), RELEASE, candidates, tuple(dirs), flags, ())
