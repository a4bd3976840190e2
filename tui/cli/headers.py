"""`ebpf-tui headers`: the kernel header directories of a build, and the verdict on each candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings

if TYPE_CHECKING:
    from buildgen.headers.find import Candidate, HeaderDirs


@click.command(help="Show the kernel header directories, and the verdict on each candidate.")
@click.option("--arch", help="Architecture, in any spelling. Default: this machine's.")
@click.option("--release", help="Kernel release. Default: the running kernel's.")
@click.option("--min-release", help="Ignore headers older than this release.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(
    settings: Settings, arch: str | None, release: str | None, min_release: str | None, as_json: bool
) -> None:
    from buildgen.errors import KernelReleaseError
    from buildgen.headers.find import HeadersNotFound, find_header_dirs
    from core.system.arch import ArchError

    try:
        headers = find_header_dirs(settings.host, release=release, minimal=min_release, arch=arch)
    except (ArchError, KernelReleaseError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except HeadersNotFound as error:
        raise CommandError(str(error)) from error
    if as_json:
        emit("headers", headers_json(headers))
        return
    for path in headers.dirs:
        click.echo(safe_text(str(path)))
    for warning in headers.warnings:
        narrate(f"warning: {warning}")
    for candidate in headers.candidates:
        mark = "+" if candidate.chosen else "-"
        narrate(f"{mark} {safe_text(str(candidate.path))}: {candidate.reason}")


def headers_json(headers: HeaderDirs) -> dict[str, Any]:
    """Return the fields of `headers --json`, without the schema."""
    return {
        "kernel_release": headers.release.text,
        "arch": headers.arch.name,
        "trees": [str(tree) for tree in headers.trees],
        "dirs": [str(path) for path in headers.dirs],
        "flags": [flag.flag for flag in headers.flags],
        "warnings": list(headers.warnings),
        "candidates": [_candidate_json(candidate) for candidate in headers.candidates],
    }


def _candidate_json(candidate: Candidate) -> dict[str, Any]:
    return {
        "path": str(candidate.path),
        "resolved": None if candidate.resolved is None else str(candidate.resolved),
        "release": candidate.release,
        "version": None if candidate.version is None else list(candidate.version),
        "flavour": candidate.flavour,
        "holds": candidate.holds,
        "chosen": candidate.chosen,
        "reason": candidate.reason,
    }
