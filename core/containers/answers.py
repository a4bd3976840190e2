"""What is known of each container that was asked about, and when its state is looked for again."""

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
"""Id and runtime as the path tells them (an lxc container and one of runc may share a name), and the user in
whose slice it runs: a user can make a cgroup there with anybody's id, and write down a name for it."""

Search = Callable[[Key], tuple[ContainerFacts | None, str | None]]
"""Returns what the state on disk says of a container, or why there is nothing."""


class Answer(msgspec.Struct):
    """What is known of one container, and when to look again."""

    facts: ContainerFacts | None
    reason: str | None
    stamp: Stamp | None
    retry_s: float
    due: float
    """When the state is looked for again while there is none (before it is written, after it is removed)."""


class Answers:
    """A bounded number of answers. `search` is asked for a container not seen before, and in `refresh`."""

    def __init__(self, files: StateFiles, search: Search) -> None:
        self._files = files
        self._search = search
        self._answers: OrderedDict[Key, Answer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Key) -> Answer:
        """Return the answer for a container, which reads its state if it was not asked about before."""
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._ask(key, _FIRST_RETRY_S)
            if len(self._answers) > _CONTAINERS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def refresh(self) -> set[Key]:
        """Look for changes on disk; return the containers whose answer is another one now.

        One stat for each container with a name; one without is asked for again after 0.25 s, 0.5 s and
        so on up to a minute, because a process may start before its runtime has written everything.
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
                # The container was removed; its last processes keep the name they had.
                fresh.facts, fresh.reason = answer.facts, answer.reason
            self._answers[key] = fresh
            if (fresh.facts, fresh.reason) != (answer.facts, answer.reason):
                changed.add(key)
        return changed

    def forget(self, ids: Iterable[str]) -> None:
        """Forget the containers with these ids: they are asked for when somebody asks about them."""
        gone = {*ids}
        for key in [key for key in self._answers if key[0] in gone]:
            del self._answers[key]

    def forget_all_but(self, ids: set[str]) -> None:
        """Forget the containers that have another id."""
        for key in [key for key in self._answers if key[0] not in ids]:
            del self._answers[key]

    def _ask(self, key: Key, retry_s: float) -> Answer:
        facts, reason = self._search(key)
        return Answer(facts, reason, self._stamp(facts), retry_s, time.monotonic() + retry_s)

    def _stamp(self, facts: ContainerFacts | None) -> Stamp | None:
        return self._files.stamp(facts.source) if facts and facts.source and not facts.is_users else None
