"""What the kernel's verifier and libbpf say, and the answers of the process that asks them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from buildgen.objects.read import read_object
from buildgen.verifier.checker import Answer
from buildgen.verifier.model import ObjectVerdict
from buildgen.verifier.places import Places
from buildgen.verifier.verify import verdict_json, verdict_of
from tests.fuzz.harness import CORPUS, corpus, fuzz, mutator

_TOKENS = (
    b"0: (85) call unknown#195896080\\n", b"3: <invalid CO-RE relocation>\\n", b"; return 0; @ a.c:1\\n",
    b"processed 9 insns\\n", b"99999999999999999999: (", b" @ ", b"libbpf: ", b"\\n",
    b"R0 invalid mem access\\n", b"R3 min value is negative, either use unsigned\\n", b"alloc_insn=4\\n",
    b"4: (0f) r3 += r2 ; R2=scalar() R3=map_value(map=m,ks=4,vs=8)\\n", b"from 4 to 9: R0=0\\n",
    b"5: (79) r2 = *(u64 *)(r10 -8) ; frame1: R2=scalar()\\n", b"6: (25) if r2 > 0x3 goto pc+1 9: R2=3\\n",
    b"7: (7b) *(u64 *)(r10 -8) = r2\\n", b"8: (bf) r3 = r2 ; R3=pkt(r=0)\\n",
    b"9: (85) call bpf_skb_pull_data#39\\n",
)  # fmt: skip


def test_verifier_log() -> None:
    path = CORPUS / "object/bpfel.o"
    places = Places(read_object(path))

    def target(data: bytes) -> None:
        verdict = verdict_of(places, msgspec.json.decode(data, type=Answer))
        assert verdict.reason.isprintable()
        assert verdict.source.isprintable()
        assert all(line.isprintable() for line in verdict.log.split("\n"))
        assert all(at.what.isprintable() for at in verdict.trace)
        assert verdict.explained.cause.isprintable()
        verdict_json(ObjectVerdict(Path("x.o"), (verdict,)))

    allowed = (msgspec.DecodeError,)
    fuzz(target, corpus("verifier_log"), allowed, name="verifier_log", mutate=mutator(_TOKENS))
