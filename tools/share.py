"""Writes the man page and the shell completions from the command line itself: `python tools/share.py DIR`.

The files lie below DIR as they do below /usr/share, for a package to take them from there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from inspect import cleandoc
from pathlib import Path

import click
from click.shell_completion import get_completion_class

from tui.cli.main import COMMANDS, cli

NAME = "ebpf-tui"
_COMPLETIONS = {
    "bash": f"bash-completion/completions/{NAME}",
    "zsh": f"zsh/site-functions/_{NAME}",
    "fish": f"fish/vendor_completions.d/{NAME}.fish",
}
_EXIT_CODES = """\
0 success; 1 the work failed (build failed, object invalid, pid unknown); 2 usage, configuration or no
terminal; 3 not permitted, or the kernel lacks it; 130 interrupted; 141 the reader of stdout went away;
143 terminated."""


def man_page() -> str:
    """Return the page ebpf-tui(1) in man(7)."""
    context = click.Context(cli, info_name=NAME)
    lines = [
        f'.TH EBPF-TUI 1 "{datetime.now(UTC):%Y-%m-%d}" "{NAME} {version(NAME)}" "User Commands"',
        ".SH NAME",
        r"ebpf-tui \- build eBPF programs and watch the processes of this host",
        ".SH SYNOPSIS",
        rf".B {_roff(NAME)}",
        r"[\fIOPTIONS\fR] [\fICOMMAND\fR [\fIARGUMENTS\fR]]",
        ".SH DESCRIPTION",
        _roff(cli.help or ""),
        ".SH OPTIONS",
        *_options(cli, context),
        ".SH COMMANDS",
    ]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        lines += _command(command, click.Context(command, info_name=name, parent=context), name)
    lines += [".SH EXIT STATUS", _roff(_EXIT_CODES)]
    return "\n".join(lines) + "\n"


def _command(command: click.Command, context: click.Context, name: str) -> Iterator[str]:
    usage = " ".join(command.collect_usage_pieces(context))
    yield f".SS {_roff(f'{name} {usage}')}"
    yield _roff(command.help or "")
    yield from _options(command, context)
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            part = command.get_command(context, below)
            assert part is not None
            yield from _command(part, click.Context(part, info_name=below, parent=context), f"{name} {below}")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            yield ".TP"
            yield rf"\fB{_roff(record[0])}\fR"
            yield _roff(record[1])


def _roff(text: str) -> str:
    """Escape a text for man(7): a hyphen is a minus, and no line is a request."""
    escaped = cleandoc(text).replace("\\", r"\e").replace("-", r"\-")
    return "\n".join(rf"\&{line}" if line.startswith((".", "'")) else line for line in escaped.splitlines())


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python tools/share.py DIRECTORY", file=sys.stderr)
        return 2
    files = {f"man/man1/{NAME}.1": man_page()}
    for shell, path in _COMPLETIONS.items():
        completion = get_completion_class(shell)
        assert completion is not None
        files[path] = completion(cli, {}, NAME, "_EBPF_TUI_COMPLETE").source()
    for path, content in files.items():
        file = Path(sys.argv[1], path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        print(file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
