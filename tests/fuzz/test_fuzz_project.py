"""ebpf.toml: any file gives a project or one line that names the file."""

from __future__ import annotations

from pathlib import Path

from buildgen.errors import ConfigError
from buildgen.project.project import FILE_NAME, load_project
from tests.fuzz.harness import corpus, fuzz, mutator

_TOKENS = (
    b"[project]\n", b"[object.x]\n", b"sources = [", b"include = [", b'"**/*.c"', b'"../"', b"{ a = 1 }",
    b"]", b"1e999", b"arches = [", b"variants = [", b"minimal_kernel = ", b"strip = true\n", b"0x", b'"""',
    b"\\u0000",
)  # fmt: skip


def test_project(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("src/one.bpf.c", "src/tracer.c"):
        (tmp_path / name).touch()
    file = tmp_path / FILE_NAME

    def check(message: str) -> None:
        assert message.isprintable()
        assert message.startswith(str(file))

    def target(data: bytes) -> None:
        file.write_bytes(data)
        try:
            project = load_project(tmp_path)
        except ConfigError as error:
            check(str(error))
            raise
        assert all(one.source.is_absolute() for one in project.objects)

    fuzz(target, corpus("project"), (ConfigError,), name="project", mutate=mutator(_TOKENS))
