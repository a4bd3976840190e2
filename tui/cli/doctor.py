"""`ebpf-tui doctor`: what this host allows, and the command that enables the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from core.text.safe import safe_text
from tui.output import emit
from tui.settings import Settings

if TYPE_CHECKING:
    from core.doctor import Check


@click.command(
    help="Show what this host allows, and the command that enables the rest.\n\n"
    "Exits with 0 whatever the checks find; `--json` has `ok` for each check."
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    from core.doctor import examine

    checks = (*examine(settings.host, load_probe=settings.probe), *_build_checks(settings))
    if as_json:
        emit("doctor", {"checks": [_check_json(check) for check in checks]})
        return
    width = max(len(check.name) for check in checks)
    for check in checks:
        click.echo(f"{'ok' if check.ok else 'no':<3} {check.name:<{width}}  {check.detail}")
        if check.fix:
            click.echo(f"    {'':<{width}}  fix: {check.fix}")


def _check_json(check: Check) -> dict[str, str | bool]:
    return {"name": check.name, "ok": check.ok, "detail": check.detail, "fix": check.fix}


def _build_checks(settings: Settings) -> tuple[Check, ...]:
    """Return the checks of what builds need. They are made here because core never imports buildgen."""
    from buildgen.errors import ToolchainError
    from buildgen.project.toolchain import find_ninja, find_toolchain
    from core.doctor import Check

    try:
        tools = find_toolchain()
        names = ", ".join(str(tool.path) for tool in (tools.clang, tools.llc, tools.strip))
        compiler = Check("llvm", True, safe_text(f"{tools.clang.version}: {names}"))
    except ToolchainError as error:
        compiler = Check("llvm", False, error.cause, error.fix)
    try:
        ninja = Check("ninja", True, safe_text(str(find_ninja())))
    except ToolchainError as error:
        ninja = Check("ninja", False, error.cause, error.fix)
    return compiler, ninja, _headers_check(settings), _bpf_headers_check(settings)


def _headers_check(settings: Settings) -> Check:
    from buildgen.errors import BuildgenError
    from buildgen.headers.find import find_header_dirs
    from core.doctor import Check
    from core.system.arch import ArchError
    from core.system.distribution import headers_hint

    release = settings.host.kernel_release()
    try:
        headers = find_header_dirs(settings.host)
    except (ArchError, BuildgenError):
        hint = safe_text(headers_hint(release, settings.host))
        return Check(
            "kernel-headers", False, "no complete kernel headers (`ebpf-tui headers` shows why)", hint
        )
    trees = ", ".join(settings.host.inside(tree) for tree in headers.trees)
    return Check("kernel-headers", True, safe_text("; ".join([trees, *headers.warnings])))


def _bpf_headers_check(settings: Settings) -> Check:
    from core.doctor import Check
    from core.system.distribution import install_hint

    for directory in ("/usr/include", "/usr/local/include"):
        if settings.host.path(f"{directory}/bpf/bpf_helpers.h").exists():
            return Check("bpf-headers", True, f"{directory}/bpf")
    hint = install_hint("libbpf", settings.host)
    return Check("bpf-headers", False, "no bpf/bpf_helpers.h in /usr/include", hint)
