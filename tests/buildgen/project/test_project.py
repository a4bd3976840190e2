"""ebpf.toml and discovery: what is read, and what a mistake in it is answered with."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from buildgen.errors import ConfigError
from buildgen.project.project import load_project

FULL = """\
[project]
name    = "agent"
sources = ["src/*.bpf.c"]
prebuilt = ["src/*-kern.c"]
include = ["include"]
defines = { LOG_LEVEL = "2", N = 3 }
arches  = ["amd64", "aarch64"]
out     = "made"
minimal_kernel = "4.14"
launcher = "ccache"
clang = "clang-16"

[object.tracer]
sources  = ["src/tracer.c"]
flags    = ["-DTRACER"]
variants = ["prebuilt", "co-re", "debug"]
strip    = false
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("src/one.bpf.c", "src/two.bpf.c", "src/net-kern.c", "src/tracer.c", "include/x.h"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    return tmp_path


def wrong(project: Path, text: str) -> ConfigError:
    (project / "ebpf.toml").write_text(text)
    with pytest.raises(ConfigError) as error:
        load_project(project)
    assert str(error.value).startswith(str(project / "ebpf.toml"))
    assert str(error.value).isprintable()
    return error.value


def test_everything(project: Path) -> None:
    (project / "ebpf.toml").write_text(FULL)
    found = load_project(project)
    assert (found.name, found.out, found.minimal_kernel) == ("agent", project / "made", "4.14")
    assert (found.launcher, found.clang) == ("ccache", "clang-16")
    assert found.defines == (("LOG_LEVEL", "2"), ("N", "3"))
    assert [arch.name for arch in found.arches] == ["amd64", "arm64"]
    assert found.include == (project / "include",)
    assert [(o.name, [str(v) for v in o.variants], o.strip) for o in found.objects] == [
        ("one.bpf", ["co-re"], True),
        ("two.bpf", ["co-re"], True),
        ("net-kern", ["prebuilt"], True),
        ("tracer", ["prebuilt", "prebuilt-debug", "co-re", "co-re-debug"], False),
    ]
    assert found.objects[-1].flags == ("-DTRACER",)


def test_an_object_of_its_own_takes_its_source_from_the_patterns(project: Path) -> None:
    (project / "ebpf.toml").write_text(
        '[project]\nsources = ["src/*.bpf.c"]\n[object.first]\nsources = ["src/one.bpf.c"]\n'
    )
    assert [o.name for o in load_project(project).objects] == ["two.bpf", "first"]


def test_without_a_file_names_decide(project: Path) -> None:
    for name in (".git/x.bpf.c", "build/y.bpf.c", "node_modules/z.bpf.c", "deep/er/in_kern.c"):
        (project / name).parent.mkdir(parents=True)
        (project / name).write_text("")
    found = load_project(project)
    assert [(o.name, str(o.variants[0])) for o in found.objects] == [
        ("in_kern", "prebuilt"),
        ("net-kern", "prebuilt"),
        ("one.bpf", "co-re"),
        ("two.bpf", "co-re"),
    ]
    assert found.file is None
    assert found.out == project / "build/ebpf"


def test_nothing_to_build(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing to build in .*: no ebpf\.toml, no \*\.bpf\.c"):
        load_project(tmp_path)
    with pytest.raises(ConfigError, match="is not a directory"):
        load_project(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("text", "line", "key", "says"),
    [
        ("[project]\nsource = []\n", 2, "project.source", "unknown key; valid keys are name, sources"),
        ("x = 1\n", 1, "x", "unknown key; valid keys are project, object"),
        ("[projects]\n", 1, "projects", "valid keys are project, object"),
        ('[project]\n\nsources = "a"\n', 3, "project.sources", "must be a list of strings"),
        ("[project]\nsources = [1]\n", 2, "project.sources", "must be a list of strings"),
        ('[project]\nsources = ["no/*.c"]\n', 2, "project.sources", "'no/*.c' matches no file below"),
        (
            '[project]\ninclude = ["none"]\n[object.a]\nsources=["src/tracer.c"]\n',
            2,
            "project.include",
            "not a dir",
        ),
        (
            '[project]\narches = ["vax"]\n[object.a]\nsources=["src/tracer.c"]\n',
            2,
            "project.arches",
            "ppc64el",
        ),
        (
            '[project]\nname = 1\n[object.a]\nsources=["src/tracer.c"]\n',
            2,
            "project.name",
            "must be a string that is not empty",
        ),
        (
            '[project]\nminimal_kernel = "x"\n[object.a]\nsources=["src/tracer.c"]\n',
            2,
            "project.minimal_kernel",
            "",
        ),
        (
            '[project]\ndefines = {"a b" = 1}\n[object.a]\nsources=["src/tracer.c"]\n',
            2,
            "project.defines.a b",
            "macro",
        ),
        (
            "[project.defines]\n\nX = 1.5\n[object.a]\nsources=['src/tracer.c']\n",
            3,
            "project.defines.X",
            "must be",
        ),
        (
            '[project]\nlauncher = "ccache -x"\n[object.a]\nsources=["src/tracer.c"]\n',
            2,
            "project.launcher",
            "must be a program without arguments",
        ),
        ("project.sources = ['src/one.bpf.c']\nproject.x = 1\n", 2, "project.x", "unknown key"),
        ("[object]\n'a.b'.sources = ['src/tracer.c']\n'a.b'.x = 1\n", 3, "object.a.b.x", "unknown key"),
        ('[object."a.b"]\nsources=["src/tracer.c"]\nx=1\n', 3, "object.a.b.x", "unknown key"),
        ("[project]\nsources = [\n'a',\n", 3, None, "end of document"),
        (f"[project]\nname = {'9' * 5000}\n", None, None, "too many digits"),
        ('[object.a]\nsources = ["src/*.c"]\n', 2, "object.a.sources", "exactly one source file, not 4"),
        ("[object.a]\nstrip = true\n", 1, "object.a.sources", "exactly one source file, not 0"),
        ('[object.a]\nsources=["src/tracer.c"]\nvariants=["fast"]\n', 3, "object.a.variants", "co-re, debug"),
        ('[object.a]\nsources=["src/tracer.c"]\nstrip="no"\n', 3, "object.a.strip", "true or false"),
        ('[object."a/b"]\nsources=["src/tracer.c"]\n', 1, "object.a/b", "is not a valid file name"),
        ("[project]\nname = \n", 2, None, "Invalid value"),
        ("", None, None, "nothing to build"),
    ],
)
def test_mistakes_name_file_line_and_key(
    project: Path, text: str, line: int | None, key: str | None, says: str
) -> None:
    error = wrong(project, text)
    assert (error.line, error.key) == (line, key)
    assert says in str(error)
    if line:
        assert f"ebpf.toml:{line}: " in str(error)


def test_two_sources_of_one_name(project: Path) -> None:
    (project / "src/sub").mkdir()
    (project / "src/sub/one.bpf.c").write_text("")
    error = wrong(project, '[project]\nsources = ["src/**/*.bpf.c"]\n')
    assert "would both be one.bpf.o" in str(error)


def test_a_file_that_cannot_be_read(project: Path) -> None:
    (project / "ebpf.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_project(project)
    (project / "ebpf.toml").unlink()
    (project / "ebpf.toml").mkdir()
    with pytest.raises(ConfigError, match=r"not a regular file|cannot be read"):
        load_project(project)
    (project / "ebpf.toml").rmdir()
    os.mkfifo(project / "ebpf.toml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_project(project)
    (project / "ebpf.toml").unlink()
    (project / "ebpf.toml").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_project(project)
    (project / "ebpf.toml").unlink()
    (project / "ebpf.toml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ConfigError, match="bigger than"):
        load_project(project)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(FULL)), cut=st.integers(0, 12), put=st.text(max_size=6))
def test_any_change_of_a_file_is_read_or_one_error(project: Path, at: int, cut: int, put: str) -> None:
    text = FULL[:at] + put + FULL[at + cut :]
    (project / "ebpf.toml").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        load_project(project)
    except ConfigError as error:
        said = str(error)
    else:
        return
    assert said.isprintable()
