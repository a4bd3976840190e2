"""Which kernel headers to compile against: candidates -> verdicts -> ordered directories.

The rule: exactly one complete version and flavour. An arch half is combined with the common half that it
names, and is searched before it. If no tree matches the wanted release, the nearest complete one is used,
with a warning. Every candidate ends with a verdict in plain words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from buildgen.errors import BuildgenError
from buildgen.headers.candidates import Candidate, JudgedCandidate, carried, look
from buildgen.headers.tree import HeaderTree, examine
from buildgen.kernel_release import KernelRelease, parse_kernel_release
from buildgen.project.flags import Flag
from core.system.arch import Arch, local_arch, parse_arch
from core.system.distribution import headers_hint, is_distribution_kernel
from core.system.host import LOCAL, Host
from core.text.safe import safe_text

__all__ = ["Candidate", "HeaderDirs", "HeadersNotFound", "find_header_dirs"]

SUBDIRECTORIES = (
    "include",
    "include/uapi",
    "include/generated/uapi",
    "arch/{0}/include",
    "arch/{0}/include/uapi",
    "arch/{0}/include/generated",
    "arch/{0}/include/generated/uapi",
)
"""Header directories below a tree in search order; {0} is the kernel's name of the architecture."""


@dataclass(frozen=True, slots=True)
class HeaderDirs:
    """The result for one release and architecture. `trees` is [arch half, common half] or [full tree]."""

    release: KernelRelease
    arch: Arch
    trees: tuple[Path, ...]
    dirs: tuple[Path, ...]
    warnings: tuple[str, ...]
    candidates: tuple[Candidate, ...]

    @property
    def flags(self) -> tuple[Flag, ...]:
        """One -isystem for each directory, which suppresses warnings about kernel headers."""
        return tuple(
            Flag(f"-isystem{path}", f"kernel headers, {_half(number, len(self.trees))}")
            for number, tree in enumerate(self.trees)
            for path in self.dirs
            if path.is_relative_to(tree)
        )


class HeadersNotFound(BuildgenError):
    """No candidate is complete for the architecture; the message lists each with its reason."""

    def __init__(self, arch: Arch, hint: str, candidates: tuple[Candidate, ...]) -> None:
        tried = "; ".join(f"{c.path}: {c.reason}" for c in candidates)
        looked = tried or "nothing at /usr/src/kernels, /usr/src/linux-*, /lib/modules/*/{build,source}"
        super().__init__(f"no kernel headers for {arch} found ({looked}). To get them: {hint}")
        self.candidates = candidates
        self.hint = safe_text(hint)


def find_header_dirs(
    host: Host = LOCAL,
    release: str | None = None,
    minimal: str | None = None,
    arch: Arch | str | None = None,
) -> HeaderDirs:
    """Find the header directories of `release` (default: the running kernel) for `arch` (default: local).

    Trees older than `minimal` are excluded, even the running kernel's own. Raises HeadersNotFound if no
    complete tree is left, KernelReleaseError or ArchError if an argument cannot be parsed.
    """
    wanted = parse_kernel_release(release or host.kernel_release())
    least = parse_kernel_release(minimal) if minimal else None
    target = local_arch() if arch is None else parse_arch(arch)
    candidates = look(host)
    candidates += carried(host, wanted, target, candidates)
    anchors = [f for f in candidates if _judge(f, target, least)]
    complete = {id(f): _other_half(host, f, candidates, target) for f in anchors}
    usable = [f for f in anchors if _usable(f, complete[id(f)], target)]
    if not usable:
        _settle_common(candidates, None, target)
        verdicts = tuple(f.verdict(target) for f in candidates)
        raise HeadersNotFound(target, headers_hint(wanted.text, host, target), verdicts)
    best = min(usable, key=lambda f: _rank(wanted, f))
    common = complete[id(best)]
    _settle(best, usable, wanted)
    _settle_common(candidates, common, target)
    trees = _trees(best, common)
    return HeaderDirs(
        release=wanted,
        arch=target,
        trees=trees,
        dirs=tuple(_directories(trees, target)),
        warnings=_warnings(wanted, best, host, target),
        candidates=_verdicts(candidates, common, target),
    )


# --- verdicts --------------------------------------------------------------------------------------


def _judge(candidate: JudgedCandidate, arch: Arch, least: KernelRelease | None) -> bool:
    """Return whether this can be the first tree; otherwise set the reason why not."""
    tree = candidate.tree
    if tree is None or candidate.reason:
        return False
    if not tree.autoconf and not tree.kconfig:
        candidate.reason = (
            "no kernel headers: neither include/linux/kconfig.h nor include/generated/autoconf.h"
        )
    elif tree.release is None:
        candidate.reason = "neither its name nor its content has a kernel version"
    elif least and tree.release.version[:3] < least.version[:3]:
        candidate.reason = f"kernel version {tree.release} is below the minimum {least}"
    elif not tree.autoconf:
        return False  # a common half: whether it is used depends on the arch halves
    elif not tree.fits(arch):
        candidate.reason = f"configured for {', '.join(sorted(a.name for a in tree.configured))}, not {arch}"
    else:
        return True
    return False


def _other_half(
    host: Host, candidate: JudgedCandidate, all_found: list[JudgedCandidate], arch: Arch
) -> HeaderTree | None:
    """Return the common half of an arch half: the one it names, else the one of the same version.

    What it names (in its Makefile or `source` link) counts only within the same series: a stale link of an
    older kernel must not mix two versions.
    """
    tree = candidate.tree
    if tree is None or tree.release is None or tree.holds(arch) == "full":
        return None
    named = [examine(host, path) for path in (*tree.points_to, *_module_sources(tree, all_found))]
    for common in named:
        if common.kconfig and (
            common.release is None or common.release.version[:2] == tree.release.version[:2]
        ):
            return common
    for other in all_found:
        common_tree = other.tree
        if (
            common_tree
            and common_tree.kconfig
            and not common_tree.autoconf
            and common_tree.release
            and common_tree.release.version == tree.release.version
        ):
            return common_tree
    return None


def _module_sources(tree: HeaderTree, all_found: list[JudgedCandidate]) -> Iterator[Path]:
    """Yield the target of /lib/modules/R/source for each R where /lib/modules/R/build is this tree."""
    builds = {
        f.path.parent for f in all_found if f.path.name == "build" and f.tree and f.tree.path == tree.path
    }
    for other in all_found:
        if other.path.name == "source" and other.path.parent in builds and other.tree:
            yield other.tree.path


def _usable(candidate: JudgedCandidate, common: HeaderTree | None, arch: Arch) -> bool:
    tree = candidate.tree
    if tree is None:
        return False
    if common is None and tree.holds(arch) != "full":
        if tree.kconfig:
            candidate.reason = f"no arch/{arch.kernel}/include/asm: not for {arch}"
        else:
            candidate.reason = "only the arch half; its common half (include/linux/kconfig.h) was not found"
        return False
    if arch.kernel not in tree.arch_dirs | (common.arch_dirs if common else frozenset()):
        candidate.reason = f"no arch/{arch.kernel}/include: not for {arch}"
        return False
    return True


def _rank(wanted: KernelRelease, candidate: JudgedCandidate) -> tuple[object, ...]:
    """Return the sort key of usable trees, best first: same release, same numbers and flavour, nearest."""
    release = candidate.release
    return (
        release.text != wanted.text,
        release.bare != wanted.bare,
        wanted.distance(release),
        release.bare_flavour != wanted.bare_flavour,
        release.respin != wanted.respin,
        len(release.bare_flavour),  # the plain flavour before cloud, rt and debug
        candidate.path,
    )


def _settle(best: JudgedCandidate, usable: list[JudgedCandidate], wanted: KernelRelease) -> None:
    release = best.release
    best.chosen = True
    if release.text == wanted.text:
        best.reason = f"the headers of {wanted}"
    elif release.bare == wanted.bare:
        best.reason = f"the headers of {wanted}, for the other architecture"
    else:
        best.reason = f"the nearest complete headers to {wanted}"
    for other in usable:
        if other is not best:
            other.reason = (
                f"complete, but not of {wanted}"
                if release.text == wanted.text
                else f"complete, but {other.release} is further from {wanted} than {release}"
            )


def _settle_common(candidates: list[JudgedCandidate], common: HeaderTree | None, arch: Arch) -> None:
    """Set the verdict of candidates that are only a common half, and `chosen` of duplicates."""
    chosen = {f.tree.path for f in candidates if f.chosen and f.tree}
    for candidate in candidates:
        if candidate.tree is None:
            continue
        if common is not None and candidate.tree.path == common.path:
            candidate.chosen = True
            candidate.reason = candidate.reason or "the common half that belongs to the arch half"
        elif candidate.tree.path in chosen:
            candidate.chosen = True
        elif not candidate.reason:
            candidate.reason = f"only a common half, without a usable arch half for {arch}"


def _verdicts(
    candidates: list[JudgedCandidate], common: HeaderTree | None, arch: Arch
) -> tuple[Candidate, ...]:
    """Return the verdicts, including one on a common half outside of the usual places."""
    verdicts = [f.verdict(arch) for f in candidates]
    if common is not None and all(c.resolved != common.path for c in verdicts):
        extra = JudgedCandidate(common.path, common, True, "the common half that the arch half names")
        verdicts.append(extra.verdict(arch))
    return tuple(verdicts)


# --- the result ------------------------------------------------------------------------------------


def _trees(best: JudgedCandidate, common: HeaderTree | None) -> tuple[Path, ...]:
    assert best.tree is not None
    return (best.tree.path,) if common is None else (best.tree.path, common.path)


def _directories(trees: tuple[Path, ...], arch: Arch) -> Iterator[Path]:
    """Yield the existing directories; all of the first tree come before those of the second."""
    for tree in trees:
        for name in SUBDIRECTORIES:
            path = tree / name.format(arch.kernel)
            if path.is_dir():
                yield path


def _warnings(wanted: KernelRelease, best: JudgedCandidate, host: Host, arch: Arch) -> tuple[str, ...]:
    release = best.release
    if release.bare == wanted.bare:
        return ()
    what = (
        "the same version with another flavour"
        if (release.version, release.respin) == (wanted.version, wanted.respin)
        else "the nearest complete"
    )
    if is_distribution_kernel(wanted.text, host):
        exact = f"For an exact match: {headers_hint(wanted.text, host, arch)}"
    else:
        exact = "This kernel is not from the distribution: get its headers from whoever built it"
    text = f"no headers of {wanted} here; using {release}, {what}. {exact}"
    return (safe_text(text),)


def _half(number: int, trees: int) -> str:
    if trees == 1:
        return "one full tree"
    return "the arch half" if number == 0 else "the common half"
