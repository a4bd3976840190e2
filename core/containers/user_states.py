"""The state of users' rootless runtimes, read by one child process per user, without waiting long.

A user can make any file slow, huge or able to crash its reader. So each user has a child with that user's
rights, limits and budget: one that does not answer does not affect the others.
"""

from __future__ import annotations

import os
import select
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from core.containers.answers import Key
from core.containers.daemons import Home
from core.containers.facts import ContainerFacts
from core.containers.oci_folder import Placed
from core.containers.user_folders import UserFolders
from core.containers.user_process import ChildEnded, UserProcess
from core.containers.user_protocol import (
    CLAIMS,
    Question,
    Reply,
    checked_facts,
    checked_text,
    placed_of_claim,
)
from core.system.host import Host

_CHILDREN = 16
_WANTED = 512
"""Limits of running children, at 15 MB each, and of the requested containers of one user."""

_TURN_S = 2.0
"""How long a child may run when others wait for their turn, in seconds."""

_NEW_AT_ONCE = 128
_AVOIDED = 64
_AVOIDED_S = 600.0
_FIRST_REST_S, _LAST_REST_S = 2.0, 300.0
_IDLE_S = 30.0

_PATIENCE_S = 4.0
_PATIENCE_PER_S = 0.02
"""Budget of seconds spent waiting for children; it refills at a fiftieth of the time."""

NOT_YET = "its user's files have not been read yet"


class _User(msgspec.Struct):
    """One user: the requested containers, and the child's answers."""

    home: Home
    process: UserProcess | None = None
    wanted: OrderedDict[tuple[str, str], None] = msgspec.field(default_factory=OrderedDict)
    """The requested containers."""
    unasked: dict[tuple[str, str], None] = {}
    """Those that were not sent to this child yet."""
    unwanted: list[tuple[str, str]] = []
    answers: dict[tuple[str, str], tuple[ContainerFacts | None, str | None]] = {}
    claims: tuple[Placed, ...] = ()
    looks: bool = False
    """Whether the user has a directory of runc or crun."""
    avoid: dict[str, tuple[str, float]] = {}
    problem: str | None = None
    rest_s: float = _FIRST_REST_S
    rests_until: float = 0.0
    used: float = 0.0
    started: float = 0.0
    waits_since: float = 0.0
    """When the child last answered and was started, and since when it waits for a free place; 0: never."""
    is_slow: bool = False
    """It did not answer in time: it is not waited for again until it has answered."""


class UserStates:
    """Facts and claims of all users. One thread owns it; it waits only briefly for children."""

    def __init__(self, host: Host, home: Callable[[int], Home | None]) -> None:
        self._host = host
        self._home = home
        self._users: dict[int, _User] = {}
        self._folders = UserFolders(host)
        self._patience_s = _PATIENCE_S
        self._patient_since = time.monotonic()
        self._changed: set[Key] = set()

    @property
    def problems(self) -> list[str]:
        """State that could not be read, one text per user."""
        return [user.problem for user in self._users.values() if user.problem]

    def facts(self, uid: int, container_id: str, runtime: str) -> tuple[ContainerFacts | None, str | None]:
        """Return the facts about a container in a user's state, or None and a reason; both None: no state."""
        if os.geteuid() not in (0, uid):
            return None, f"the state of user {uid} may not be read (run as root to see container names)"
        user = self._user(uid)
        key = (container_id, runtime)
        if key not in user.wanted:
            if len(user.wanted) >= _WANTED:
                return None, f"user {uid} has more than {_WANTED} containers, the limit for one user"
            user.wanted[key] = user.unasked[key] = None
            self._wait([user], lambda: key in user.answers)
        if key in user.answers:
            return user.answers[key]
        return None, user.problem or NOT_YET

    def is_waited_for(self, uid: int, container_id: str, runtime: str) -> bool:
        """Return whether a container was requested from a user's state and not answered yet."""
        user = self._users.get(uid)
        key = (container_id, runtime)
        return user is not None and key in user.wanted and key not in user.answers

    @property
    def is_waiting(self) -> bool:
        """Return whether a first answer for any container is still pending."""
        now = time.monotonic()
        return any(
            user.rests_until <= now and any(key not in user.answers for key in user.wanted)
            for user in self._users.values()
        )

    def refresh(self) -> tuple[set[Key], dict[int, tuple[Placed, ...]]]:
        """Take the children's answers, and ask for changes since; return the containers with changed facts,
        and the claims of all users."""
        for uid, has_folders in self._folders.look().items():
            if has_folders or uid in self._users:
                self._user(uid).looks = has_folders
        for user in self._users.values():
            if user.looks is False and user.claims:
                user.claims = ()
            self._advance(user)
        fresh = [user for user in self._users.values() if user.looks and user.used == 0.0]
        self._wait(fresh, lambda: all(user.used for user in fresh))
        changed, self._changed = self._changed, set()
        return changed, {uid: user.claims for uid, user in self._users.items() if user.claims}

    def forget_all_but(self, ids: set[str]) -> None:
        """Stop asking about all containers but these."""
        for user in self._users.values():
            for key in [key for key in user.wanted if key[0] not in ids]:
                del user.wanted[key]
                user.answers.pop(key, None)
                if key in user.unasked:
                    del user.unasked[key]
                else:
                    user.unwanted.append(key)

    def close(self) -> None:
        """End all children."""
        for user in self._users.values():
            self._end(user)

    def _user(self, uid: int) -> _User:
        user = self._users.get(uid)
        if user is None:
            user = self._users[uid] = _User(self._home(uid) or Home(uid, "/nonexistent"))
        return user

    # --- one child -----------------------------------------------------------------------------

    def _advance(self, user: _User) -> None:
        """Take an answer if one has arrived; send the next question. Never waits."""
        try:
            if user.process is not None:
                reply = user.process.poll()
                if reply is not None:
                    self._take(user, reply)
                    if self._makes_room(user):
                        self._end(user)
                        return
                elif user.process.is_busy:
                    return
            self._ask(user)
        except ChildEnded as end:
            self._note_end(user, end)

    def _ask(self, user: _User) -> None:
        now = time.monotonic()
        has_work = user.unasked or user.wanted or user.looks
        if not has_work:
            user.waits_since = 0.0
            if user.process is not None and now - user.used > _IDLE_S:
                self._end(user)
            return
        if now < user.rests_until:
            user.waits_since = 0.0
            return
        if user.avoid and now >= min(until for _, until in user.avoid.values()):
            user.avoid.clear()  # the files may have changed: a new child reads them
            self._end(user)
        avoid: dict[str, str] = {}
        if user.process is None:
            if not self._may_start(user):
                return
            user.process = UserProcess(self._host, user.home)
            user.started = now
            user.unasked = dict.fromkeys(user.wanted)
            user.unwanted = []
            avoid = {path: why for path, (why, _) in user.avoid.items()}
        new = list(user.unasked)[:_NEW_AT_ONCE]
        user.process.ask(Question(new, user.unwanted[:_NEW_AT_ONCE], avoid))
        for key in new:
            del user.unasked[key]
        del user.unwanted[:_NEW_AT_ONCE]

    def _take(self, user: _User, reply: Reply) -> None:
        user.used = time.monotonic()
        user.is_slow = False
        if user.used - user.rests_until > _LAST_REST_S:
            user.rest_s = _FIRST_REST_S
        uid = user.home.uid
        for container in reply.answers:
            key = (container.id, container.runtime)
            answer = (checked_facts(container.facts), checked_text(container.reason))
            earlier = user.answers.get(key)
            if earlier and earlier[0] and answer[0] is None:
                continue  # the container was removed: its last processes keep its name
            if key in user.wanted and earlier != answer:
                user.answers[key] = answer
                self._changed.add((*key, uid))
        if reply.claims is not None:
            claims = [placed_of_claim(claim, uid) for claim in reply.claims[:CLAIMS]]
            user.claims = tuple(placed for placed in claims if placed)
        if reply.exceeded:
            user.problem = f"user {uid}: {checked_text(reply.exceeded)}"
        elif user.process is not None and not user.avoid:
            user.problem = None

    def _note_end(self, user: _User, end: ChildEnded) -> None:
        """Keep why a child has ended; the next one starts after a pause and avoids that file."""
        user.process = None
        if not end.why:  # it made room for a new one
            return
        now = time.monotonic()
        user.problem = f"user {user.home.uid}: {end}"
        user.rests_until = now + user.rest_s
        user.rest_s = min(_LAST_REST_S, user.rest_s * 2)
        if end.path:
            if len(user.avoid) >= _AVOIDED:
                del user.avoid[next(iter(user.avoid))]
            user.avoid[os.fsdecode(end.path)] = (end.why, now + _AVOIDED_S)
        user.used = user.used or now

    def _may_start(self, user: _User) -> bool:
        """Return whether another child may run; the user who has waited longest comes first."""
        user.waits_since = user.waits_since or time.monotonic()
        running = sum(other.process is not None for other in self._users.values())
        earlier = sum(0.0 < other.waits_since < user.waits_since for other in self._users.values())
        if running + earlier >= _CHILDREN:
            return False
        user.waits_since = 0.0
        return True

    def _makes_room(self, user: _User) -> bool:
        """Return whether a child's turn is over and another user waits for one."""
        had_its_turn = time.monotonic() - user.started > _TURN_S
        return had_its_turn and any(other.waits_since for other in self._users.values())

    def _end(self, user: _User) -> None:
        if user.process is not None:
            user.process.close()
            user.process = None

    # --- patience ------------------------------------------------------------------------------

    def _wait(self, users: Iterable[_User], done: Callable[[], bool]) -> None:
        """Wait for children within the budget of waiting time. One call uses at most half of what is left,
        so that a child that does not answer leaves some for the others."""
        now = time.monotonic()
        regained = (now - self._patient_since) * _PATIENCE_PER_S
        self._patience_s = min(_PATIENCE_S, self._patience_s + regained)
        self._patient_since = now
        until = now + self._patience_s / 2
        waiting = [user for user in users if not user.is_slow]
        while waiting and not done():
            for user in waiting:
                self._advance(user)
            busy = [user.process for user in waiting if user.process is not None and user.process.is_busy]
            left = until - time.monotonic()
            if done() or not busy or left <= 0:
                break
            poll = select.poll()
            for process in busy:
                poll.register(process, select.POLLIN)
            poll.poll(left * 1000)
        answered = done()
        for user in waiting:
            user.is_slow = not answered and user.process is not None and user.process.is_busy
        self._patience_s = max(0.0, self._patience_s - (time.monotonic() - now))
