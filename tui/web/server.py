"""The server of `ebpf-tui serve`: a page, and a websocket for each tab, only on 127.0.0.1."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from string import Template

import textual_serve
from aiohttp import web

from core.text.safe import safe_text
from tui.output import CommandError, ExitCode, narrate
from tui.web.auth import AccessCheck, is_local, is_own_page
from tui.web.gate import Gate, quiet
from tui.web.options import TabOptions
from tui.web.tab import BrowserTab

ADDRESS = "127.0.0.1"
MOST_SESSIONS = 4
"""Sessions at a time: each is a process of about 60 MB with its own probe in the kernel."""

_WAIT_FOR_A_PLACE = 6.0
"""Seconds: a reloaded page connects before its old session has ended."""

_FULL_SECONDS = 300.0
_KEEPALIVE_SECONDS = 30.0
_MOST_SOCKETS = 4 * MOST_SESSIONS
"""Tabs with a session, and tabs that show that no session is free."""

_BACKLOG = 32
_COOKIE = "ebpf-tui"
_HERE = Path(__file__).parent
_STATIC = Path(textual_serve.__path__[0]) / "static"
_ENDS = {signal.SIGINT: ExitCode.INTERRUPTED, signal.SIGTERM: ExitCode.TERMINATED, signal.SIGHUP: 129}
_HEADERS = {
    # xterm.js needs inline styles. Everything else is loaded from this server only.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "font-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """Serves on one port. `access` checks requests, `options` are those of every session."""

    def __init__(self, options: TabOptions, access: AccessCheck | None = None) -> None:
        self.access = access or AccessCheck()
        self._options = options
        self._gate = Gate()
        self._places = asyncio.Semaphore(MOST_SESSIONS)
        self._sockets: set[web.WebSocketResponse] = set()
        self._page = Template((_HERE / "page.html").read_text())

    async def run(self, port: int, opened: Callable[[int], None]) -> int:
        """Serve until a signal ends it; return the exit code. `opened` is called with the port.

        Raises CommandError if it cannot listen on the port. On return, every session has ended.
        """
        end: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def ended(code: int) -> None:
            if not end.done():
                end.set_result(code)

        loop = asyncio.get_running_loop()
        loop.set_exception_handler(quiet(narrate))
        runner = web.AppRunner(
            self._application(), access_log=None, logger=_silent(), shutdown_timeout=10,
            keepalive_timeout=_KEEPALIVE_SECONDS, lingering_time=0,
        )  # fmt: skip
        await runner.setup()
        answering = runner.server
        assert answering is not None
        listening: asyncio.Server | None = None
        try:
            listening = await _listen(lambda: self._gate.wrap(answering()), port)
            for number, code in _ENDS.items():
                loop.add_signal_handler(number, ended, int(code))
            opened(listening.sockets[0].getsockname()[1])
            return await end
        finally:
            if listening is not None:
                listening.close()
            await runner.cleanup()

    def _application(self) -> web.Application:
        app = web.Application(middlewares=[self._guard], client_max_size=0)
        path = self.access.path
        app.add_routes(
            [
                web.get("/", self._enter),
                web.get(path, self._index),
                web.get(f"{path}ws", self._websocket),
                web.get(f"{path}page.js", self._script),
                web.static(f"{path}static", _STATIC),
            ]
        )
        app.on_shutdown.append(self._close_all)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Accept only requests that name this machine and have the cookie; `/` checks the token instead."""
        if len(request.headers.getall("Host", [])) != 1 or not is_local(request.headers["Host"]):
            return _refused("only this machine has access: open the address exactly as printed")
        inside = request.path != "/"
        if inside and not self.access.knows_cookie(request.cookies.get(_COOKIE, "")):
            return _refused("open the address that `ebpf-tui serve` printed: it carries the token")
        if inside:
            self._gate.admit(request.transport)
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=f"{error.reason}\n")
        if not response.prepared:
            response.headers.update(_HEADERS)
        return response

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """Exchange the token in the address for a cookie."""
        if not self.access.knows_token(request.query.get("token", "")):
            return _refused("open the address that `ebpf-tui serve` printed: it carries the token")
        self._gate.admit(request.transport)
        response = web.Response(status=303, headers={"Location": self.access.path})
        response.set_cookie(
            _COOKIE, self.access.cookie, path=self.access.path, httponly=True, samesite="Strict"
        )
        return response

    async def _index(self, request: web.Request) -> web.StreamResponse:
        # The Host header was checked: it is a name of this machine and a port.
        text = self._page.substitute(socket=f"ws://{request.host}{self.access.path}ws")
        return web.Response(text=text, content_type="text/html")

    async def _script(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=(_HERE / "page.js").read_text(), content_type="text/javascript")

    async def _websocket(self, request: web.Request) -> web.StreamResponse:
        if not is_own_page(request.headers.get("Origin", ""), request.host):
            return _refused("only a page of this server may open its websocket")
        if len(self._sockets) >= _MOST_SOCKETS:
            return _refused("too many tabs are waiting for a session")
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=1 << 16)
        await socket.prepare(request)
        self._sockets.add(socket)
        try:
            async with asyncio.timeout(_WAIT_FOR_A_PLACE):
                await self._places.acquire()
        except TimeoutError:
            await _show_full(socket)
        else:
            try:
                width, height = (_number(request.query.get(name, "")) for name in ("width", "height"))
                await BrowserTab(socket, self._options).serve(width or 80, height or 24)
            finally:
                self._places.release()
        finally:
            self._sockets.discard(socket)
            await socket.close()
        return socket

    async def _close_all(self, app: web.Application) -> None:
        await asyncio.gather(*(socket.close(code=1001) for socket in list(self._sockets)))


async def _listen(factory: Callable[[], asyncio.Protocol], port: int) -> asyncio.Server:
    try:
        return await asyncio.get_running_loop().create_server(factory, ADDRESS, port, backlog=_BACKLOG)
    except OSError as error:
        reason = safe_text(os.strerror(error.errno)) if error.errno else safe_text(str(error))
        raise CommandError(
            f"cannot serve on {ADDRESS}:{port}: {reason}; use --port 0 for a free port"
        ) from None


def _refused(reason: str) -> web.Response:
    response = web.Response(status=403, text=f"{reason}\n", headers=_HEADERS)
    response.force_close()
    return response


def _silent() -> logging.Logger:
    """Return a logger that drops everything: requests of strangers could fill the disk."""
    logger = logging.getLogger("ebpf_tui.web.requests")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False
    return logger


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0


async def _show_full(socket: web.WebSocketResponse) -> None:
    """Show in the tab's terminal why it has no session, and keep that for _FULL_SECONDS."""
    text = f"\x1b[?25l\x1b[2;3H{MOST_SESSIONS} sessions are open, which is the limit.\x1b[4;3H"
    await socket.send_bytes(f"{text}Close one of their tabs, then reload this page.".encode())
    try:
        async with asyncio.timeout(_FULL_SECONDS):
            async for _ in socket:
                pass  # ignore keys
    except TimeoutError:
        pass
