"""One browser tab: a process with the screens, and the websocket that shows them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import PIPE, Process

import msgspec
from aiohttp import WSMsgType
from aiohttp.web import WebSocketResponse
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from core.system.interpreter import NEUTRAL, python_module
from tui.web.options import TabOptions

_PATIENCE = 5.0
"""Seconds that a session has to detach its probe and exit; then it is killed."""

_LARGEST = (1000, 500)
"""The most columns and rows that a browser can request."""


class BrowserTab(AppService):
    """Runs the screens for one websocket, as long as it is open. Accepts only keys and sizes."""

    def __init__(self, socket: WebSocketResponse, options: TabOptions) -> None:
        super().__init__(
            "", write_bytes=self._show, write_str=socket.send_str, close=self._close,
            download_manager=DownloadManager(),
        )  # fmt: skip
        self._socket = socket
        self._options = options

    async def serve(self, width: int, height: int) -> None:
        """Show the screens until the user quits or the browser disconnects; leaves no process."""
        await self.start(*_bounded(width, height))
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._take(message.data)
        finally:
            await asyncio.shield(self.stop())

    async def stop(self) -> None:
        """Ask the process to exit and wait; kill it if it takes too long."""
        process, task = self._process, self._task
        if process is None or task is None:
            return
        try:
            async with asyncio.timeout(_PATIENCE):
                await self.send_meta({"type": "quit"})
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        await task

    async def _take(self, text: str) -> None:
        """Forward a message of the browser; unknown messages are dropped."""
        try:
            match json.loads(text):
                case ["stdin", str(keys)]:
                    await self.send_bytes(keys.encode("utf-8", "replace"))
                case ["resize", {"width": int(width), "height": int(height)}]:
                    await self.set_terminal_size(*_bounded(width, height))
                case ["ping", str(when)]:
                    await self._socket.send_json(["pong", when])
                case ["focus"]:
                    await self.focus()
                case ["blur"]:
                    await self.blur()
        except (ValueError, RecursionError):
            pass

    async def _show(self, data: bytes) -> None:
        # Keep reading after the tab is closed: the process writes until it has ended.
        with contextlib.suppress(ConnectionResetError):
            await self._socket.send_bytes(data)

    async def _close(self) -> None:
        await self._socket.close()

    async def on_meta(self, data: bytes) -> None:
        """Handle only `exit` of Textual's requests to a browser: no files, no addresses."""
        if json.loads(data).get("type") == "exit":
            await self._close()

    async def on_packed(self, payload: bytes) -> None:
        """Drop parts of files: no files are delivered."""

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        environment = super()._build_environment(width, height)
        environment["TEXTUAL_DRIVER"] = "tui.web.driver:BrowserDriver"
        environment["TERM"] = "xterm-256color"
        return environment

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # In its own session: ctrl+c in our terminal does not reach it, and killpg ends its children, too.
        self._process = process = await asyncio.create_subprocess_exec(
            *python_module("tui.web.tab_process", msgspec.json.encode(self._options).decode()),
            stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True, cwd=NEUTRAL,
            env=self._build_environment(width, height),
        )  # fmt: skip
        self._stdin = process.stdin
        return process


def _bounded(width: int, height: int) -> tuple[int, int]:
    return max(1, min(width, _LARGEST[0])), max(1, min(height, _LARGEST[1]))
