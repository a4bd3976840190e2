"""Builds the kernel's samples and self-tests with buildgen and with hand-written commands.

Run: python benchmarks/build_real.py KERNEL_SOURCE [ARM64] [--keep DIR]. KERNEL_SOURCE is an unpacked
linux-source; ARM64 is a directory with Debian's header packages for arm64 (`dpkg -x` of each), for which the
samples are built as well. --keep keeps the objects in DIR, one directory per set; inspect_real.py compares
them with libbpf and LLVM.
Prints how many sources of each set build either way. A source that builds only by hand is listed and is a
failure. The hand-written commands are those of the kernel's Makefiles, without options for their own build.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from buildgen.events import BuildEvent, Diagnosed
from buildgen.headers.find import find_header_dirs
from buildgen.ninja.runner import run_build
from buildgen.plan.plan import plan
from buildgen.project.project import load_project
from buildgen.project.toolchain import find_toolchain
from buildgen.project.vmlinux import cached_vmlinux
from core.system.arch import Arch, local_arch, parse_arch
from core.system.host import LOCAL, Host

_CO_RE = re.compile(r"vmlinux\.h|bpf_core_read\.h|preserve_access_index|bpf_core_")
_TARGET = f"-D__TARGET_ARCH_{local_arch().kernel}"
_TRIPLE = f"/usr/include/{local_arch().triple}"


@dataclass(frozen=True)
class Set:
    """Sources of one kind (`key` in ebpf.toml), with the hand-written command that compiles them."""

    name: str
    key: str
    sources: list[Path]
    include: list[Path]
    command: list[str]
    llc: str | None = None
    arch: Arch = field(default_factory=local_arch)
    host: Host = LOCAL


def by_hand(command: list[str], source: Path, out: Path, llc: str | None) -> bool:
    """Compile one source; with `llc`, the compiler writes bitcode and llc the object."""
    made = out / f"{source.stem}.{'bc' if llc else 'o'}"
    commands = [[*command, "-c", str(source), "-o", str(made)]]
    if llc:
        commands.append([llc, "-march=bpf", "-filetype=obj", "-o", str(made.with_suffix(".o")), str(made)])
    return all(subprocess.run(step, capture_output=True, check=False).returncode == 0 for step in commands)


def by_us(made: Path, chosen: Set) -> tuple[set[str], list[BuildEvent]]:
    """Build the same sources as a project; return the names of the objects, and the build events."""
    project = {
        chosen.key: [str(source) for source in chosen.sources],
        "include": [str(path) for path in chosen.include],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in project.items()]
    (made / "ebpf.toml").write_text("\n".join(["[project]", *lines]))
    planned = plan(load_project(made), host=chosen.host, arches=[chosen.arch])
    events = list(run_build(planned, keep_going=True))
    return {target.source.stem for target in planned.targets if target.output.exists()}, events


def compare(chosen: Set, keep: Path | None) -> bool:
    """Build a set both ways and print the counts; return whether we build everything that builds by hand."""
    sources = chosen.sources
    with tempfile.TemporaryDirectory() as made, ThreadPoolExecutor(2) as pool:
        hand = Path(made, "hand")
        hand.mkdir()
        worked = pool.map(lambda source: by_hand(chosen.command, source, hand, chosen.llc), sources)
        theirs = {source.stem for source, ok in zip(sources, worked, strict=True) if ok}
        ours, events = by_us(Path(made), chosen)
        if keep is not None:
            shutil.copytree(Path(made, "build"), keep / chosen.name.replace(" ", "-"), dirs_exist_ok=True)
    diagnoses = [event.diagnosis for event in events if isinstance(event, Diagnosed)]
    recognised = sum(diagnosis.known for diagnosis in diagnoses)
    print(f"{chosen.name}: {len(sources)} sources, by hand {len(theirs)}, by us {len(ours)}; "
          f"{len(diagnoses)} failures, {recognised} of them recognised")  # fmt: skip
    for missing in sorted(theirs - ours):
        print(f"  only by hand: {missing}")
        print("".join(f"    {d.cause}\n" for d in diagnoses if f"/{missing}." in d.output), end="")
    for more in sorted(ours - theirs):
        print(f"  only by us: {more}")
    causes = sorted({diagnosis.cause for diagnosis in diagnoses if not diagnosis.known})
    print("".join(f"  not recognised: {cause}\n" for cause in causes), end="")
    return theirs <= ours


def self_tests(kernel: Path, clang: str) -> Set:
    tests, uapi = kernel / "tools/testing/selftests/bpf", kernel / "tools/include/uapi"
    sources = [path for path in sorted((tests / "progs").glob("*.c")) if _CO_RE.search(path.read_text())]
    command = f"{clang} -g -Werror {_TARGET} -I{cached_vmlinux()} -I{tests} -I{uapi} -idirafter {_TRIPLE} "
    command += "-Wno-compare-distinct-pointer-types -O2 -target bpf"
    return Set("CO-RE self-tests", "sources", sources, [tests, uapi], command.split())


def samples(kernel: Path, clang: str, llc: str, arch: Arch, host: Host) -> Set:
    here = kernel / "samples/bpf"
    include = [here, kernel / "tools/testing/selftests/bpf"]
    headers = " ".join(flag.flag for flag in find_header_dirs(host, arch=arch).flags)
    command = clang if arch == local_arch() else f"{clang} -target {arch.gcc}"
    command += f" {headers} -include linux/kconfig.h -include {here}/asm_goto_workaround.h "
    command += f"-I{include[0]} -I{include[1]} -D__KERNEL__ -D__BPF_TRACING__ -D__TARGET_ARCH_{arch.kernel} "
    command += "-Wno-unused-value -Wno-pointer-sign -Wno-compare-distinct-pointer-types -O2 -emit-llvm "
    command += "-Wno-gnu-variable-sized-type-not-at-end -Wno-address-of-packed-member -fno-stack-protector"
    words = [*command.split(), '-DKBUILD_MODNAME="sample"']
    sources = sorted(here.glob("*_kern.c"))
    return Set(f"samples for {arch}", "prebuilt", sources, include, words, llc, arch, host)


def main() -> int:
    words = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    words.add_argument("kernel", type=Path)
    words.add_argument("arm64", type=Path, nargs="?")
    words.add_argument("--keep", type=Path)
    asked = words.parse_args()
    kernel = asked.kernel.absolute()
    tools = find_toolchain()
    clang, llc = str(tools.clang.path), str(tools.llc.path)
    sets = [self_tests(kernel, clang), samples(kernel, clang, llc, local_arch(), LOCAL)]
    if asked.arm64:
        cross = Host(asked.arm64.absolute())
        sets.append(samples(kernel, clang, llc, parse_arch("arm64"), cross))
    fine = [compare(chosen, asked.keep) for chosen in sets]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
