"""What the kernel's verifier and libbpf say, and the answers of the process that asks them."""

from __future__ import annotations

from pathlib import Path

import msgspec

from buildgen.objects.checker import Answer
from buildgen.objects.read import read_object
from buildgen.objects.verify import verdict_json, verdict_of
from buildgen.verifier.model import ObjectVerdict
from buildgen.verifier.places import Places
from tests.fuzz.harness import CORPUS, corpus, fuzz, mutator

_TOKENS = (
    b"0: (85) call unknown#195896080\\n", b"3: <invalid CO-RE relocation>\\n", b"; return 0; @ a.c:1\\n",
    b"processed 9 insns\\n", b"99999999999999999999: (", b" @ ", b"libbpf: ", b"\\n",
    b"R0 invalid mem access\\n",
)  # fmt: skip


def test_verifier_log() -> None:
    path = CORPUS / "object/bpfel.o"
    places = Places(read_object(path))

    def target(data: bytes) -> None:
        verdict = verdict_of(places, msgspec.json.decode(data, type=Answer))
        assert verdict.reason.isprintable()
        assert verdict.source.isprintable()
        assert all(line.isprintable() for line in verdict.log.split("\n"))
        verdict_json(ObjectVerdict(Path("x.o"), (verdict,)))

    allowed = (msgspec.DecodeError,)
    fuzz(target, corpus("verifier_log"), allowed, name="verifier_log", mutate=mutator(_TOKENS))
