"""A real Chromium, and pages in it that notice what must not happen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LOOKS = {
    "light": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1440, "height": 900}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light"},
}
ZONE = "Europe/Prague"


def executable() -> str | None:
    """Where Chromium is: `PALYRA_CHROMIUM`, or where Debian puts it. None if it is nowhere."""
    named = os.environ.get("PALYRA_CHROMIUM")
    return named or shutil.which("chromium") or shutil.which("chromium-browser")


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser until the block ends. Raises `FileNotFoundError` if there is none."""
    path = executable()
    if path is None:
        raise FileNotFoundError(
            "No Chromium was found. Install it (Debian: apt-get install chromium) or name it in "
            "PALYRA_CHROMIUM."
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass  # without slots: Playwright leaves marks on its listeners
class Watched:
    """A page, and what went wrong on it: errors of scripts and requests that left the machine."""

    page: Page
    faults: list[str] = field(default_factory=list)

    def expect_refusals(self) -> None:
        """Take the console's lines about answers such as 403, which the test asked for."""
        self.faults = [fault for fault in self.faults if "Failed to load resource" not in fault]

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.type} on {self.page.url}: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith(("http://127.0.0.1:", "data:", "blob:")):
            self.faults.append(f"{self.page.url} asked for {request.url}")


@contextmanager
def watched_page(
    browser: Browser,
    base_url: str,
    looks: str = "light",
    zone: str = ZONE,
    cookies: Sequence[Any] = (),
) -> Iterator[Watched]:
    """A page in a context of its own, with what a browser kept of signing in if `cookies` are
    given; leaving the block fails if anything went wrong on it."""
    context = browser.new_context(base_url=base_url, timezone_id=zone, **LOOKS[looks])  # type: ignore[arg-type]
    context.add_cookies(list(cookies))
    watched = Watched(context.new_page())
    watched.page.on("console", watched._console)
    watched.page.on(
        "pageerror", lambda error: watched.faults.append(f"script on {watched.page.url}: {error}")
    )
    watched.page.on("request", watched._request)
    try:
        yield watched
    finally:
        context.close()
    assert not watched.faults, "\n".join(watched.faults)
