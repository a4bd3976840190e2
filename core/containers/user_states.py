"""The state of users' rootless runtimes: asked of one child for each user, and never waited for long.

A user can make any file slow, huge or deadly to read. So each has a child of his rights and limits, an own
budget, and an own place here: one that does not answer takes nothing away from the others.
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
"""Children that run at a time, at 15 MB each; containers of one user that are asked about."""

_TURN_S = 2.0
"""So long a child may stay when others wait for their turn."""

_NEW_AT_ONCE = 128
_AVOIDED = 64
_AVOIDED_S = 600.0
_FIRST_REST_S, _LAST_REST_S = 2.0, 300.0
_IDLE_S = 30.0

_PATIENCE_S = 4.0
_PATIENCE_PER_S = 0.02
"""Seconds that may be waited for children in all, which are regained slowly: a fiftieth of the time."""

NOT_YET = "its user's files have not been read yet"


class _User(msgspec.Struct):
    """One user, what was asked about, and what the child has said."""

    home: Home
    process: UserProcess | None = None
    wanted: OrderedDict[tuple[str, str], None] = msgspec.field(default_factory=OrderedDict)
    """Containers that are asked about."""
    unasked: dict[tuple[str, str], None] = {}
    """Those of them that this child does not know of yet."""
    unwanted: list[tuple[str, str]] = []
    told: dict[tuple[str, str], tuple[ContainerFacts | None, str | None]] = {}
    claims: tuple[Placed, ...] = ()
    looks: bool = False
    """Whether there is a folder of runc or crun to be looked at."""
    avoid: dict[str, tuple[str, float]] = {}
    problem: str | None = None
    rest_s: float = _FIRST_REST_S
    rests_until: float = 0.0
    used: float = 0.0
    started: float = 0.0
    waits_since: float = 0.0
    """When the child answered last and was started, and since when there is no room for it; 0: never."""
    is_slow: bool = False
    """It did not answer in the time it was waited for: nobody waits for it until it has answered."""


class UserStates:
    """Facts and claims of all users. One thread owns it; it waits a moment for a child, else never."""

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
        """What could not be read, one text for each user."""
        return [user.problem for user in self._users.values() if user.problem]

    def facts(self, uid: int, container_id: str, runtime: str) -> tuple[ContainerFacts | None, str | None]:
        """Return what the state of a user says of a container; None and None: it says nothing."""
        if os.geteuid() not in (0, uid):
            return None, f"the state of user {uid} may not be read (run as root to see container names)"
        user = self._user(uid)
        key = (container_id, runtime)
        if key not in user.wanted:
            if len(user.wanted) >= _WANTED:
                return None, f"user {uid} has more than the {_WANTED} containers that are asked about"
            user.wanted[key] = user.unasked[key] = None
            self._wait([user], lambda: key in user.told)
        if key in user.told:
            return user.told[key]
        return None, user.problem or NOT_YET

    def is_waited_for(self, uid: int, container_id: str, runtime: str) -> bool:
        """Return whether a user's state was asked about a container, and has not been read yet."""
        user = self._users.get(uid)
        key = (container_id, runtime)
        return user is not None and key in user.wanted and key not in user.told

    @property
    def is_waiting(self) -> bool:
        """Return whether an answer is on its way that was not there before."""
        now = time.monotonic()
        return any(
            user.rests_until <= now and any(key not in user.told for key in user.wanted)
            for user in self._users.values()
        )

    def refresh(self) -> tuple[set[Key], dict[int, tuple[Placed, ...]]]:
        """Take what children have said, and ask them for what has changed since; return the containers
        whose facts are others now, and the claims of all users."""
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
        """Ask about no other containers than these any more."""
        for user in self._users.values():
            for key in [key for key in user.wanted if key[0] not in ids]:
                del user.wanted[key]
                user.told.pop(key, None)
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
        """Take an answer that is there; ask what there is to be asked. Never waits."""
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
            user.avoid.clear()  # the files may be other ones now: a new child looks
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
        for told in reply.told:
            key = (told.id, told.runtime)
            answer = (checked_facts(told.facts), checked_text(told.reason))
            earlier = user.told.get(key)
            if earlier and earlier[0] and answer[0] is None:
                continue  # the container was removed; its last processes keep the name they had
            if key in user.wanted and earlier != answer:
                user.told[key] = answer
                self._changed.add((*key, uid))
        if reply.claims is not None:
            placed = [placed_of_claim(claim, uid) for claim in reply.claims[:CLAIMS]]
            user.claims = tuple(one for one in placed if one)
        if reply.exceeded:
            user.problem = f"user {uid}: {checked_text(reply.exceeded)}"
        elif user.process is not None and not user.avoid:
            user.problem = None

    def _note_end(self, user: _User, end: ChildEnded) -> None:
        """Keep why a child has ended; the next one is started after a rest, and leaves that file out."""
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
        """Return whether there is room for another child; who has waited longest comes first."""
        user.waits_since = user.waits_since or time.monotonic()
        running = sum(other.process is not None for other in self._users.values())
        earlier = sum(0.0 < other.waits_since < user.waits_since for other in self._users.values())
        if running + earlier >= _CHILDREN:
            return False
        user.waits_since = 0.0
        return True

    def _makes_room(self, user: _User) -> bool:
        """Return whether a child has had its turn, and another user waits for one."""
        had_its_turn = time.monotonic() - user.started > _TURN_S
        return had_its_turn and any(other.waits_since for other in self._users.values())

    def _end(self, user: _User) -> None:
        if user.process is not None:
            user.process.close()
            user.process = None

    # --- patience ------------------------------------------------------------------------------

    def _wait(self, users: Iterable[_User], done: Callable[[], bool]) -> None:
        """Wait for children as long as there is patience: one call takes half of what is left at most, so
        that a user who does not answer leaves some for the others."""
        now = time.monotonic()
        regained = (now - self._patient_since) * _PATIENCE_PER_S
        self._patience_s = min(_PATIENCE_S, self._patience_s + regained)
        self._patient_since = now
        until = now + self._patience_s / 2
        waiting = [user for user in users if not user.is_slow]
        while waiting and not done():
            for user in waiting:
                self._advance(user)
            open_ones = [
                user.process for user in waiting if user.process is not None and user.process.is_busy
            ]
            left = until - time.monotonic()
            if done() or not open_ones or left <= 0:
                break
            poll = select.poll()
            for process in open_ones:
                poll.register(process, select.POLLIN)
            poll.poll(left * 1000)
        answered = done()
        for user in waiting:
            user.is_slow = not answered and user.process is not None and user.process.is_busy
        self._patience_s = max(0.0, self._patience_s - (time.monotonic() - now))
