"""Project -> BuildPlan: the objects to make, with what, and the build.ninja that makes them.

Planning writes nothing. What stands in the way of a target (no headers for its architecture, no LLVM)
is a Diagnosis on that target, not an exception: the others can still be built.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from buildgen.arch import Arch, parse_arch
from buildgen.diagnostics import Diagnosis
from buildgen.errors import ArchError, ConfigError, ToolchainError, VmlinuxError
from buildgen.flags import BASES, FORMS, Flag, Variant, parse_variant
from buildgen.headers import HeaderDirs, HeadersNotFound, find_header_dirs
from buildgen.ninja_file import Edges, write_ninja
from buildgen.project import FILE_NAME, ObjectSpec, Project
from buildgen.toolchain import Toolchain, find_ninja, find_toolchain
from buildgen.vmlinux import cached_vmlinux, find_vmlinux, wants_vmlinux
from core.host import LOCAL, Host

State = Literal["missing", "stale", "fresh", "blocked", "unknown"]


_LONGEST_NAME = 255 - len(".o.tmp.temp-stream-123456")
"""In bytes: a file's name has at most 255, and llvm-strip writes beside the object under such a name."""


@dataclass(frozen=True, slots=True)
class Target:
    """One object of one architecture and variant. `output` is absolute, `label` the same below `out`."""

    name: str
    label: str
    output: Path
    source: Path
    arch: Arch
    variant: Variant
    state: State = "unknown"
    diagnosis: Diagnosis | None = None


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """Everything a build needs. `ninja_text` is empty when no target can be built."""

    project: Project
    out: Path
    targets: tuple[Target, ...]
    toolchain: Toolchain | None
    ninja: Path | None
    headers: tuple[HeaderDirs, ...]
    warnings: tuple[str, ...]
    ninja_text: str = field(repr=False)

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
) -> BuildPlan:
    """Plan the build of `project`, or of the part of it that is named.

    `arches` and `out` default to the project's. `variants` are names such as `prebuilt`, `co-re-debug`, or
    `debug` for that form of whatever an object has; default: what the project declares. `objects` are
    names (`process.bpf`, `process.bpf-debug.o`); default: all. Raises ConfigError when one matches nothing.
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
    return _Planner(project, host, place, specs).plan()


_Spec = tuple[ObjectSpec, Arch, Variant, Target]


def _target(out: Path, spec: ObjectSpec, arch: Arch, variant: Variant) -> Target:
    name = f"{spec.name}-{variant.form}" if variant.form else spec.name
    if (size := len(os.fsencode(name))) > _LONGEST_NAME:
        raise ConfigError(
            f"{spec.source}: {name[:20]}… has {size} bytes, and an object's name at most {_LONGEST_NAME}; "
            f"give it a shorter one with [object.NAME] in {FILE_NAME}"
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
    """A form alone (`debug`) means that form of every base the object has, declared or not."""
    if not words:
        return spec.variants
    found: dict[Variant, None] = {}
    for word in words:
        if word in FORMS[1:]:
            found.update({Variant(base, form): None for base in spec.bases for form in FORMS if form == word})
            continue
        variant = parse_variant(word)
        if variant.base in spec.bases:
            found[variant] = None
    return tuple(sorted(found, key=lambda v: (BASES.index(v.base), FORMS.index(v.form))))


def _only(specs: list[_Spec], names: Sequence[str]) -> list[_Spec]:
    """Keep the targets that are named: by object, by target, or by the end of their path."""
    if not names:
        return specs
    kept: dict[Path, _Spec] = {}
    for name in names:
        matching = [
            one
            for one in specs
            if name in (one[0].name, one[3].name, f"{one[3].name}.o", one[3].label, str(one[3].output))
            or Path(name).absolute() == one[0].source
        ]
        if not matching:
            known = ", ".join(dict.fromkeys(one[3].name for one in specs))
            raise ConfigError(f"no object {name!r}; there is {known}")
        kept.update({one[3].output: one for one in matching})
    return list(kept.values())


class _Planner:
    """Looks up what the targets need, each thing once."""

    def __init__(self, project: Project, host: Host, out: Path, specs: list[_Spec]) -> None:
        self.project = project
        self.host = host
        self.out = out
        self.specs = specs
        self.headers: dict[Arch, HeaderDirs | HeadersNotFound] = {}
        self.vmlinux: Path | VmlinuxError | None = None

    def plan(self) -> BuildPlan:
        toolchain, ninja, problem = self._tools()
        targets: list[Target] = []
        edges: list[Edges] = []
        for spec, arch, variant, target in self.specs:
            cause, fix, extra = problem or self._needs(spec, arch, variant)
            if cause:
                blocked = Diagnosis(target.label, cause, fix, str(spec.source))
                targets.append(_with(target, "blocked", blocked))
                continue
            targets.append(_with(target, "unknown" if target.output.exists() else "missing", None))
            flags = (*self._project_flags(spec, variant), *extra, *spec.flags)
            edges.append(Edges(Path(target.label), spec.source, arch, variant, flags, spec.strip))
        headers = tuple(h for h in self.headers.values() if isinstance(h, HeaderDirs))
        text = ""
        if edges and toolchain:
            used: list[tuple[Arch, Sequence[Flag]]] = [(h.arch, h.flags) for h in headers]
            text = write_ninja(edges, toolchain, used, self.project.launcher)
        warnings = dict.fromkeys(warning for h in headers for warning in h.warnings)
        return BuildPlan(
            self.project, self.out, tuple(targets), toolchain, ninja, headers, tuple(warnings), text
        )

    def _tools(self) -> tuple[Toolchain | None, Path | None, tuple[str, str, tuple[str, ...]] | None]:
        try:
            toolchain, ninja = find_toolchain(self.project.clang), find_ninja()
        except ToolchainError as error:
            return None, None, (error.cause, error.fix, ())
        return toolchain, ninja, None

    def _needs(self, spec: ObjectSpec, arch: Arch, variant: Variant) -> tuple[str, str, tuple[str, ...]]:
        """Return (cause, fix, flags): what stands in the way, or the flags for what was found."""
        if variant.base == "prebuilt":
            found = self._headers(arch)
            if isinstance(found, HeadersNotFound):
                return str(found), found.hint, ()
        elif wants_vmlinux(spec.source, self.project.include):
            own = find_vmlinux(spec.source, self.project.include, arch)
            place = own or self._generated(arch)
            if isinstance(place, VmlinuxError):
                return str(place), f"put a vmlinux.h of {arch} at include/{arch.kernel}/vmlinux.h", ()
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
                f"no vmlinux.h for {arch}, and the running kernel is of {parse_arch('local')}"
            )
        if self.vmlinux is None:
            try:
                self.vmlinux = cached_vmlinux(self.host)
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


def _with(target: Target, state: State, diagnosis: Diagnosis | None) -> Target:
    return Target(
        target.name, target.label, target.output, target.source, target.arch, target.variant, state, diagnosis
    )
