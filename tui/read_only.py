"""`--read-only`: the screens show the host, and no command of theirs changes it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

Action = TypeVar("Action", bound=Callable[..., None])


def changes(what: str) -> Callable[[Action], Action]:
    """Mark an action that changes the host: read-only screens show a notice instead of running it.

    The action itself is guarded, so it does not matter how it is called. `what` is the text of the notice.
    Its command is in keymap.CHANGES, which read-only screens omit from footer, help and palette.
    """

    def mark(action: Action) -> Action:
        @wraps(action)
        def guarded(self: Any, *args: Any) -> None:
            if self.app.settings.read_only:
                self.app.notify(f"Read-only: {what}", severity="warning", markup=False)
            else:
                action(self, *args)

        return cast("Action", guarded)

    return mark
