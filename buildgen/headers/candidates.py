"""Where kernel headers may be on a host, before it is decided which are used."""

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
    """One place where headers may be, and what became of it. `path` is as it was found."""

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
        """The release of a tree whose version is known."""
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
    """Return every candidate, those that lead to a directory already seen merged into the first."""
    found = [*_dangling(host)]
    seen: dict[Path, JudgedCandidate] = {}
    for name, module_release in places(host):
        here = JudgedCandidate(host.path(name))
        found.append(here)
        try:
            resolved = host.realpath(name)
        except DanglingPathError as error:
            here.reason = _leads_nowhere(host, error)
            continue
        except OSError as error:
            here.reason = str(error)
            continue
        if not resolved.is_dir():
            here.reason = "not a directory"
        elif first := seen.get(resolved):
            here.tree, here.reason = first.tree, f"the same directory as {first.path}"
        else:
            here.tree = examine(host, resolved, module_release)
            seen[resolved] = here
    return found


def _leads_nowhere(host: Host, error: DanglingPathError) -> str:
    return f"leads nowhere: {error.missing} does not exist" + (
        "" if host.is_local else f" below {host.root}; mount it there"
    )


def _dangling(host: Host) -> Iterator[JudgedCandidate]:
    """Yield each directory of candidates that is itself a link to where nothing is."""
    for directory in DIRECTORIES:
        if host.path(directory).is_symlink():
            try:
                host.realpath(directory)
            except DanglingPathError as error:
                yield JudgedCandidate(host.path(directory), reason=_leads_nowhere(host, error))
            except OSError as error:
                yield JudgedCandidate(host.path(directory), reason=str(error))


def carried(
    host: Host, wanted: KernelRelease, arch: Arch, found: list[JudgedCandidate]
) -> list[JudgedCandidate]:
    """Return the headers that the running kernel carries in itself, unpacked only when nothing else fits.

    Unpacking takes seconds the first time, and is left out for any other kernel or architecture.
    """
    here = JudgedCandidate(host.path(ARCHIVE))
    if not here.path.is_file():
        return []
    exact = any(
        f.tree and f.tree.autoconf and f.tree.release and f.tree.release.text == wanted.text for f in found
    )
    if host.kernel_release() != wanted.text or arch.name != host.machine():
        here.reason = f"carried by the running kernel, {host.kernel_release()} for {host.machine()}"
    elif exact:
        here.reason = f"not unpacked: the headers of {wanted} are there"
    else:
        from buildgen.headers.kheaders import unpacked  # noqa: PLC0415 - tarfile and lzma take 20 ms to import

        try:
            here.tree = examine(LOCAL, unpacked(host), wanted.text)
        except KheadersError as error:
            here.reason = str(error)
    return [here]
