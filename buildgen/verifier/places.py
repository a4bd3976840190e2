"""Where in the source something in the verifier's log is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from buildgen.objects.model import CoreRelocation, LineInfo, ObjectFile, Program
from buildgen.verifier.log import Log, Step
from core.text.safe import safe_text

_NAMED_INSN = re.compile(
    r"alloc_insn=(\d{1,9})|(?:unreachable|infinite loop detected at|middle of ldimm64|"
    r"invalid bpf_ld_imm64) insn (\d{1,9})|"
    r"(?:back-edge|jump out of range) from insn (\d{1,9})|^insn (\d{1,9}) "
)


class Places:
    """The programs of an object, and what it says of its instructions, by section: made once for all."""

    def __init__(self, found: ObjectFile) -> None:
        self.programs = {program.name: program for program in found.programs}
        self.maps = {one.name: one for one in found.maps}
        self.relocations = {(one.section, one.insn): one for one in reversed(found.core_relocations)}
        self._lines: dict[str, list[LineInfo]] = {}
        self._by_text: dict[str, LineInfo] = {}
        self._by_number: dict[tuple[str, int], LineInfo] = {}
        for line in found.lines:
            self._lines.setdefault(line.section, []).append(line)
            self._by_text.setdefault(line.text, line)
            self._by_number.setdefault((line.file.rpartition("/")[2], line.line), line)

    def of_insn(self, program: Program, insn: int) -> LineInfo | None:
        """Return the line of an instruction of a program, counted from the program's first."""
        inside = [one for one in self._lines.get(program.elf_section, ()) if one.insn >= program.offset]
        return line_of(inside, program.offset + insn)

    def of_step(self, program: Program | None, step: Step) -> LineInfo | None:
        """Return the line of a step of the verifier.

        The program's own instructions have the numbers of the object; those of functions that it calls were
        put behind them by libbpf, and are found by the line that the kernel itself names, by its text before
        Linux 6.10.
        """
        if program is not None and step.insn < program.insns:
            return self.of_insn(program, step.insn)
        if step.file is not None and step.line:
            return self._by_number.get((safe_text(step.file), step.line))
        return self._by_text.get(safe_text(step.source, 400)) if step.source else None

    def of_relocation(self, program: Program, insn: int, relocation: CoreRelocation) -> LineInfo | None:
        """Return the line that names the field of a CO-RE relocation, nearest to its instruction.

        The compiler moves the offset of a field about, so that line is nearer to the truth than the number.
        """
        inside = [one for one in self._lines.get(program.elf_section, ()) if one.insn >= program.offset]
        field = relocation.access.rpartition(".")[2]
        naming = [
            one for one in inside if field and one.line and re.search(rf"\b{re.escape(field)}\b", one.text)
        ]
        near = min(naming, key=lambda one: abs(one.insn - program.offset - insn), default=None)
        return near or line_of(inside, program.offset + insn)

    def of_decision(self, program: Program | None, log: Log) -> LineInfo | None:
        """Return the line of a decision: that of the instruction which it names, or the last one."""
        for line in log.decisive:
            if found := _NAMED_INSN.search(line):
                insn = int(next(digits for digits in found.groups() if digits))
                steps = [step for step in log.steps if step.insn == insn]
                if steps and (place := self.of_step(program, steps[-1])):
                    return place
                if program is not None and insn < program.insns:
                    return self.of_insn(program, insn)
        if log.steps:
            return self.of_step(program, log.steps[-1])
        return self.of_insn(program, 0) if program is not None and log.decisive else None


def line_of(lines: Sequence[LineInfo], insn: int) -> LineInfo | None:
    """Return where an instruction comes from; `lines` are of one section.

    The compiler gives line 0 to what it made itself: that mostly prepares what comes next.
    """
    before = max((one for one in lines if one.insn <= insn), key=lambda one: one.insn, default=None)
    if before is not None and before.line:
        return before
    later = (one for one in lines if one.insn > insn and one.line)
    return min(later, key=lambda one: one.insn, default=None)
