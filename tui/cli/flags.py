"""`ebpf-tui flags`: the compiler flags of an architecture and variant, with the reason for each."""

from __future__ import annotations

import click

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, emit, narrate
from tui.settings import Settings


@click.command(help="Show the compiler flags of an architecture and variant, with the reason for each.")
@click.option("--arch", help="Architecture, in any spelling. Default: this machine's.")
@click.option(
    "--variant",
    default="prebuilt",
    show_default=True,
    help="prebuilt or co-re, optionally with -debug or -unit-test.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, arch: str | None, variant: str, as_json: bool) -> None:
    from buildgen.errors import ConfigError, ToolchainError
    from buildgen.headers.find import HeadersNotFound, find_header_dirs
    from buildgen.project.flags import compile_flags, parse_variant, whole_command
    from buildgen.project.toolchain import find_toolchain
    from core.system.arch import ArchError, local_arch, parse_arch

    try:
        target = parse_arch(arch) if arch else local_arch()
        chosen = parse_variant(variant)
        flags = [*compile_flags(target, chosen)]
        if chosen.base == "prebuilt":
            headers = find_header_dirs(settings.host, arch=target)
            flags += headers.flags
            for warning in headers.warnings:
                narrate(f"warning: {warning}")
    except (ArchError, ConfigError) as error:
        raise CommandError(str(error), ExitCode.USAGE) from error
    except HeadersNotFound as error:
        raise CommandError(str(error)) from error
    try:
        clang = find_toolchain().clang
    except ToolchainError as error:
        narrate(f"warning: {error}")
        clang = None
    line = whole_command(flags, str(clang.path) if clang else "clang")
    if as_json:
        emit(
            "flags",
            {
                "arch": target.name,
                "variant": str(chosen),
                "clang": None if clang is None else {"path": str(clang.path), "version": clang.version},
                "flags": [{"flag": flag.flag, "why": flag.why} for flag in flags],
                "command": line,
            },
        )
        return
    width = min(44, max(len(flag.flag) for flag in flags))
    for flag in flags:
        click.echo(f"{safe_text(flag.flag):{width}}  {safe_text(flag.why)}")
    narrate(f"command: {safe_text(line)}")
