"""What the Objects screen shows in pictures: an object as buildgen would read it."""

from __future__ import annotations

from pathlib import Path

from buildgen.objects import Comparison, ObjectFile, Program
from buildgen.objects.compare import ProgramChange
from buildgen.objects.disassembly import Instruction
from buildgen.objects.model import BtfSummary, CoreRelocation, LineInfo, MapDef, Section, Variable
from buildgen.verifier.model import Explanation, ObjectVerdict, ProgramVerdict

PATH = Path("/home/deploy/agent/build/ebpf/amd64/co-re/network.bpf.o")
_PROGRAMS = (
    ("on_connect", "kprobe/tcp_v4_connect", "kprobe", "tcp_v4_connect", 214),
    ("on_close", "kprobe/tcp_close", "kprobe", "tcp_close", 96),
    ("on_exec", "tp_btf/sched_process_exec", "tracing", "sched_process_exec", 131),
)
_READ = CoreRelocation(
    "kprobe/tcp_v4_connect", 4, "byte_off", "struct sock", "__sk_common.skc_dport", "0:0:2"
)


def found() -> ObjectFile:
    return ObjectFile(
        path=PATH,
        size=41_233,
        machine="EM_BPF",
        endian="little",
        license="GPL",
        programs=tuple(
            Program(name, section, kind, to, insns, False, 0, "", section)
            for name, section, kind, to, insns in _PROGRAMS
        ),
        maps=(
            MapDef("flows", "hash", 16, 64, 10_240, 0, ".maps"),
            MapDef("events", "ringbuf", 0, 0, 262_144, 0, ".maps"),
        ),
        variables=(
            Variable("sample_rate", ".rodata", 4, 0),
            Variable("LINUX_KERNEL_VERSION", ".kconfig", 4, None),
        ),
        btf=BtfSummary(6_120, 143, 2_204, (("struct", 21),), True),
        core_relocations=(_READ,) * 17,
        lines=(),
        sections=tuple(Section(section, "PROGBITS", insns * 8, 6) for _, section, _, _, insns in _PROGRAMS),
    )


def since() -> Comparison:
    changed = ProgramChange("on_connect", "changed", 206, 214)
    return Comparison((), 41_020, 41_233, 433, 441, (changed,), (), ())


def code() -> list[Instruction]:
    def line(number: int, text: str) -> LineInfo:
        return LineInfo("", 0, "src/network.bpf.c", number, 1, text)

    return [
        Instruction(0, "r6 = *(u64 *)(r1 + 0x70)", line=line(112, "int on_connect(struct pt_regs *ctx)")),
        Instruction(1, "r1 = 0x0"),
        Instruction(2, "*(u64 *)(r10 - 0x10) = r1", line=line(116, "struct flow flow = {};")),
        Instruction(3, "r1 = 0xc"),
        Instruction(
            4, "r3 = *(u64 *)(r6 + 0xc)", core=_READ, line=line(118, "flow.dport = BPF_CORE_READ(sk, …);")
        ),
        Instruction(5, "call 113", helper="bpf_probe_read_kernel"),
        Instruction(
            6, "r1 = 0x0 ll", symbol="flows", line=line(121, "bpf_map_update_elem(&flows, &key, &flow, 0);")
        ),
        Instruction(8, "call 2", helper="bpf_map_update_elem"),
        Instruction(9, "exit", label="LBB0_4", line=line(124, "return 0;")),
    ]


def verdict() -> ObjectVerdict:
    return ObjectVerdict(PATH, tuple(_judged(*one) for one in _PROGRAMS))


def _judged(name: str, section: str, kind: str, _to: str, insns: int) -> ProgramVerdict:
    why = "R1 invalid mem access 'scalar'" if name == "on_close" else ""
    explained = Explanation(
        "a plain number is used as an address",
        "read through it with bpf_probe_read_kernel() or BPF_CORE_READ()",
    )
    return ProgramVerdict(
        name=name,
        section=section,
        type=kind,
        verdict="rejected" if why else "accepted",
        insns_verified=3 * insns + 7,
        reason=why,
        explained=explained if why else Explanation("", ""),
    )
