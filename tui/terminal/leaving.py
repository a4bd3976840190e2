"""Exits the program, even if one of its threads is stuck in the kernel."""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
import time
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, NoReturn

_PATIENCE_S = 1.0
"""Seconds that the exit waits for running threads. After that they end with the process."""


def run_to_the_end(work: Coroutine[Any, Any, object]) -> None:
    """Run `work` in a new event loop, as asyncio.run() does, without waiting for its threads.

    asyncio.run() waits for the last thread of its pool, which never ends if it reads a file from a dead
    server.
    """
    runner = asyncio.Runner()
    loop = runner.get_loop()
    pool = ThreadPoolExecutor(thread_name_prefix="worker")
    loop.set_default_executor(pool)
    try:
        runner.run(work)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        loop.close()


def leave(code: int) -> NoReturn:
    """Exit with `code` as sys.exit() does, or immediately if threads are stuck."""
    end = time.monotonic() + _PATIENCE_S
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                _leave_at_once(code)
    sys.exit(code)


def _leave_at_once(code: int) -> NoReturn:
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)
