"""`--read-only`: the screens look, and nothing that they can do changes the host."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Action = TypeVar("Action", bound=Callable[..., None])


def changes(what: str) -> Callable[[Action], Action]:
    """Mark an action that does something to the host: on screens that only look it says so and does nothing.

    The action itself is guarded, so that it does not matter by which way it is called. `what` is what the
    person is told. Its command stands in keymap.CHANGES: no footer offers it then.
    """

    def mark(action: Action) -> Action:
        @wraps(action)
        def guarded(self: Any, *args: Any) -> None:
            if self.app.settings.read_only:
                self.app.notify(f"read-only: {what}", severity="warning", markup=False)
            else:
                action(self, *args)

        return cast("Action", guarded)

    return mark
