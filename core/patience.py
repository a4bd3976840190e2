"""Reading what a stuck process may never give.

/proc/PID/cmdline needs the process's memory map. A process that waits in the kernel with its map locked
(state D: a dead NFS or FUSE server, a lost disk) blocks whoever reads it, until the kernel lets go or the
reader is killed (fs/proc/base.c, mmap_read_lock_killable). `stat` and `status` need no map and always answer.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

WAIT_S = 0.1
"""So long a read may take. Of a process that only waits for its disk it takes some µs."""

MAX_STUCK = 64
"""Reads that may hang at a time; beyond it, nobody in state D is read."""

Facts = dict[str, object]


class Patience:
    """Reads on threads of their own: one that does not come back in time is left behind.

    At most one for each process and MAX_STUCK in all. They end with the program: being killed frees them.
    Any thread may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stuck: dict[int, threading.Thread] = {}

    def read(self, pid: int, directory: int, read: Callable[[int], Facts]) -> Facts:
        """Return what `read` makes of /proc/PID, or raise what it raises; TimeoutError: it takes too long.

        The descriptor is copied for it, because the read may outlast its owner's use of it.
        """
        answers: list[Facts | Exception] = []

        def run(own: int) -> None:
            try:
                answers.append(read(own))
            except Exception as error:  # handed on to the one who waits
                answers.append(error)
            finally:
                os.close(own)

        with self._lock:
            self._stuck = {stuck: thread for stuck, thread in self._stuck.items() if thread.is_alive()}
            if pid in self._stuck or len(self._stuck) >= MAX_STUCK:
                raise TimeoutError
            own = os.dup(directory)
            thread = threading.Thread(target=run, args=(own,), name=f"/proc/{pid}", daemon=True)
            self._stuck[pid] = thread
            thread.start()
        thread.join(WAIT_S)
        if not answers:
            raise TimeoutError
        answer = answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
