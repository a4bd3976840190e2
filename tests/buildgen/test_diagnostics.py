"""Failures made by the real tools, and what is said about them."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from buildgen.diagnostics import Diagnosis, diagnose
from buildgen.headers.find import HeaderDirs, HeadersNotFound, find_header_dirs
from core.system.arch import parse_arch
from tests.buildgen.ebpf_sources import EMBEDDED_BY_TAG
from tests.buildgen.objects.libbpf_view import library
from tests.work import LINEAR, TIMES, growth

GPL_ONLY = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("raw_tp/sys_enter") int f(void *ctx) { return (int)bpf_probe_read_kernel(0, 0, 0); }
char LICENSE[] SEC("license") = "Proprietary";
"""
MULTIARCH = f"-idirafter/usr/include/{parse_arch('local').triple}"
CORE = "struct s { int a; };\nint f(struct s *s) { return *__builtin_preserve_access_index(&s->a); }\n"
TYPES = "typedef unsigned char __u8; typedef unsigned int __u32; typedef unsigned long long __u64;\n"


@pytest.fixture(scope="module")
def headers(needs_llvm: None) -> HeaderDirs:
    try:
        return find_header_dirs()
    except HeadersNotFound as error:
        pytest.skip(str(error))


def clang(tmp_path: Path, source: str, *flags: str) -> bytes:
    """Compile, and return what clang says; it has to fail."""
    file = tmp_path / "prog.c"
    file.write_text(source)
    command = ["clang", "-O2", "-emit-llvm", *flags, "-c", str(file), "-o", str(tmp_path / "prog.bc")]
    made = subprocess.run(command, capture_output=True, check=False)
    assert made.returncode != 0, "it compiles"
    return made.stderr


def said(log: bytes, arch: str = "local") -> Diagnosis:
    found = diagnose("x.bc", log, parse_arch(arch))
    assert found.known, log.decode(errors="replace")
    return found


def test_asm_types(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, "#include <linux/types.h>\n", "-target", "bpf"))
    assert "asm/types.h" in found.cause
    assert parse_arch("local").triple in found.fix
    assert "ln -s" not in found.fix
    assert found.file == "/usr/include/linux/types.h"


def test_only_the_arch_half(tmp_path: Path, headers: HeaderDirs) -> None:
    if len(headers.trees) < 2:
        pytest.skip("these headers are not split")
    half = [f"-isystem{path}" for path in headers.dirs if path.is_relative_to(headers.trees[0])]
    found = said(clang(tmp_path, "#include <linux/kconfig.h>\n", "-D__KERNEL__", *half))
    assert "only the arch half" in found.cause
    assert (found.file, found.line) == (str(tmp_path / "prog.c"), 1)


def test_only_the_common_half(tmp_path: Path, headers: HeaderDirs) -> None:
    if len(headers.trees) < 2:
        pytest.skip("these headers are not split")
    half = [f"-isystem{path}" for path in headers.dirs if path.is_relative_to(headers.trees[1])]
    found = said(clang(tmp_path, "#include <linux/kconfig.h>\n", "-D__KERNEL__", *half))
    assert "only the common half" in found.cause


def kernel_flags(headers: HeaderDirs) -> list[str]:
    return ["-D__KERNEL__", "-include", "linux/kconfig.h", *(flag.flag for flag in headers.flags)]


def test_kernel_headers_compiled_for_bpf(tmp_path: Path, headers: HeaderDirs) -> None:
    source = "#include <linux/sched.h>\nint f(void) { return hweight32(5); }\n"
    found = said(clang(tmp_path, source, "-target", "bpf", *kernel_flags(headers)))
    assert "compiled for BPF" in found.cause


def test_headers_of_another_architecture(tmp_path: Path, headers: HeaderDirs) -> None:
    if headers.arch.name != "amd64":
        pytest.skip("written for x86 headers")
    source = (
        '#include <linux/types.h>\nint f(void) { register int a asm("esp"); asm("" : "=r"(a)); return a; }\n'
    )
    found = said(clang(tmp_path, source, "-target", "aarch64", *kernel_flags(headers)), "arm64")
    assert "not for the compiler's target architecture, arm64" in found.cause


def test_no_target_arch(tmp_path: Path, needs_llvm: None) -> None:
    source = f"""{TYPES}
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
int f(struct pt_regs *ctx) {{ return PT_REGS_PARM1(ctx); }}
"""
    found = said(clang(tmp_path, source, "-target", "bpf", MULTIARCH))
    assert f"__TARGET_ARCH_{parse_arch('local').kernel}" in found.fix


def test_types_of_another_architecture(tmp_path: Path, needs_llvm: None) -> None:
    source = """
#include <linux/bpf.h>
struct pt_regs { long di; };
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
int f(struct pt_regs *ctx) { return PT_REGS_PARM1(ctx); }
"""
    found = said(clang(tmp_path, source, "-target", "bpf", "-D__TARGET_ARCH_arm64", MULTIARCH), "arm64")
    assert "user_pt_regs of arm64" in found.cause
    assert "include/arm64/vmlinux.h" in found.fix


def test_no_vmlinux(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, '#include "vmlinux.h"\n', "-target", "bpf"))
    assert "no vmlinux.h" in found.cause


def test_libbpf_headers_are_missing(tmp_path: Path, needs_llvm: None) -> None:
    source = "#include <bpf/bpf_helpers.h>\n"
    found = said(clang(tmp_path, source, "-target", "bpf", "-nostdinc"))
    assert "bpf/bpf_helpers.h is not installed" in found.cause
    assert "libbpf" in found.fix


def test_helpers_before_their_types(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, "#include <bpf/bpf_helpers.h>\n", "-target", "bpf"))
    assert "before the types it needs" in found.cause


def test_co_re_without_debug_information(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, CORE, "-target", "bpf"))
    assert "without -g" in found.cause


def test_co_re_against_kernel_headers(tmp_path: Path, needs_llvm: None) -> None:
    source = (
        "struct s { int a, b; };\nint f(struct s *s) { return *__builtin_preserve_access_index(&s->b); }\n"
    )
    (tmp_path / "p.c").write_text(source)
    subprocess.run(["clang", "-g", "-O2", "-emit-llvm", "-c", "p.c"], cwd=tmp_path, check=True)
    made = subprocess.run(
        ["llc", "-march=bpf", "-filetype=obj", "p.bc"], cwd=tmp_path, capture_output=True, check=False
    )
    assert made.returncode != 0
    assert "uses CO-RE but is built against kernel headers" in said(made.stderr).cause


def test_a_header_of_the_projects_own(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, '#include "own/thing.h"\n', "-target", "bpf"))
    assert found.cause == "no include directory contains own/thing.h"
    assert "`include`" in found.fix


def test_a_type_that_is_only_declared(tmp_path: Path, needs_llvm: None) -> None:
    source = "struct later;\nint f(struct later *l) { return l->x; }\n"
    assert (
        "struct later is declared, but no header that this source includes defines it"
        in said(clang(tmp_path, source)).cause
    )


def test_a_generation_of_instructions_that_llvm_does_not_know(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, "int x;\n", "-target", "bpf", "-mcpu=v9"))
    assert "-mcpu=v3" in found.fix


def majors_here(tool: str) -> list[int]:
    return [major for major in range(11, 30) if shutil.which(f"{tool}-{major}")]


@pytest.mark.parametrize("form", ["opaque pointers", "debug information"])
def test_bitcode_of_a_newer_llvm(tmp_path: Path, needs_llvm: None, form: str) -> None:
    """Every pair of majors that is here: an older llc reads a newer clang's bitcode, or says why not."""
    pairs = [(new, old) for new in majors_here("clang") for old in majors_here("llc") if new > old]
    if not pairs:
        pytest.skip("no clang newer than an llc here")
    (tmp_path / "prog.c").write_text("char *f(char **p) { return *p; }\n")
    flags = ["-g", "-O2"] if form == "debug information" else []
    refused = 0
    for newer, older in pairs:
        command = [f"clang-{newer}", "-target", "bpf", *flags, "-emit-llvm", "-c", "prog.c"]
        subprocess.run(command, cwd=tmp_path, check=True)
        made = subprocess.run(
            [f"llc-{older}", "-march=bpf", "-filetype=obj", "prog.bc"],
            cwd=tmp_path,
            capture_output=True,
            check=False,
        )
        if made.returncode != 0:
            refused += 1
            assert "newer than the llc" in said(made.stderr).cause, (newer, older, made.stderr)
    assert refused


def test_a_warning_that_is_an_error(tmp_path: Path, needs_llvm: None) -> None:
    source = "int f(int *p) { int never; return never; }\n"
    found = said(clang(tmp_path, source, "-Wall", "-Werror"))
    assert found.cause.startswith("a warning that is treated as an error: variable 'never' is uninitialized")
    (flag,) = [word.strip('[]"') for word in found.fix.split() if "-Wno-error=" in word]
    made = ["clang", "-Wall", "-Werror", flag, "-c", str(tmp_path / "prog.c"), "-o", str(tmp_path / "prog.o")]
    assert subprocess.run(made, capture_output=True, check=False).returncode == 0


def test_a_type_of_a_variable_that_is_only_declared(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, "int f(void) { struct later l; return sizeof(l); }\n"))
    assert "struct later is declared, but no header that this source includes defines it" in found.cause


def test_a_field_that_has_another_name(tmp_path: Path, needs_llvm: None) -> None:
    source = "struct thing { int now; };\nint f(struct thing *t) { return t->before; }\n"
    found = said(clang(tmp_path, source))
    assert "struct thing has no field before" in found.cause
    assert (found.line, Path(found.file or "").name) == (2, "prog.c")


@pytest.mark.parametrize(
    "flags", [("-Wall", "-Werror"), ("-Werror", "-fms-extensions", "-fno-ms-extensions"), ()]
)
def test_a_struct_that_is_embedded_by_its_tag(
    tmp_path: Path, needs_llvm: None, flags: tuple[str, ...]
) -> None:
    source = EMBEDDED_BY_TAG + "int f(struct outer *o) { return o->second; }\n"
    found = said(clang(tmp_path, source, *flags))
    assert "struct inner is embedded by its tag alone" in found.cause
    assert "-fms-extensions -Wno-microsoft" in found.fix
    assert (found.line, Path(found.file or "").name) == (4 if flags else 5, "prog.c")


def test_a_struct_that_is_defined_where_it_is_embedded(tmp_path: Path, needs_llvm: None) -> None:
    source = "struct outer {\n struct inner {\n  int second;\n };\n int last;\n};\n"
    found = said(clang(tmp_path, source + "int f(struct outer *o) { return o->second; }\n", "-Werror"))
    assert "struct inner is embedded by its tag alone" in found.cause


def test_a_declaration_of_nothing_is_no_embedded_struct(tmp_path: Path, needs_llvm: None) -> None:
    found = said(clang(tmp_path, "struct s { int; int a; };\n", "-Werror"))
    assert found.cause.startswith(
        "a warning that is treated as an error: declaration does not declare anything"
    )


def test_damaged_bitcode(tmp_path: Path, needs_llvm: None) -> None:
    (tmp_path / "x.bc").write_bytes(b"BC\xc0\xde" + bytes(60))
    made = subprocess.run(["llc", "-march=bpf", "x.bc"], cwd=tmp_path, capture_output=True, check=False)
    assert made.returncode != 0
    found = diagnose("x.o", made.stderr)
    assert "error" in found.cause or found.known


# --- what libbpf says --------------------------------------------------------------------------------


def loaded(path: Path) -> bytes:
    """Load an object with libbpf, and return what it prints; nothing stays loaded."""
    lib = library()
    lines: list[bytes] = []
    vsnprintf = ctypes.CDLL(None).vsnprintf
    vsnprintf.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_void_p)

    def hear(_level: int, form: bytes, arguments: int) -> int:
        buffer = ctypes.create_string_buffer(65536)
        vsnprintf(buffer, len(buffer), form, arguments)
        lines.append(buffer.value)
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(hear)
    lib.libbpf_set_print(callback)
    lib.bpf_object__load.argtypes = (ctypes.c_void_p,)
    opened = lib.bpf_object__open(str(path).encode())
    if opened:
        lib.bpf_object__load(opened)
        lib.bpf_object__close(opened)
    lib.libbpf_set_print(None)
    return b"".join(lines)


def compiled(tmp_path: Path, source: str, *flags: str, strip: str | None = None) -> Path:
    (tmp_path / "prog.c").write_text(source)
    made = tmp_path / "prog.o"
    command = [
        "clang",
        "-O2",
        "-target",
        "bpf",
        MULTIARCH,
        *flags,
        "-c",
        str(tmp_path / "prog.c"),
        "-o",
        str(made),
    ]
    subprocess.run(command, check=True)
    if strip is not None:
        subprocess.run(["llvm-strip", *strip.split(), made], check=True)
    return made


MAP = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, int);
    __type(value, int);
} m SEC(".maps");
SEC("raw_tp/sys_enter") int f(void *ctx) { int k = 0; return !!bpf_map_lookup_elem(&m, &k); }
char LICENSE[] SEC("license") = "GPL";
"""


def test_no_btf(tmp_path: Path, needs_llvm: None) -> None:
    found = said(loaded(compiled(tmp_path, MAP)))
    assert "no BTF" in found.cause
    assert "-g" in found.fix


def test_stripped_too_much(tmp_path: Path, needs_llvm: None) -> None:
    found = said(loaded(compiled(tmp_path, MAP, "-g", strip="")))
    assert "symbol table" in found.cause
    assert "llvm-strip -g" in found.fix


def test_the_other_byte_order(tmp_path: Path, needs_llvm: None) -> None:
    other = "bpfel" if parse_arch("local").big_endian else "bpfeb"
    (tmp_path / "p.c").write_text(
        'int f(void *c) { return 0; }\nchar L[] __attribute__((section("license"))) = "GPL";\n'
    )
    made = tmp_path / "p.o"
    subprocess.run(
        ["clang", "-O2", "-target", other, "-g", "-c", str(tmp_path / "p.c"), "-o", str(made)], check=True
    )
    assert "byte order of another architecture" in said(loaded(made)).cause


def test_licence(tmp_path: Path, needs_llvm: None) -> None:
    log = loaded(compiled(tmp_path, GPL_ONLY, "-g"))
    if b"rejected" not in log and b"GPL" not in log:
        pytest.skip("programs cannot be loaded here")
    found = said(log)
    assert "GPL-compatible" in found.cause
    assert '"Dual BSD/GPL"' in found.fix


def test_a_field_that_the_kernel_does_not_have(tmp_path: Path, needs_llvm: None) -> None:
    source = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
struct task_struct { int no_such_field; } __attribute__((preserve_access_index));
SEC("tp_btf/sched_process_exec") int f(__u64 *ctx) { return ((struct task_struct *)ctx[0])->no_such_field; }
char LICENSE[] SEC("license") = "GPL";
"""
    log = loaded(compiled(tmp_path, source, "-g"))
    if b"195896080" not in log and b"relo" not in log:
        pytest.skip("programs cannot be loaded here")
    assert "no struct task_struct.no_such_field: a CO-RE relocation" in said(log).cause


# --- what was recorded: tools that are too old to be had -----------------------------------------------


@pytest.mark.parametrize(
    ("log", "cause"),
    [
        (b"a.h:1:2: error: 'asm goto' constructs are not supported yet\n", "too old"),
        (b"a.h:1:2: error: expected '(' after 'asm'\n", "asm_inline"),
        (b"error: Opaque pointers are only supported in -opaque-pointers mode (Producer: 'LLVM16.0.6' "
         b"Reader: 'LLVM 14.0.6')\n", "newer than the llc"),
        (b"error: attribute 'preserve_access_index' is not supported by '#pragma clang attribute'\n", "old"),
        (b"libbpf: Unsupported BTF_KIND:19\n", "older than the BTF"),
        (b"prog 'f': relo #0: no matching targets found\ninvalid func unknown#195896080\n", "did not match"),
        (b"chdir(/lib/modules/6.1/build): No such file or directory\n", "/lib/modules"),
        (b"/bin/sh: 1: ccache: not found\n", "ccache cannot be run"),
        (b"LLVM ERROR: IO failure on output stream: No space left on device\n", "disk is full"),
    ],
)  # fmt: skip
def test_recorded(log: bytes, cause: str) -> None:
    assert cause in said(log).cause


# --- what nobody knows -------------------------------------------------------------------------------


def test_an_unknown_failure_says_so_and_shows_the_first_error() -> None:
    found = diagnose(
        "x.bc",
        b"In file included from b.c:1:\n/s/a b:c.h:12:3: error: strange thing\nb.c:9:9: error: second\n",
    )
    assert not found.known
    assert "strange thing" in found.cause
    assert (found.file, found.line) == ("/s/a b:c.h", 12)
    assert diagnose("x", b"").cause == "failed with no output"
    assert "Segmentation" in diagnose("x", b"\n\nSegmentation fault\n").cause


def test_nothing_in_a_log_can_steer_the_terminal() -> None:
    found = diagnose("x", b"\x1b[2J.c:1:1: error: \x1b]0;evil\x07 \xe2\x80\xae\n")
    assert "\x1b" not in found.cause + found.fix
    assert found.cause.isprintable()
    known = diagnose("x", b"fatal error: 'bpf/\x1b[2J' file not found\n/bin/sh: 1: \x1b[2J: not found\n")
    assert (known.cause + known.fix).isprintable()


@pytest.mark.parametrize(
    "line",
    [
        b"error: a]",
        b"error: a [-Werror,-W",
        b'bpf_helper_defs.h:"',
        b"a:1:1:",
        b"1 error",
        b"failed not found ",
    ],
)
def test_the_work_for_one_long_line_is_linear(line: bytes) -> None:
    """A compiler's launcher, or a source with #error, may print any line."""

    def explain(log: bytes) -> object:
        return diagnose("x.o", log)

    small = line * (4096 // len(line))
    assert growth(explain, small, small * TIMES) < LINEAR
