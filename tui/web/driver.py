"""The driver of a browser session: Textual's web driver, without file delivery, ending with the server."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from textual import messages
from textual.drivers.web_driver import WebDriver


class BrowserDriver(WebDriver):
    """Draws to the browser through standard output and reads keys from standard input."""

    def run_input_thread(self) -> None:
        super().run_input_thread()
        self._app.post_message(messages.ExitApp())  # stdin ended, so the server is gone

    def deliver_binary(
        self,
        binary: BinaryIO | TextIO,
        *,
        delivery_key: str,
        save_path: Path,
        open_method: Literal["browser", "download"] = "download",
        encoding: str | None = None,
        mime_type: str | None = None,
        name: str | None = None,
    ) -> None:
        binary.close()
        raise PermissionError("read-only: no files are delivered")

    def open_url(self, url: str, new_tab: bool = True) -> None:
        """Do nothing: a session opens no other pages."""
