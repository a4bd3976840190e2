"""A project: read from `ebpf.toml`, or without one discovered from the names of the sources.

Every mistake in the file is a ConfigError that names the file, the line, the key and the valid values.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from buildgen.errors import ConfigError, KernelReleaseError
from buildgen.kernel_release import parse_kernel_release
from buildgen.project.flags import BASES, FORMS, Base, Form, Variant
from buildgen.project.toml_text import line_of, read_toml
from core.system.arch import Arch, ArchError, local_arch, parse_arch

FILE_NAME = "ebpf.toml"
DEFAULT_OUT = "build/ebpf"

_PROJECT_KEYS = (
    "name", "sources", "prebuilt", "include", "defines", "arches", "out", "minimal_kernel", "launcher",
    "clang",
)  # fmt: skip
_OBJECT_KEYS = ("sources", "flags", "variants", "strip")
_SKIPPED = frozenset({"build", "node_modules", "__pycache__", "target", "vendor"})
"""Directories that discovery skips, besides hidden ones: they contain no sources of the project itself."""
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class ObjectSpec:
    """One object: `name` is the stem of its file, `source` an absolute path."""

    name: str
    source: Path
    variants: tuple[Variant, ...]
    flags: tuple[str, ...] = ()
    strip: bool = True

    @property
    def bases(self) -> tuple[Base, ...]:
        return tuple(dict.fromkeys(variant.base for variant in self.variants))


@dataclass(frozen=True, slots=True)
class Project:
    """All paths are absolute. `file` is None if there is no ebpf.toml."""

    root: Path
    file: Path | None
    name: str
    objects: tuple[ObjectSpec, ...]
    include: tuple[Path, ...]
    defines: tuple[tuple[str, str], ...]
    arches: tuple[Arch, ...]
    out: Path
    minimal_kernel: str | None = None
    launcher: str | None = None
    clang: str | None = None


def absolute(path: Path | str) -> Path:
    """Return the absolute path. Raises ConfigError if that needs a current directory that was deleted."""
    try:
        return Path(os.path.abspath(path))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: the current directory was deleted; change to another one, or give absolute paths"
        ) from None


def load_project(directory: Path) -> Project:
    """Return the project in `directory`, from its ebpf.toml or by discovery.

    Raises ConfigError, also if there is nothing to build.
    """
    root = absolute(directory)
    if not root.is_dir():
        raise ConfigError(f"{root} is not a directory")
    file = root / FILE_NAME
    return _Reader(root, file).project() if os.path.lexists(file) else _discover(root)


# --- without a file --------------------------------------------------------------------------------


def base_by_name(source: Path) -> Base | None:
    """Return co-re for `x.bpf.c`, prebuilt for `x_kern.c` and `x-kern.c`, None for other names."""
    if source.name.endswith(".bpf.c"):
        return "co-re"
    return "prebuilt" if source.name.endswith(("_kern.c", "-kern.c")) else None


def _discover(root: Path) -> Project:
    objects = [
        ObjectSpec(source.stem, source, (Variant(base),))
        for source in sorted(_walk(root))
        if (base := base_by_name(source)) is not None
    ]
    if not objects:
        raise ConfigError(f"nothing to build in {root}: no {FILE_NAME}, no *.bpf.c, no *_kern.c or *-kern.c")
    _refuse_twins(objects, None)
    include = (root / "include",) if (root / "include").is_dir() else ()
    return Project(root, None, root.name, tuple(objects), include, (), (local_arch(),), root / DEFAULT_OUT)


def _walk(root: Path) -> Iterator[Path]:
    for directory, directories, files in os.walk(root):
        deep = len(Path(directory).relative_to(root).parts) >= _DEEPEST
        directories[:] = (
            [] if deep else [d for d in directories if d not in _SKIPPED and not d.startswith(".")]
        )
        yield from (Path(directory, name) for name in files if name.endswith(".c"))


def _refuse_twins(objects: Sequence[ObjectSpec], file: Path | None) -> None:
    """Raise ConfigError if two objects have the same output file, i.e. the same name and base."""
    seen: dict[tuple[str, Base], Path] = {}
    for spec in objects:
        for base in spec.bases:
            other = seen.setdefault((spec.name, base), spec.source)
            if other != spec.source:
                raise ConfigError(
                    f"{other} and {spec.source} would both be {spec.name}.o; "
                    f"rename one with [object.NAME] in {FILE_NAME}",
                    file=file,
                )


# --- with a file -----------------------------------------------------------------------------------


class _Reader:
    """Reads one ebpf.toml. Keeps its text to look up line numbers."""

    def __init__(self, root: Path, file: Path) -> None:
        self.root = root
        self.file = file
        self.text, self.data = read_toml(file)

    def project(self) -> Project:
        self._legal("", self.data, ("project", "object"))
        project = self._table("project", self.data.get("project", {}))
        self._legal("project", project, _PROJECT_KEYS)
        tables = self._table("object", self.data.get("object", {}))
        named = [self._object(name, self._table(f"object.{name}", table)) for name, table in tables.items()]
        objects = [*self._by_pattern(project, {spec.source for spec in named}), *named]
        if not objects:
            raise ConfigError(
                "nothing to build: set `sources` or `prebuilt` in [project], or add an [object.NAME]",
                file=self.file,
            )
        _refuse_twins(objects, self.file)
        return Project(
            root=self.root,
            file=self.file,
            name=self._text("project", project, "name") or self.root.name,
            objects=tuple(objects),
            include=tuple(self._include(project)),
            defines=tuple(self._defines(project)),
            arches=self._arches(project),
            out=self.root / (self._text("project", project, "out") or DEFAULT_OUT),
            minimal_kernel=self._minimal_kernel(project),
            launcher=self._program(project, "launcher"),
            clang=self._program(project, "clang"),
        )

    def _by_pattern(self, project: Mapping[str, Any], taken: set[Path]) -> Iterator[ObjectSpec]:
        """Yield the objects of [project], except sources that have their own [object.NAME]."""
        for key, variant in (("sources", Variant("co-re")), ("prebuilt", Variant("prebuilt"))):
            for source in self._files("project", project, key):
                if source not in taken:
                    yield ObjectSpec(source.stem, source, (variant,))

    def _object(self, name: str, table: Mapping[str, Any]) -> ObjectSpec:
        where = f"object.{name}"
        if not name.isprintable() or "/" in name or name in ("", ".", ".."):
            raise self._wrong(where, None, "is not a valid file name")
        self._legal(where, table, _OBJECT_KEYS)
        sources = self._files(where, table, "sources")
        if len(sources) != 1:
            raise self._wrong(where, "sources", f"an object has exactly one source file, not {len(sources)}")
        strip = table.get("strip", True)
        if not isinstance(strip, bool):
            raise self._wrong(where, "strip", "must be true or false")
        flags = tuple(self._texts(where, table, "flags"))
        return ObjectSpec(name, sources[0], self._variants(where, table, sources[0]), flags, strip)

    def _variants(self, where: str, table: Mapping[str, Any], source: Path) -> tuple[Variant, ...]:
        """Return the variants: `prebuilt` and `co-re` are bases, `debug` and `unit-test` add forms."""
        words = self._texts(where, table, "variants")
        for word in words:
            if word not in (*BASES, *FORMS[1:]):
                raise self._wrong(
                    where, "variants", f"{word!r} is not one of {', '.join((*BASES, *FORMS[1:]))}"
                )
        bases = [base for base in BASES if base in words] or [base_by_name(source) or "co-re"]
        forms: list[Form] = ["", *(form for form in FORMS[1:] if form in words)]
        return tuple(Variant(base, form) for base in bases for form in forms)

    def _include(self, project: Mapping[str, Any]) -> Iterator[Path]:
        for name in self._texts("project", project, "include"):
            path = Path(os.path.normpath(self.root / name))
            if not path.is_dir():
                raise self._wrong("project", "include", f"{name} is not a directory")
            yield path

    def _defines(self, project: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for name, value in self._table("project.defines", project.get("defines", {})).items():
            if not re.fullmatch(r"[A-Za-z_]\w*", name, re.ASCII):
                raise self._wrong("project.defines", name, f"{name!r} is not a valid macro name")
            if isinstance(value, bool) or not isinstance(value, str | int):
                raise self._wrong("project.defines", name, "must be a string or an integer")
            yield name, str(value)

    def _arches(self, project: Mapping[str, Any]) -> tuple[Arch, ...]:
        try:
            named = [parse_arch(word) for word in self._texts("project", project, "arches")]
        except ArchError as error:
            raise self._wrong("project", "arches", str(error)) from error
        return tuple(dict.fromkeys(named)) or (local_arch(),)

    def _minimal_kernel(self, project: Mapping[str, Any]) -> str | None:
        text = self._text("project", project, "minimal_kernel")
        try:
            return None if text is None else parse_kernel_release(text).text
        except KernelReleaseError as error:
            raise self._wrong("project", "minimal_kernel", str(error)) from error

    # --- one value ---------------------------------------------------------------------------------

    def _files(self, where: str, table: Mapping[str, Any], key: str) -> list[Path]:
        """Return the files that match the patterns, sorted; a pattern without a match is an error."""
        unique: dict[Path, None] = {}
        for pattern in self._texts(where, table, key):
            matches = [
                Path(os.path.normpath(self.root / name))
                for name in sorted(glob.glob(pattern, root_dir=self.root, recursive=True))
            ]
            files = [path for path in matches if path.is_file()]
            if not files:
                raise self._wrong(where, key, f"{pattern!r} matches no file below {self.root}")
            unique.update(dict.fromkeys(files))
        return list(unique)

    def _texts(self, where: str, table: Mapping[str, Any], key: str) -> list[str]:
        value = table.get(key, [])
        if not isinstance(value, list) or not all(
            isinstance(item, str) and "\0" not in item for item in value
        ):
            raise self._wrong(where, key, 'must be a list of strings, e.g. ["a", "b"]')
        return value

    def _text(self, where: str, table: Mapping[str, Any], key: str) -> str | None:
        value = table.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or not value or "\0" in value:
            raise self._wrong(where, key, "must be a string that is not empty")
        return value

    def _program(self, project: Mapping[str, Any], key: str) -> str | None:
        """Return a name to look up in PATH, or an absolute path: ninja runs in another directory."""
        text = self._text("project", project, key)
        if text and "/" in text:
            return str(self.root / os.path.expanduser(text))
        if text and text.split() != [text]:
            raise self._wrong("project", key, "must be a program without arguments")
        return text

    def _table(self, where: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self._wrong(where, None, "must be a table")
        return value

    def _legal(self, where: str, table: Mapping[str, Any], legal: Sequence[str]) -> None:
        for key in table:
            if key not in legal:
                raise self._wrong(where, key, f"unknown key; valid keys are {', '.join(legal)}")

    def _wrong(self, where: str, key: str | None, message: str) -> ConfigError:
        full = ".".join(part for part in (where, key) if part)
        # An object's name may contain dots: [object."a.b"].
        table = where.split(".", 1 if where.startswith("object.") else -1) if where else []
        return ConfigError(message, file=self.file, line=line_of(self.text, table, key), key=full)
