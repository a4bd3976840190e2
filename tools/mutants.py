"""Breaks the modules that security rests on, one place at a time, and lists what no test notices.

    python tools/mutants.py [NAME …]      all of MODULES, or those whose path contains a NAME

Run by `make test-mutants`; not in CI. The mutations are cosmic-ray's, a choice of them that rarely changes
nothing, and each call whose result nobody uses is left out once. They are made in a copy of the checkout,
`MUTANTS_JOBS` (2) at a time, and for MUTANTS_SECONDS (900) a module: what there is no time for is a random
rest, and is counted. Exit code 1 when a mutant survives that `EXPECTED` does not explain.
"""

from __future__ import annotations

import ast
import os
import random
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import Queue

from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).resolve().parent.parent
CONTAINERS = "tests/core/containers"
MODULES = {
    "core/text/safe.py": ["tests/core/text/test_safe.py"],
    "core/text/secrets.py": ["tests/core/text/test_secrets.py"],
    "core/system/files.py": ["tests/core/system/test_files.py"],
    "core/sources/bounded_read.py": [
        "tests/core/sources/test_slow_files.py", "tests/core/sources/test_stuck.py",
    ],
    "core/sources/recording/check.py": ["tests/core/sources/test_recording.py"],
    "core/signals.py": ["tests/core/test_signals.py"],
    "buildgen/owner.py": ["tests/buildgen/test_owner.py", "tests/buildgen/project/test_trust.py"],
    "buildgen/project/trust.py": ["tests/buildgen/project/test_trust.py"],
    "buildgen/project/toolchain.py": [
        "tests/buildgen/project/test_toolchain.py", "tests/buildgen/project/test_trust.py",
    ],
    "tui/web/auth.py": ["tests/tui/web"],
    "tui/web/gate.py": ["tests/tui/web"],
    **{
        f"core/containers/{name}.py": [f"{CONTAINERS}/test_user_states.py", f"{CONTAINERS}/test_rootless.py"]
        for name in (
            "user_child", "user_folders", "user_process", "user_protocol", "user_state", "user_states",
        )
    },
}  # fmt: skip
OPERATORS = (
    *(
        f"ReplaceComparisonOperator_{change}"
        for change in (
            "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is",
        )
    ),
    "ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add",
    "ReplaceBinaryOperator_BitAnd_BitOr", "ReplaceBinaryOperator_LShift_RShift",
    "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue", "ReplaceContinueWithBreak", "NumberReplacer", "ExceptionReplacer",
)  # fmt: skip
EXPECTED: dict[tuple[str, str], str] = {
    (
        "core/text/safe.py",
        'return f"\\u{code:04x}" if code <= 65536 else f"\\U{code:08x}"',
    ): ("U+10000 is printable"),
    ("core/text/safe.py", "if code <= 256:"): "U+0100 is printable",
}
"""(module, the mutated line) -> why no test can notice; docs/testing.md has them for people."""


@dataclass(frozen=True, slots=True)
class Mutant:
    module: str
    code: str
    line: int
    was: str
    now: str


def mutants_of(module: str) -> Iterator[Mutant]:
    """Give each mutant of a module once; those of two operators may be the same text."""
    code = (ROOT / module).read_text()
    texts = [text for name in OPERATORS for text in _by_operator(code, name)] + list(_without_calls(code))
    for text in dict.fromkeys(texts):
        pairs = zip(code.splitlines(), text.splitlines(), strict=False)
        number, was, now = next((n, a, b) for n, (a, b) in enumerate(pairs, 1) if a != b)
        yield Mutant(module, text, number, was.strip(), now.strip())


def _by_operator(code: str, name: str) -> Iterator[str]:
    operator = get_operator(f"core/{name}")()
    for occurrence in range(10_000):
        changed = mutate_code(code.encode(), operator, occurrence)
        if changed is None:
            return
        yield changed.decode() if isinstance(changed, bytes) else changed


def _without_calls(code: str) -> Iterator[str]:
    """Leave out each statement that is a call, and each `raise`."""
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Raise) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            first, last = node.lineno - 1, node.end_lineno or node.lineno
            yield "\n".join([*lines[:first], " " * node.col_offset + "pass", *lines[last:]]) + "\n"


class Copies:
    """Copies of the checkout, one for each job; they are removed at the end."""

    def __init__(self, jobs: int) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="mutants."))
        self._free: Queue[Path] = Queue()
        files = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")
        for number in range(jobs):
            copy = self._folder / str(number)
            for file in filter(None, files):
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, copy / file)
            _make_environment(copy)
            self._free.put(copy)

    def survives(self, mutant: Mutant | None, tests: list[str]) -> bool:
        """Run the tests on a mutant, or on what is there; return whether all pass."""
        copy = self._free.get()
        try:
            if mutant is not None:
                (copy / mutant.module).write_text(mutant.code)
            options = ["-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=60"]
            environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
            try:
                ran = subprocess.run(
                    [copy / ".venv/bin/python", "-m", "pytest", *options, *tests],
                    cwd=copy, env=environment, capture_output=True, timeout=400, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                return False
            return ran.returncode == 0
        finally:
            if mutant is not None:
                shutil.copy2(ROOT / mutant.module, copy / mutant.module)
            self._free.put(copy)

    def remove(self) -> None:
        shutil.rmtree(self._folder)


def _make_environment(copy: Path) -> None:
    """Make an environment in which the copy is what is installed, also for children that are isolated."""
    venv.create(copy / ".venv", symlinks=True)
    ours, theirs = (Path(sysconfig.get_path("purelib", vars=base)) for base in ({}, _paths_below(copy)))
    (theirs / "copy.pth").write_text(f"{copy}\n{ours}\n")  # of ours no .pth file is read: it names ROOT


def _paths_below(copy: Path) -> dict[str, str]:
    return {"base": str(copy / ".venv"), "platbase": str(copy / ".venv")}


def check(module: str, copies: Copies, jobs: int) -> int:
    """Print what survives of one module; return how many of them nothing explains."""
    tests = MODULES[module]
    if not copies.survives(None, tests):
        print(f"{module}: its tests fail as it is", flush=True)
        return 1
    mutants = list(mutants_of(module))
    random.Random(module).shuffle(mutants)
    until = time.monotonic() + float(os.environ.get("MUTANTS_SECONDS", "900"))

    def verdict(mutant: Mutant) -> bool | None:
        return copies.survives(mutant, tests) if time.monotonic() < until else None

    with ThreadPoolExecutor(jobs) as pool:
        verdicts = list(pool.map(verdict, mutants))
    survivors = [mutant for mutant, survives in zip(mutants, verdicts, strict=True) if survives]
    unexplained = [mutant for mutant in survivors if (module, mutant.now) not in EXPECTED]
    print(
        f"{module}: {verdicts.count(False)} killed, {len(survivors)} survive,"
        f" {verdicts.count(None)} not tried",
        flush=True,
    )
    for mutant in sorted(survivors, key=lambda mutant: mutant.line):
        why = EXPECTED.get((module, mutant.now), "")
        print(f"  {mutant.line}: {mutant.was}\n    -> {mutant.now}  {why and f'({why})'}", flush=True)
    return len(unexplained)


def main() -> int:
    jobs = int(os.environ.get("MUTANTS_JOBS", "2"))
    wanted = [
        module for module in MODULES if not sys.argv[1:] or any(name in module for name in sys.argv[1:])
    ]
    copies = Copies(jobs)
    try:
        return 1 if sum(check(module, copies, jobs) for module in wanted) else 0
    finally:
        copies.remove()


if __name__ == "__main__":
    sys.exit(main())
