"""What `verify` says of the programs of the kernel's self-tests that its verifier must reject.

Run: python benchmarks/verify_selftests.py SOURCE [--most FILES] [--show], as root, where SOURCE is Debian's
/usr/src/linux-source-6.12.tar.xz (apt install linux-source-6.12) or a directory where it is unpacked. The
self-tests say themselves which programs fail and with which words (__failure and __msg in progs/*.c). Each
file is compiled by the local clang against the running kernel's types; one that does not compile here is
counted. Printed: programs with the right verdict, with the expected words in the reason, with a cause and a
fix, and with the line of the kernel's own last comment (before 6.10 there is none). What takes the verifier
to its limits is left out and counted: a kernel can oops on it.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from buildgen.errors import ObjectError
from buildgen.objects.btf import BtfError, decode_btf
from buildgen.objects.elf import read_content, read_elf
from buildgen.verifier.model import ProgramVerdict
from buildgen.verifier.verify import verify_object
from core.system.interpreter import python

_SELFTESTS = "tools/testing/selftests/bpf"
_PARTS = (
    f"{_SELFTESTS}/",
    "tools/include/uapi/",
    "tools/lib/bpf/",
    "include/uapi/linux/bpf.h",
    "scripts/bpf_doc.py",
)
_AT_THE_LIMIT = frozenset(
    {"verifier_loops1", "verifier_search_pruning", "verifier_iterating_callbacks", "iters"}
)
_LIMIT_WORDS = re.compile(r"too complex|too large|jump(?:s)? is too|1000001 insn")
_NAMED_INSN = re.compile(r"alloc_insn=|insn \d+")
_COMMENT = re.compile(r"^; .* @ (\S+):(\d+)$", re.MULTILINE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("--most", type=int, default=1000, help="files at most")
    parser.add_argument("--show", action="store_true", help="print each program that lacks something")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        tree = options.source if options.source.is_dir() else unpacked(options.source, Path(scratch))
        flags = prepared(tree, Path(scratch))
        counts: Counter[str] = Counter()
        for source in chosen(tree, counts)[: options.most]:
            made = Path(scratch, "object.o")
            if subprocess.run(
                [*flags, "-c", source, "-o", made], capture_output=True, check=False
            ).returncode:
                counts["files that do not compile here"] += 1
                continue
            counts["files"] += 1
            for line in judged(made, source.stem, counts):
                if options.show:
                    print(line, flush=True)
        report(counts)
    return 0


def unpacked(archive: Path, scratch: Path) -> Path:
    """Unpack what is needed of the kernel's source, and return its directory."""
    with tarfile.open(archive) as packed:
        wanted = [one for one in packed if one.name.partition("/")[2].startswith(_PARTS)]
        packed.extractall(scratch, wanted, filter="data")
    return next(one for one in scratch.iterdir() if one.is_dir())


def prepared(tree: Path, scratch: Path) -> list[str | Path]:
    """Return the compiler's command; write vmlinux.h and libbpf's list of helpers for it."""
    include = scratch / "include"
    (include / "bpf").mkdir(parents=True)
    for name in ("bpf_helpers.h", "bpf_tracing.h", "bpf_core_read.h", "bpf_endian.h", "usdt.bpf.h"):
        (include / "bpf" / name).write_bytes((tree / "tools/lib/bpf" / name).read_bytes())
    doc = [
        *python(),
        str(tree / "scripts/bpf_doc.py"),
        "--header",
        "--file",
        str(tree / "include/uapi/linux/bpf.h"),
    ]
    listed = subprocess.run(doc, capture_output=True, check=True)
    (include / "bpf/bpf_helper_defs.h").write_bytes(listed.stdout)
    dump = ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"]
    (include / "vmlinux.h").write_bytes(subprocess.run(dump, capture_output=True, check=True).stdout)
    multiarch = next(Path("/usr/include").glob("*-linux-gnu"))
    where = (include, tree / _SELFTESTS, tree / f"{_SELFTESTS}/progs", tree / "tools/include/uapi", multiarch)
    machine = "-D__TARGET_ARCH_x86"
    common: list[str | Path] = ["clang", "-target", "bpf", "-g", "-O2", "-mcpu=v3", "-w", machine]
    return [*common, *(f"-I{one}" for one in where)]


def chosen(tree: Path, counts: Counter[str]) -> list[Path]:
    """Return the files with programs that must fail, without those at the verifier's limits."""
    files = []
    for source in sorted((tree / _SELFTESTS / "progs").glob("*.c")):
        if "__failure" not in source.read_text(errors="replace"):
            continue
        if source.stem in _AT_THE_LIMIT:
            counts["files left out: at the verifier's limits"] += 1
        else:
            files.append(source)
    return files


def expected(made: Path) -> dict[str, list[str]]:
    """Return the programs that must fail by the object's own tags, with the words of each."""
    section = read_elf(made, read_content(made)).section(b".BTF")
    btf = decode_btf(bytes(section.data) if section else b"")
    fails: dict[str, list[str]] = {}
    words: dict[str, list[str]] = {}
    for one in btf.types:
        if one.kind != "decl_tag":
            continue
        name, text = btf.name(btf[one.value]).decode(), btf.name(one).decode("utf-8", "replace")
        if text == "comment:test_expect_failure":
            fails[name] = words.setdefault(name, [])
        elif text.startswith("comment:test_expect_msg="):
            words.setdefault(name, []).append(re.sub(r"^\d+=", "", text.partition("=")[2]))
    return fails


def judged(made: Path, file: str, counts: Counter[str]) -> Iterator[str]:
    try:
        fails = expected(made)
        verdicts = {one.name: one for one in verify_object(made).programs}
    except (ObjectError, BtfError, ValueError) as error:
        counts["files that libbpf does not open"] += 1
        yield f"{file}: {error}"
        return
    for name, words in fails.items():
        one = verdicts.get(name)
        if one is None or any(_LIMIT_WORDS.search(word) for word in words):
            counts["programs left out: at the verifier's limits, or not there"] += 1
            continue
        if one.verdict == "not asked":
            counts["programs not asked (this libbpf or kernel lacks something)"] += 1
            yield f"{file}: {name}: not asked: {one.reason}"
            continue
        counts["programs"] += 1
        yield from _lacks(file, one, words, counts)


def _lacks(file: str, one: ProgramVerdict, words: list[str], counts: Counter[str]) -> Iterator[str]:
    if one.verdict != "rejected":
        yield f"{file}: {one.name}: accepted; the self-test says: {words}"
        return
    counts["rejected"] += 1
    found = [word for word in words if _matches(word, one.log)]  # this kernel may word it otherwise
    said = any(_matches(word, one.reason) for word in found) or not found
    counts["decisive words"] += said
    explained = bool(one.explained.cause and one.explained.fix)
    counts["cause and fix"] += explained
    places = _COMMENT.findall(one.log)
    named = _NAMED_INSN.search(one.reason) is not None
    place = (one.file or "").rpartition("/")[2], str(one.line)
    right = named or not places or place == places[-1] or places[-1][1] == "0"
    counts["right line"] += right
    if not (said and explained and right):
        yield (
            f"{file}: {one.name}: {one.reason} [said {said}, explained {explained}, line {right}] "
            f"expects {words}; {place} of {places[-1:]}"
        )


def _matches(word: str, reason: str) -> bool:
    """Match as test_loader.c does: {{…}} is a regular expression in a text."""
    parts = re.split(r"\{\{(.*?)\}\}", word)
    pattern = "".join(part if number % 2 else re.escape(part) for number, part in enumerate(parts))
    return re.search(pattern, reason) is not None


def report(counts: Counter[str]) -> None:
    print()
    for what in ("rejected", "decisive words", "cause and fix", "right line"):
        whole = counts["programs"] if what == "rejected" else counts["rejected"]
        print(f"{what:16} {counts[what]:5} of {whole:5}  {100 * counts[what] / max(1, whole):5.1f} %")
    for what in sorted(
        counts.keys() - {"rejected", "decisive words", "cause and fix", "right line", "programs"}
    ):
        print(f"{counts[what]:5} {what}")


if __name__ == "__main__":
    sys.exit(main())
