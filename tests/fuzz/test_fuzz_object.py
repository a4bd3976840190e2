"""ELF with all that is in it: `inspect` and `compare`."""

from __future__ import annotations

import json
from pathlib import Path

from buildgen.errors import ObjectError
from buildgen.objects import compare, object_json, read_object
from tests.fuzz.harness import corpus, fuzz, mutator

_PATH = Path("fuzzed.o")
_TOKENS = (
    b".BTF\0",
    b".BTF.ext\0",
    b".maps\0",
    b"maps\0",
    b".data\0",
    b".kconfig\0",
    b".symtab\0",
    b"license\0",
)


def _target(data: bytes) -> None:
    try:
        found = read_object(_PATH, data)
    except ObjectError as error:
        _check(str(error))
        raise
    assert compare(found, found).same
    json.dumps(object_json(found))


def _check(message: str) -> None:
    assert message.startswith("fuzzed.o: ")
    assert message.isprintable()
    assert len(message) < 600


def test_object() -> None:
    fuzz(_target, corpus("object"), (ObjectError,), name="object", mutate=mutator(_TOKENS))
