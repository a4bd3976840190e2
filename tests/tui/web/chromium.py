"""A real headless Chromium, driven through its own protocol (CDP) over a websocket."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse

PROGRAM = next(filter(None, map(shutil.which, ("chromium-headless-shell", "chromium"))), None)
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-port=0",
    "--window-size=1200,700",
)  # fmt: skip
_SHIFT = 8


class Chromium:
    """`async with Chromium(directory)`: a browser with an empty profile; `page()` opens a tab."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile

    async def __aenter__(self) -> Chromium:
        assert PROGRAM is not None
        self._process = subprocess.Popen(
            [PROGRAM, *_FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        ready = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(40):
            while not (ready.exists() and len(ready.read_text().splitlines()) == 2):
                assert self._process.poll() is None, "Chromium ended"
                await asyncio.sleep(0.05)
        port, path = ready.read_text().splitlines()
        self._http = ClientSession()
        self._socket: ClientWebSocketResponse = await self._http.ws_connect(
            f"ws://127.0.0.1:{port}{path}", max_msg_size=0
        )
        self._numbers = itertools.count(1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._http.close()
        os.killpg(self._process.pid, signal.SIGKILL)  # what was started may be a script in front of it
        self._process.wait()

    async def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))
        async with asyncio.timeout(20):
            while True:  # events come between; nobody here wants them
                answer = json.loads((await self._socket.receive()).data)
                if answer.get("id") == number:
                    assert "error" not in answer, answer
                    result: dict[str, Any] = answer["result"]
                    return result

    async def page(self, url: str) -> Page:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        page = Page(self, target, session)
        await page.load(url)
        return page


class Page:
    """A tab. `text` is what the terminal in it shows: xterm.js draws on a canvas, so it is copied out."""

    def __init__(self, browser: Chromium, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session

    async def load(self, url: str) -> None:
        await self._browser.call("Page.navigate", self._session, url=url)

    async def run(self, script: str) -> Any:
        answer = await self._browser.call(
            "Runtime.evaluate", self._session, expression=script, returnByValue=True
        )
        return answer["result"].get("value")

    async def text(self) -> str:
        """Select everything with the mouse, as a person would, and copy it.

        With shift where the program has the mouse; where it has not, shift goes on with a selection.
        """
        return await self._selected(_SHIFT) or await self._selected(0)

    async def _selected(self, modifiers: int) -> str:
        for kind, x, y in (("mousePressed", 1, 1), ("mouseMoved", 1190, 690), ("mouseReleased", 1190, 690)):
            await self._browser.call(
                "Input.dispatchMouseEvent", self._session, type=kind, x=x, y=y, button="left", buttons=1,
                clickCount=1, modifiers=modifiers,
            )  # fmt: skip
        copied = await self.run(
            "(() => { const data = new DataTransfer(), at = document.querySelector('.xterm');"
            " if (!at) return '';"
            " at.dispatchEvent(new ClipboardEvent('copy', {clipboardData: data, bubbles: true}));"
            " return data.getData('text/plain'); })()"
        )
        return str(copied or "").replace("\xa0", " ")

    async def wait_for(self, words: str) -> str:
        shown = ""
        try:
            async with asyncio.timeout(30):
                while words not in (shown := await self.text()):
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise AssertionError(f"{words!r} is not in:\n{shown}") from None
        return shown

    async def wait_until(self, script: str) -> None:
        async with asyncio.timeout(20):
            while not await self.run(script):
                await asyncio.sleep(0.05)

    async def type(self, keys: str) -> None:
        for key in keys:
            await self._browser.call("Input.dispatchKeyEvent", self._session, type="char", text=key)

    async def picture(self) -> bytes:
        return base64.b64decode((await self._browser.call("Page.captureScreenshot", self._session))["data"])

    async def close(self) -> None:
        await self._browser.call("Target.closeTarget", targetId=self._target)
