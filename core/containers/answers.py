"""The cached facts of each requested container, and the time when its state is read again."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from core.containers.facts import ContainerFacts
from core.containers.state_files import Stamp, StateFiles

_CONTAINERS_KEPT = 8192
_FIRST_RETRY_S = 0.25
_LAST_RETRY_S = 60.0

Key = tuple[str, str, int | None]
"""Id and runtime from the path (an lxc and a runc container may have the same name), and the user of its
slice: users can create a cgroup in their slice with any id, and write a name for it into their own files."""

Search = Callable[[Key], tuple[ContainerFacts | None, str | None]]
"""Returns the facts about a container in the state on disk, or the reason why there are none."""


class Answer(msgspec.Struct):
    """The facts of one container, and when to search again."""

    facts: ContainerFacts | None
    reason: str | None
    stamp: Stamp | None
    retry_s: float
    due: float
    """When the state is searched for again if there is none (before it is written, after it is removed)."""


class Answers:
    """A bounded number of answers. `search` is called for a container not seen before, and by `refresh`."""

    def __init__(self, files: StateFiles, search: Search) -> None:
        self._files = files
        self._search = search
        self._answers: OrderedDict[Key, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Key) -> Answer:
        """Return the answer for a container; the first call for it reads its state."""
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(key, _FIRST_RETRY_S)
            if len(self._answers) > _CONTAINERS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def refresh(self) -> set[Key]:
        """Check for changes on disk; return the containers with a changed answer.

        This costs one stat per container with a name. A container without one is searched again after 0.25 s,
        0.5 s and so on up to a minute, because a process may start before its runtime has written everything.
        """
        now = time.monotonic()
        changed = set()
        for key, answer in list(self._answers.items()):
            waits = answer.stamp is None or (answer.facts is not None and answer.facts.incomplete)
            if waits and now >= answer.due:
                pass
            elif answer.stamp is None or self._stamp(answer.facts) == answer.stamp:
                continue
            fresh = self._ask(key, min(answer.retry_s * 2, _LAST_RETRY_S))
            if answer.facts is not None and fresh.facts is None:
                # The container was removed: its last processes keep its name.
                fresh.facts, fresh.reason = answer.facts, answer.reason
            self._answers[key] = fresh
            if (fresh.facts, fresh.reason) != (answer.facts, answer.reason):
                changed.add(key)
        return changed

    def forget(self, ids: Iterable[str]) -> None:
        """Forget the containers with these ids; the next `get` reads their state again."""
        gone = {*ids}
        for key in [key for key in self._answers if key[0] in gone]:
            del self._answers[key]

    def forget_all_but(self, ids: set[str]) -> None:
        """Forget the containers with any other id."""
        for key in [key for key in self._answers if key[0] not in ids]:
            del self._answers[key]

    def _ask(self, key: Key, retry_s: float) -> Answer:
        facts, reason = self._search(key)
        return Answer(facts, reason, self._stamp(facts), retry_s, time.monotonic() + retry_s)

    def _stamp(self, facts: ContainerFacts | None) -> Stamp | None:
        return self._files.stamp(facts.source) if facts and facts.source and not facts.is_users else None
