"""build.ninja as ninja itself reads it back."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from buildgen.errors import ConfigError
from buildgen.ninja.output import NinjaOutput
from buildgen.plan.ninja_file import Edges, ninja_path, write_ninja
from buildgen.project.flags import Flag, Variant
from buildgen.project.toolchain import Tool, Toolchain, find_ninja
from core.system.arch import parse_arch

AMD64 = parse_arch("amd64")
TOOLS = Toolchain(
    Tool(Path("/usr/bin/clang"), "14.0.6"),
    Tool(Path("/usr/bin/llc"), "14.0.6"),
    Tool(Path("/usr/bin/llvm-strip"), "14.0.6"),
    None,
)
ODD = st.text("ab $:'\"\\é🐝#;&()~`*?[]{}=!@%^,+<>-", min_size=1, max_size=12).filter(
    lambda text: text not in (".", "..")
)


def text_of(
    source: Path, flags: tuple[str, ...] = (), headers: tuple[str, ...] = (), name: str = "one"
) -> str:
    edge = Edges(Path(f"amd64/prebuilt/{name}.o"), source, AMD64, Variant("prebuilt"), flags, True)
    return write_ninja([edge], TOOLS, [(AMD64, [Flag(flag, "") for flag in headers])], None)


def read_back(text: str) -> list[dict[str, str]]:
    with tempfile.TemporaryDirectory() as here:
        Path(here, "build.ninja").write_text(text)
        said = subprocess.run(
            [find_ninja(), "-t", "compdb", "ebpfclang", "llc"], cwd=here, capture_output=True, check=True
        )
    entries: list[dict[str, str]] = json.loads(said.stdout)
    return entries


@settings(max_examples=40, deadline=None)
@given(name=ODD, flag=ODD, header=ODD)
def test_ninja_reads_back_every_path_and_flag(name: str, flag: str, header: str) -> None:
    source = Path("/src", f"x{name}.c")
    compiled, linked = read_back(text_of(source, (f"-DX={flag}",), (f"-isystem/{header}",), f"x{name}"))
    assert compiled["file"] == str(source)
    assert compiled["output"] == f"amd64/prebuilt/x{name}.bc"
    words = shlex.split(compiled["command"])
    assert f"-DX={flag}" in words
    assert f"-isystem/{header}" in words
    assert words[-4:] == ["-c", str(source), "-o", f"amd64/prebuilt/x{name}.bc"]
    assert shlex.split(linked["command"])[:6] == [
        "/usr/bin/llc", "-march=bpf", "-filetype=obj", "-o", f"amd64/prebuilt/x{name}.o.tmp",
        f"amd64/prebuilt/x{name}.bc",
    ]  # fmt: skip


def test_what_ninja_cannot_write_is_refused() -> None:
    with pytest.raises(ConfigError, match="line break"):
        ninja_path(Path("/a\nb"))
    with pytest.raises(ConfigError, match=r"line break or `\|`"):
        ninja_path(Path("/a|b"))
    with pytest.raises(ConfigError, match="line break"):
        text_of(Path("/a"), ("-DX=\n",))


def test_the_same_input_gives_the_same_text() -> None:
    assert text_of(Path("/a.c")) == text_of(Path("/a.c"))


def test_unstripped_objects_keep_their_debug_information() -> None:
    edge = Edges(Path("amd64/co-re/a.o"), Path("/a.c"), AMD64, Variant("co-re"), (), False)
    text = write_ninja([edge], TOOLS, [], "ccache")
    assert "build amd64/co-re/a.o: llc_unstripped amd64/co-re/a.bc" in text
    assert "clang = ccache /usr/bin/clang" in text
    assert "llvmstrip" not in text.partition("rule llc_unstripped")[2].partition("\n\n")[0]


# --- what ninja prints -------------------------------------------------------------------------------


def screen(output: NinjaOutput) -> bytes:
    """What ninja 1.13 prints on a terminal: two edges, the second of which fails."""
    mark = output.status.partition("|")[0].encode()
    return (
        b"\r%(m)s|0|2@a.bc\x1b[K\r%(m)s|1|2@a.bc\x1b[K\r%(m)s|1|2@'b c.bc'\x1b[K\r%(m)s|2|2@'b c.bc'\x1b[K\n"
        b"\x1b[31mFAILED: [code=1] \x1b[0m'b c.bc' \n/usr/bin/clang -x\n"
        b"b.c:1:1: error: no\n1 error generated.\n"
        b"ninja: build stopped: subcommand failed.\n" % {b"m": mark}
    )


@given(st.lists(st.integers(1, 60), max_size=30))
def test_output_may_be_cut_anywhere(cuts: list[int]) -> None:
    output = NinjaOutput()
    rest = screen(output)
    events: list[object] = []
    for cut in cuts:
        events += output.feed(rest[:cut])
        rest = rest[cut:]
    events += output.feed(rest)
    events += output.close()
    said = [(type(e).__name__, getattr(e, "output", None), getattr(e, "ok", None)) for e in events]
    assert said == [
        ("Planned", None, None),
        ("EdgeStarted", "a.bc", None),
        ("EdgeFinished", "a.bc", True),
        ("EdgeStarted", "b c.bc", None),
        ("EdgeFinished", "b c.bc", False),
    ]
    assert output.failed == {"b c.bc": b"b.c:1:1: error: no\n1 error generated."}
    assert output.messages == b"ninja: build stopped: subcommand failed.\n"


@given(st.binary(max_size=200))
def test_any_output_is_read_in_bounded_memory(noise: bytes) -> None:
    output = NinjaOutput()
    mark = output.status.partition("|")[0].encode()
    list(output.feed(b"\r" + mark + b"|0|1@x\x1b[K\r" + mark + b"|1|1@x\x1b[K"))
    for _ in range(20):
        list(output.feed(noise * 500))
    (event,) = list(output.close())
    assert len(event.log) <= 4 * 64 * 1024 * 2  # type: ignore[union-attr]
    assert len(output._rest) == 0
