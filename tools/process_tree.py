"""Prints the tree of the first screen once: the containers and processes of this host, with SOURCE."""

from __future__ import annotations

import sys

from core.model.view import ViewRequest
from core.system.host import LOCAL
from core.tree.tree import Tree
from tui.cli.live import live_engine
from tui.output import CommandError
from tui.settings import Settings

_ALL = 1 << 20


def main() -> int:
    try:
        with live_engine(Settings(host=LOCAL)) as engine:
            engine.start()
            engine.refresh_names()
            tree = Tree(engine.feed.user_name)
            for process in engine.cache:
                tree.put(engine.view(process))
            rows = tree.window(ViewRequest(height=_ALL), engine.feed.now_ns()).rows
    except CommandError as error:
        error.show()
        return error.code
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # for locales without the tree's lines
    print(f"{'SOURCE':<15} {'PID':>7} {'USER':<10} TREE")
    for row in rows:
        if row.kind == "process":
            print(f"{row.source:<15} {row.pid:>7} {row.user[:10]:<10} {row.guides}{row.text}")
        else:
            print(
                f"{row.guides}{row.text}  {row.detail}  {row.count} process{'' if row.count == 1 else 'es'}"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
