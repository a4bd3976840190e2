"""`ebpf-tui info`: versions, and the paths of configuration, cache and recordings."""

from __future__ import annotations

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version

import click

from core.text.safe import safe_text
from tui.output import emit
from tui.settings import Settings


@click.command(help="Show versions, and the paths of configuration, cache and recordings.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON object.")
@click.pass_obj
def command(settings: Settings, as_json: bool) -> None:
    facts: dict[str, dict[str, str | None]] = {
        "versions": _versions(settings),
        "machine": _machine(),
        "paths": _paths(),
    }
    if as_json:
        emit("info", facts)
        return
    for group in facts.values():
        for name, value in group.items():
            click.echo(f"{name:<11} {'none' if value is None else safe_text(value)}")


def _versions(settings: Settings) -> dict[str, str | None]:
    return {
        "ebpf-tui": _installed("ebpf-tui"),
        "python": platform.python_version(),
        "textual": _installed("textual"),
        "kernel": settings.host.kernel_release(),
        "arch": settings.host.machine(),
        "libbpf": _libbpf(),
        **_toolchain(),
    }


def _machine() -> dict[str, str | None]:
    """Return the size of this machine, for reports about performance."""
    cpus, pages = os.cpu_count(), os.sysconf("SC_PHYS_PAGES")  # -1: unknown; /proc may be incomplete
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpus": str(cpus) if cpus else None,
        "memory": f"{memory / 2**30:.1f} GiB" if pages > 0 else None,
    }


def _paths() -> dict[str, str | None]:
    """Return the directories of this program's files; they need not exist. Under sudo they are root's."""
    from platformdirs import PlatformDirs

    dirs = PlatformDirs("ebpf-tui")
    return {
        "config": dirs.user_config_dir,
        "cache": dirs.user_cache_dir,
        "recordings": str(dirs.user_data_path / "recordings"),
    }


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _libbpf() -> str | None:
    from core.probe.libbpf import LibbpfMissing, load_libbpf

    try:
        return load_libbpf().version
    except LibbpfMissing:
        return None


def _toolchain() -> dict[str, str | None]:
    from buildgen.errors import ToolchainError
    from buildgen.project.toolchain import find_ninja, find_toolchain

    facts: dict[str, str | None] = {"clang": None, "llc": None, "llvm-strip": None, "ninja": None}
    with contextlib.suppress(ToolchainError):  # `doctor` reports the cause and the fix
        tools = find_toolchain()
        for name, tool in (("clang", tools.clang), ("llc", tools.llc), ("llvm-strip", tools.strip)):
            facts[name] = f"{tool.version} ({tool.path})"
    with contextlib.suppress(ToolchainError):
        facts["ninja"] = str(find_ninja())
    return facts
