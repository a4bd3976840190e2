"""`ebpf-tui serve`, in a real headless Chromium; and who is not let in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientTimeout, WSServerHandshakeError

from tests.places import ROOT
from tests.tui.web.chromium import PROGRAM, Chromium
from tests.tui.web.served import CHECKOUT_ENV, DIRECTORY, Served
from tui.web.gate import STRANGER_SECONDS

needs_chromium = pytest.mark.needs(PROGRAM or "chromium")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.05)


async def cookie_of(http: ClientSession, served: Served) -> tuple[str, str]:
    """Come in as a browser does; return the page's path and the cookie."""
    async with http.get(served.url, allow_redirects=False) as answer:
        assert answer.status == 303
        given = answer.cookies["ebpf-tui"]
        assert given["httponly"]
        assert given["samesite"] == "Strict"
        return answer.headers["Location"], f"ebpf-tui={given.value}"


@needs_chromium
async def test_the_tree_is_in_the_browser_keys_work_and_it_only_looks(served: Served, tmp_path: Path) -> None:
    async with Chromium(tmp_path) as browser:
        page = await browser.page(served.url)
        await page.wait_for("procfs")  # a row of the tree; its column's heading is there before
        await page.type(f"/pid:{os.getpid()}\r")
        await page.wait_for(f" {os.getpid()} ")
        await page.wait_for("enter Explain")  # the filter has been left: the next key is not its
        assert "token" not in await page.run("location.href")
        assert len(served.sessions()) == 1
        await page.type("2")
        await page.wait_for("[2 Build]")
        await page.type("B")
        await page.wait_for("Read-only: nothing is built")
        await page.type("1")
        await page.wait_for("[1 Processes]")
        await page.type("K")  # although --allow-signals was given
        await page.wait_for("Read-only: no signals are sent")
        await page.type("L")
        await page.wait_for("Read-only: the probe")
        picture = await page.picture()
        assert len(picture) > 10_000
        if where := os.environ.get("SERVE_PICTURE"):
            Path(where).write_bytes(picture)
        (pid,) = served.sessions()
        await page.close()
        await until(lambda: not served.sessions())
        assert not Path(f"/proc/{pid}").exists()


@needs_chromium
async def test_q_ends_the_session_and_a_fifth_tab_is_told(served: Served, tmp_path: Path) -> None:
    async with Chromium(tmp_path) as browser:
        pages = [await browser.page(served.url) for _ in range(4)]
        for page in pages:
            await page.wait_for("1 Processes")
        assert len(served.sessions()) == 4
        fifth = await browser.page(served.url)
        await fifth.wait_for("4 sessions are open, which is the limit")
        assert len(served.sessions()) == 4
        await pages[0].type("q")
        await until(lambda: len(served.sessions()) == 3)
        await pages[0].wait_until("document.body.classList.contains('-closed')")
        code, said = served.end(signal.SIGINT)  # ctrl+c ends the other three
        assert code == 130
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("", {}),
        ("?token=wrong", {}),
        ("?token=%C3%A9", {}),
        ("GOOD", {"Host": "evil.example"}),
        ("GOOD", {"Host": "127.0.0.1.evil.example:80"}),
        ("GOOD", {"Host": ""}),
        ("static/js/textual.js", {}),
    ],
)
async def test_without_the_token_or_under_another_name_nothing_is_served(
    served: Served, path: str, headers: dict[str, str]
) -> None:
    address = served.url if path == "GOOD" else served.root + path
    async with (
        ClientSession() as http,
        # Not followed: behind a redirect everything is refused for want of a cookie.
        http.get(address, headers=headers, allow_redirects=False) as answer,
    ):
        assert answer.status == 403
        assert "Set-Cookie" not in answer.headers
        assert "<html" not in await answer.text()


async def test_a_websocket_needs_the_cookie_and_a_page_of_ours(served: Served) -> None:
    async with ClientSession() as http:
        where, cookie = await cookie_of(http, served)
        http.cookie_jar.clear()
        address, own = f"{served.root.rstrip('/')}{where}ws", served.root.rstrip("/")
        for headers in (
            {"Origin": own},
            {"Origin": own, "Cookie": "ebpf-tui=wrong"},
            {"Origin": "http://evil.example", "Cookie": cookie},
            {"Cookie": cookie},
        ):
            with pytest.raises(WSServerHandshakeError, match="403"):
                await http.ws_connect(address, headers=headers)
        assert served.sessions() == []
        async with http.ws_connect(address, headers={"Origin": own, "Cookie": cookie}) as ws:
            for hostile in (
                "[",
                "[]",
                "7",
                '["resize",{"width":"x"}]',
                "[" * 5000,
                '["resize",{"width":1e9}]',
            ):
                await ws.send_str(hostile)
            assert (await ws.receive(timeout=20)).data
            assert len(served.sessions()) == 1
        await until(lambda: not served.sessions())


async def test_it_listens_on_loopback_alone(served: Served) -> None:
    port = f":{served.told['port']:04X}"
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()
    ]
    assert [row[1] for row in rows if row[1].endswith(port) and row[3] == "0A"] == [f"0100007F{port}"]


async def test_a_session_does_not_outlive_a_server_that_was_killed(served: Served) -> None:
    async with ClientSession() as http:
        where, cookie = await cookie_of(http, served)
        own = served.root.rstrip("/")
        ws = await http.ws_connect(f"{own}{where}ws", headers={"Origin": own, "Cookie": cookie})
        await until(lambda: bool(served.sessions()))
        await ws.receive(timeout=20)
        (pid,) = served.sessions()
        served.process.kill()
        served.process.communicate(timeout=20)
        await until(lambda: not Path(f"/proc/{pid}/exe").exists())


async def test_a_session_that_does_not_end_by_itself_is_killed(served: Served) -> None:
    """Its tab is closed, and it does not hear that it is to quit: a stuck host, or a stopped process."""
    async with ClientSession() as http:
        where, cookie = await cookie_of(http, served)
        own = served.root.rstrip("/")
        ws = await http.ws_connect(f"{own}{where}ws", headers={"Origin": own, "Cookie": cookie})
        await until(lambda: bool(served.sessions()))
        await ws.receive(timeout=20)
        (pid,) = served.sessions()
        # It starts in a neutral directory, and goes to the project's before it shows anything.
        await until(lambda: Path(f"/proc/{pid}/cwd").readlink() == DIRECTORY)
        os.kill(pid, signal.SIGSTOP)
        await ws.close()
        await until(lambda: not served.sessions())
        assert not Path(f"/proc/{pid}/exe").exists()


def test_it_ends_with_143_on_sigterm(served: Served) -> None:
    assert served.end(signal.SIGTERM)[0] == 143


def test_a_port_that_is_taken_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ran = subprocess.run(
            [sys.executable, "-m", "tui.cli.main", "serve", "--port", port],
            capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (1, "")
    assert len(ran.stderr.splitlines()) == 1
    assert f"127.0.0.1:{port}" in ran.stderr


def test_what_is_tested_here_is_the_checkout(served: Served) -> None:
    where = [sys.executable, "-P", "-c", "import tui.web.tab_process; print(tui.web.tab_process.__file__)"]
    shown = subprocess.check_output(where, cwd="/", env=CHECKOUT_ENV, text=True)
    assert Path(shown.strip()) == ROOT / "tui/web/tab_process.py"
    assert f"PYTHONPATH={ROOT}".encode() in Path(f"/proc/{served.process.pid}/environ").read_bytes()


def open_files(served: Served) -> int:
    return len(list(Path(f"/proc/{served.process.pid}/fd").iterdir()))


async def enters(served: Served) -> None:
    """Come in with the token; a full server would not answer, or not in time."""
    async with ClientSession(timeout=ClientTimeout(total=20)) as http:
        await cookie_of(http, served)


async def closed(stranger: socket.socket) -> bool:
    """Return whether the server closes a connection; strangers have some seconds."""
    stranger.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(STRANGER_SECONDS + 20):
            while await loop.sock_recv(stranger, 4096):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("descriptors", [64, 1024])
async def test_idle_connections_take_neither_descriptors_nor_places(descriptors: int) -> None:
    server = Served("--no-probe", descriptors=descriptors)
    held: list[socket.socket] = []
    try:
        for _ in range(600):
            held.append(socket.create_connection(("127.0.0.1", server.told["port"]), timeout=20))
        await enters(server)
        assert open_files(server) < 60
        assert await closed(held[-1])
        await until(lambda: open_files(server) < 24)
        await enters(server)
    finally:
        for stranger in held:
            stranger.close()
        code, narrated = server.end(signal.SIGTERM)
    assert code == 143
    assert len(narrated.splitlines()) < 6, narrated


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 50_000,
        b"GET /" + b"a" * 200_000,
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000000\r\n\r\n",
        b"\x16\x03\x01",
    ],
    ids=["nothing", "half a request", "many headers", "long address", "no token", "long body", "no HTTP"],
)
async def test_a_stranger_is_gone_after_some_seconds_whatever_they_send(served: Served, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", served.told["port"]), timeout=20) as stranger:
        try:
            stranger.sendall(sent)
        except (ConnectionError, TimeoutError):
            return  # it was closed while we were sending
        assert await closed(stranger)


async def test_headers_that_come_letter_by_letter_do_not_last(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.told["port"]), timeout=20) as stranger:
        stranger.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for _ in range(400):
                stranger.sendall(b"X: y\r\n")
                await asyncio.sleep(0.1)
            pytest.fail("the connection is still open")


async def test_who_has_the_cookie_keeps_the_connection_while_strangers_come(served: Served) -> None:
    async with ClientSession() as http:
        where, cookie = await cookie_of(http, served)
        own = served.root.rstrip("/")
        async with http.ws_connect(f"{own}{where}ws", headers={"Origin": own, "Cookie": cookie}) as tab:
            address = ("127.0.0.1", served.told["port"])
            strangers = [socket.create_connection(address, timeout=20) for _ in range(200)]
            await asyncio.sleep(STRANGER_SECONDS + 1)
            await tab.send_str('["ping","7"]')
            async with asyncio.timeout(20):
                while (await tab.receive()).data != '["pong", "7"]':
                    pass
            for stranger in strangers:
                stranger.close()


@needs_chromium
async def test_the_first_key_needs_no_click(served: Served, tmp_path: Path) -> None:
    async with Chromium(tmp_path) as browser:
        page = await browser.page(served.url)
        await page.wait_until("document.activeElement.classList.contains('xterm-helper-textarea')")
        await until(lambda: len(served.sessions()) == 1)
        await page.type("?")
        await page.wait_for("Help")
