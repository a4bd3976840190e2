"""The places on a host that may contain kernel headers, before one of them is chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildgen.errors import KheadersError
from buildgen.headers.places import ARCHIVE, DIRECTORIES, places
from buildgen.headers.tree import HeaderTree, Holds, examine
from buildgen.kernel_release import KernelRelease, Version
from core.system.arch import Arch
from core.system.host import LOCAL, DanglingPathError, Host
from core.text.safe import safe_text


@dataclass(frozen=True, slots=True)
class Candidate:
    """One place that may contain headers, and the verdict on it. `path` is not resolved, `resolved` is."""

    path: Path
    resolved: Path | None
    release: str | None
    version: Version | None
    flavour: str
    holds: Holds
    chosen: bool
    reason: str


@dataclass(slots=True)
class JudgedCandidate:
    """A candidate while it is being judged."""

    path: Path
    tree: HeaderTree | None = None
    chosen: bool = False
    reason: str = ""

    @property
    def release(self) -> KernelRelease:
        """The release of the tree; only for a tree with a known version."""
        assert self.tree is not None
        assert self.tree.release is not None
        return self.tree.release

    def verdict(self, arch: Arch) -> Candidate:
        release = self.tree.release if self.tree else None
        return Candidate(
            path=self.path,
            resolved=self.tree.path if self.tree else None,
            release=safe_text(release.text) if release else None,
            version=release.version if release else None,
            flavour=safe_text(release.flavour) if release else "",
            holds=self.tree.holds(arch) if self.tree else "none",
            chosen=self.chosen,
            reason=safe_text(self.reason),
        )


def look(host: Host) -> list[JudgedCandidate]:
    """Return every candidate; those that resolve to the same directory share one tree."""
    candidates = [*_dangling(host)]
    seen: dict[Path, JudgedCandidate] = {}
    for name, module_release in places(host):
        candidate = JudgedCandidate(host.path(name))
        candidates.append(candidate)
        try:
            resolved = host.realpath(name)
        except DanglingPathError as error:
            candidate.reason = _leads_nowhere(host, error)
            continue
        except OSError as error:
            candidate.reason = str(error)
            continue
        if not resolved.is_dir():
            candidate.reason = "not a directory"
        elif first := seen.get(resolved):
            candidate.tree, candidate.reason = first.tree, f"the same directory as {first.path}"
        else:
            candidate.tree = examine(host, resolved, module_release)
            seen[resolved] = candidate
    return candidates


def _leads_nowhere(host: Host, error: DanglingPathError) -> str:
    return f"broken link: {error.missing} does not exist" + (
        "" if host.is_local else f" below {host.root}; mount it there"
    )


def _dangling(host: Host) -> Iterator[JudgedCandidate]:
    """Yield each directory of candidates that is itself a broken link."""
    for directory in DIRECTORIES:
        if host.path(directory).is_symlink():
            try:
                host.realpath(directory)
            except DanglingPathError as error:
                yield JudgedCandidate(host.path(directory), reason=_leads_nowhere(host, error))
            except OSError as error:
                yield JudgedCandidate(host.path(directory), reason=str(error))


def carried(
    host: Host, wanted: KernelRelease, arch: Arch, others: list[JudgedCandidate]
) -> list[JudgedCandidate]:
    """Return the headers embedded in the running kernel, unpacked only if none of `others` fits exactly.

    Unpacking takes seconds the first time, and is skipped for any other kernel or architecture.
    """
    candidate = JudgedCandidate(host.path(ARCHIVE))
    if not candidate.path.is_file():
        return []
    exact = any(
        f.tree and f.tree.autoconf and f.tree.release and f.tree.release.text == wanted.text for f in others
    )
    if host.kernel_release() != wanted.text or arch.name != host.machine():
        candidate.reason = f"embedded in the running kernel, {host.kernel_release()} for {host.machine()}"
    elif exact:
        candidate.reason = f"not unpacked: the headers of {wanted} are installed"
    else:
        from buildgen.headers.kheaders import unpacked  # noqa: PLC0415 - tarfile and lzma take 20 ms to import

        try:
            candidate.tree = examine(LOCAL, unpacked(host), wanted.text)
        except KheadersError as error:
            candidate.reason = str(error)
    return [candidate]
