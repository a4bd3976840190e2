"""The driver of a session: Textual's for the web, which hands out no files and outlives no server."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Literal, TextIO

from textual import messages
from textual.drivers.web_driver import WebDriver


class BrowserDriver(WebDriver):
    """Draws to the browser through our standard output, and reads keys from standard input."""

    def run_input_thread(self) -> None:
        super().run_input_thread()
        self._app.post_message(messages.ExitApp())  # the server is gone, whatever ended it

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
        raise PermissionError("read-only: no files are handed out")

    def open_url(self, url: str, new_tab: bool = True) -> None:
        """Open nothing: a page elsewhere is not the business of a session."""
