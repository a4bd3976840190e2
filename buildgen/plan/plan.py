"""Project -> BuildPlan: the objects to build, the tools for them, and the text of build.ninja.

Planning writes nothing. What blocks a target (no headers for its architecture, no LLVM) is a Diagnosis on
that target, not an exception: the others can still be built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from buildgen.diagnostics import Diagnosis
from buildgen.errors import ConfigError, ToolchainError, VmlinuxError
from buildgen.headers.find import HeaderDirs, HeadersNotFound, find_header_dirs
from buildgen.plan.ninja_file import Edges, write_ninja
from buildgen.project.flags import BASES, FORMS, Flag, Variant, parse_variant
from buildgen.project.project import FILE_NAME, ObjectSpec, Project, absolute
from buildgen.project.toolchain import Toolchain, find_ninja, find_toolchain
from buildgen.project.trust import Trust, chooses_of_the_system, judge
from buildgen.project.vmlinux import cached_vmlinux, find_vmlinux, wants_vmlinux
from core.system.arch import Arch, ArchError, parse_arch
from core.system.host import LOCAL, Host


class TargetStatus(StrEnum):
    """The state of a target. A plan sets the first five, a running build the others."""

    MISSING = "missing"
    STALE = "stale"
    FRESH = "fresh"
    BLOCKED = "blocked"
    UNKNOWN = "unknown"
    BUILDING = "building"
    BUILT = "built"
    FAILED = "failed"
    CANCELLED = "cancelled"


_LONGEST_NAME = 255 - len(".o.tmp.temp-stream-123456")
"""In bytes: a file name has at most 255, and llvm-strip writes a temporary file with this suffix."""


@dataclass(frozen=True, slots=True)
class Target:
    """One object for one architecture and variant. `output` is absolute, `label` is its path below `out`."""

    name: str
    label: str
    output: Path
    source: Path
    arch: Arch
    variant: Variant
    state: TargetStatus = TargetStatus.UNKNOWN
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything that a build needs. `ninja_text` is empty if no target can be built.

    It is also empty if nothing of the project may run (yet): then `held_back` is one line that says why.
    """

    project: Project
    out: Path
    targets: tuple[Target, ...]
    toolchain: Toolchain | None
    ninja: Path | None
    headers: tuple[HeaderDirs, ...]
    warnings: tuple[str, ...]
    ninja_text: str = field(repr=False)
    trust: Trust = field(default_factory=lambda: Trust(Path("/")))
    held_back: str = ""

    @property
    def ninja_file(self) -> Path:
        return self.out / "build.ninja"

    @property
    def blocked(self) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.diagnosis is not None)


def plan(
    project: Project,
    *,
    host: Host = LOCAL,
    arches: Sequence[str | Arch] | None = None,
    variants: Sequence[str] | None = None,
    objects: Sequence[str] = (),
    out: Path | None = None,
    trust: Trust | None = None,
    looking: bool = False,
) -> BuildPlan:
    """Plan the build of `project`, or of the selected part of it.

    If others could have written the project and the user has not confirmed it (`trust`, by default judged
    here), the plan has the system's toolchain and runs nothing. `looking`: the plan is only shown, so the
    compiler that ebpf.toml names is not run; its version comes from an earlier build in this process, if any.

    `arches` and `out` default to the project's. `variants` are names such as `prebuilt`, `co-re-debug`, or
    `debug` for that form of each base of an object; default: those declared in the project. `objects` are
    names (`process.bpf`, `process.bpf-debug.o`); default: all. Raises ConfigError if one matches nothing.
    """
    place = Path(project.root, out) if out else project.out
    wanted = _wanted_arches(project, arches)
    specs = [
        (spec, arch, variant, _target(place, spec, arch, variant))
        for arch in wanted
        for spec in project.objects
        for variant in _wanted_variants(spec, variants)
    ]
    if not specs:
        raise ConfigError(f"no object of {project.name} has the variant {' or '.join(variants or ())}")
    specs = _only(specs, objects)
    return _Planner(project, host, place, trust or judge(project), looking=looking).plan(specs)


_Spec = tuple[ObjectSpec, Arch, Variant, Target]

_ASKED: dict[str, Toolchain] = {}
"""Compilers named in an ebpf.toml, with their versions as found by builds of this process."""


def _target(out: Path, spec: ObjectSpec, arch: Arch, variant: Variant) -> Target:
    name = f"{spec.name}-{variant.form}" if variant.form else spec.name
    if (size := len(os.fsencode(name))) > _LONGEST_NAME:
        raise ConfigError(
            f"{spec.source}: the object name {name[:20]}… has {size} bytes, more than {_LONGEST_NAME}; "
            f"shorten it with [object.NAME] in {FILE_NAME}"
        )
    label = f"{arch.name}/{variant.base}/{name}.o"
    return Target(name, label, out / label, spec.source, arch, variant)


def _wanted_arches(project: Project, arches: Sequence[str | Arch] | None) -> tuple[Arch, ...]:
    if not arches:
        return project.arches
    try:
        return tuple(dict.fromkeys(parse_arch(word) for word in arches))
    except ArchError as error:
        raise ConfigError(str(error)) from error


def _wanted_variants(spec: ObjectSpec, words: Sequence[str] | None) -> tuple[Variant, ...]:
    """Return the variants for these words; a form alone (`debug`) means that form of every base."""
    if not words:
        return spec.variants
    wanted: dict[Variant, None] = {}
    for word in words:
        if word in FORMS[1:]:
            wanted.update(
                {Variant(base, form): None for base in spec.bases for form in FORMS if form == word}
            )
            continue
        variant = parse_variant(word)
        if variant.base in spec.bases:
            wanted[variant] = None
    return tuple(sorted(wanted, key=lambda v: (BASES.index(v.base), FORMS.index(v.form))))


def _only(specs: list[_Spec], names: Sequence[str]) -> list[_Spec]:
    """Return the targets named by object, target, label, output path or source path."""
    if not names:
        return specs
    kept: dict[Path, _Spec] = {}
    for name in names:
        matching = [
            entry
            for entry in specs
            if name in (entry[0].name, *_names_of(entry[3])) or absolute(name) == entry[0].source
        ]
        if not matching:
            available = ", ".join(dict.fromkeys(target.name for _, _, _, target in specs))
            raise ConfigError(f"no object {name!r}; available: {available}")
        kept.update({entry[3].output: entry for entry in matching})
    return list(kept.values())


def _names_of(target: Target) -> tuple[str, ...]:
    return target.name, f"{target.name}.o", target.label, str(target.output)


class _Planner:
    """Looks up headers, tools and vmlinux.h for the targets, each only once."""

    def __init__(self, project: Project, host: Host, out: Path, trust: Trust, *, looking: bool) -> None:
        self.trust = trust
        self.looking = looking
        self.held_back = "" if trust.may_build else trust.refusal
        self.project = project
        self.host = host
        self.out = out
        self.headers: dict[Arch, HeaderDirs | HeadersNotFound] = {}
        self.vmlinux: Path | VmlinuxError | None = None

    def plan(self, specs: list[_Spec]) -> BuildPlan:
        toolchain, ninja, problem = self._tools()
        targets: list[Target] = []
        edges: list[Edges] = []
        for spec, arch, variant, target in specs:
            if self.held_back:
                targets.append(_with(target, _unasked(target), None))
                continue
            cause, fix, extra = problem or self._needs(spec, arch, variant)
            if cause:
                blocked = Diagnosis(target.label, cause, fix, str(spec.source))
                targets.append(_with(target, TargetStatus.BLOCKED, blocked))
                continue
            targets.append(_with(target, _unasked(target), None))
            flags = (*self._project_flags(spec, variant), *extra, *spec.flags)
            edges.append(Edges(Path(target.label), spec.source, arch, variant, flags, spec.strip))
        headers = tuple(h for h in self.headers.values() if isinstance(h, HeaderDirs))
        text = ""
        if edges and toolchain:
            used: list[tuple[Arch, Sequence[Flag]]] = [(h.arch, h.flags) for h in headers]
            text = write_ninja(edges, toolchain, used, self.project.launcher)
        warnings = dict.fromkeys(warning for h in headers for warning in h.warnings)
        return BuildPlan(
            self.project,
            self.out,
            tuple(targets),
            toolchain,
            ninja,
            headers,
            tuple(warnings),
            text,
            self.trust,
            self.held_back,
        )

    def _tools(self) -> tuple[Toolchain | None, Path | None, tuple[str, str, tuple[str, ...]] | None]:
        try:
            return self._toolchain(), find_ninja(root=self.project.root, owner=self.trust.builder), None
        except ToolchainError as error:
            return None, None, (error.cause, error.fix, ())

    def _toolchain(self) -> Toolchain | None:
        """Return the LLVM to build with; for an unconfirmed project the system's own.

        None: the project names its own LLVM, which runs only for a build.
        """
        root, choice = self.project.root, self.project.clang
        if not self.trust.may_build:
            return find_toolchain(root=root)
        owner = self.trust.builder
        if choice is None or os.environ.get("EBPF_CLANG") or chooses_of_the_system(choice):
            return find_toolchain(choice, root=root, owner=owner)
        if not self.looking:
            _ASKED[choice] = find_toolchain(choice, root=root, owner=owner)
        elif choice not in _ASKED:
            self.held_back = f"{self.project.file}: clang: {choice} runs only during a build"
        return _ASKED.get(choice)

    def _needs(self, spec: ObjectSpec, arch: Arch, variant: Variant) -> tuple[str, str, tuple[str, ...]]:
        """Return (cause, fix, flags): what blocks the target, or the flags for its headers."""
        if variant.base == "prebuilt":
            headers = self._headers(arch)
            if isinstance(headers, HeadersNotFound):
                return str(headers), headers.hint, ()
        elif wants_vmlinux(spec.source, self.project.include):
            own = find_vmlinux(spec.source, self.project.include, arch)
            place = own or self._generated(arch)
            if isinstance(place, VmlinuxError):
                return str(place), f"put a vmlinux.h for {arch} at include/{arch.kernel}/vmlinux.h", ()
            return "", "", (f"-I{place}",)
        return "", "", ()

    def _headers(self, arch: Arch) -> HeaderDirs | HeadersNotFound:
        if arch not in self.headers:
            try:
                self.headers[arch] = find_header_dirs(
                    self.host, minimal=self.project.minimal_kernel, arch=arch
                )
            except HeadersNotFound as error:
                self.headers[arch] = error
        return self.headers[arch]

    def _generated(self, arch: Arch) -> Path | VmlinuxError:
        if arch != parse_arch("local"):
            return VmlinuxError(
                f"no vmlinux.h for {arch}, and the running kernel is for {parse_arch('local')}"
            )
        if self.vmlinux is None:
            try:
                self.vmlinux = cached_vmlinux(self.host, self.trust.builder)
            except VmlinuxError as error:
                self.vmlinux = error
        return self.vmlinux

    def _project_flags(self, spec: ObjectSpec, variant: Variant) -> tuple[str, ...]:
        own = [f"-I{spec.source.parent}"] if variant.base == "co-re" else []
        return (
            *own,
            *(f"-I{path}" for path in self.project.include),
            *(f"-D{name}={value}" for name, value in self.project.defines),
        )


def _with(target: Target, state: TargetStatus, diagnosis: Diagnosis | None) -> Target:
    return Target(
        target.name, target.label, target.output, target.source, target.arch, target.variant, state, diagnosis
    )


def _unasked(target: Target) -> TargetStatus:
    """Return the state of a target before ninja has checked it."""
    return TargetStatus.UNKNOWN if target.output.exists() else TargetStatus.MISSING
