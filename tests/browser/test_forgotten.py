"""A forgotten password, from the sign-in page over a real e-mail to a new one, and signing out of
another browser."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_string
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import violations
from tests.browser.chromium import watched_page
from tests.browser.console import MEMBER, PASSWORD, console
from tests.support.processes import eventually

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]
NEW = "a quite different one"


@contextmanager
def mail_server() -> Iterator[tuple[int, list[str]]]:
    """The port of one that takes everything, and the texts of what it took."""
    taken: list[str] = []

    class Taking(StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            for raw in self.rfile:
                word = raw.decode().strip().upper()[:4]
                if word == "DATA":
                    self._say("354 go on")
                    taken.append(self._text())
                self._say("221 bye" if word == "QUIT" else "250 fine")
                if word == "QUIT":
                    return

        def _text(self) -> str:
            lines = iter(lambda: self.rfile.readline().decode(), ".\r\n")
            message = message_from_string("".join(lines))
            content: Any = message.get_payload(decode=True)
            return str(content, "utf-8")

        def _say(self, line: str) -> None:
            self.wfile.write(f"{line}\r\n".encode())

    with ThreadingTCPServer(("127.0.0.1", 0), Taking) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1], taken
        finally:
            server.shutdown()
            thread.join()


def _fits(page: Page) -> list[str]:
    found = violations(page)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(f"{page.url} is wider than the screen")
    return found


def _sign_in(page: Page, password: str) -> None:
    page.goto("/account/sign-in/")
    page.get_by_label("Username").fill(MEMBER)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/team/")


def _ask_for_a_link(page: Page, address: str) -> list[str]:
    page.goto("/account/sign-in/")
    page.get_by_role("link", name="Forgotten your password?").click()
    found = _fits(page)
    page.get_by_label("Email").fill(address)
    page.get_by_role("button", name="Send a link").click()
    expect(page.locator("h1")).to_have_text("Look into your e-mail")
    return [*found, *_fits(page)]


def _choose(page: Page, link: str) -> list[str]:
    page.goto(link)
    found = _fits(page)
    page.locator("input[name=password1]").fill(NEW)
    page.locator("input[name=password2]").fill(NEW)
    page.get_by_role("button", name="Set password").click()
    expect(page.locator("main")).to_contain_text("Your password is changed.")
    page.goto(link)
    expect(page.locator("h1")).to_have_text("This link is not good any more")
    return [*found, *_fits(page)]


def test_a_link_leads_to_a_new_password(chromium: Browser) -> None:
    with (
        mail_server() as (port, taken),
        console(PALYRA_EMAIL_URL=f"smtp://127.0.0.1:{port}") as running,
        watched_page(chromium, running.base_url, "phone") as watched,
    ):
        page = watched.page
        found = _ask_for_a_link(page, f"{MEMBER}@example.com")
        (link,) = re.findall(r"http://\S+", _first(taken))
        found += _choose(page, link)
        _sign_in(page, NEW)
    assert not found, "\n".join(found)


def _first(taken: list[str]) -> str:
    return eventually(lambda: taken, bool, what="an e-mail came")[0]


def test_another_browser_is_signed_out(chromium: Browser) -> None:
    with (
        console() as running,
        watched_page(chromium, running.base_url) as there,
        watched_page(chromium, running.base_url, "dark") as here,
    ):
        for one in (there, here):
            _sign_in(one.page, PASSWORD)
        here.page.goto("/account/")
        expect(here.page.locator(".devices li")).to_have_count(2)
        found = _fits(here.page)
        here.page.get_by_role("button", name="Sign out of Chrome on").click()
        expect(here.page.locator("main")).to_contain_text("is signed out.")
        there.page.goto("/account/")
        there.page.wait_for_url("**/account/sign-in/**")
        here.page.goto("/account/forgotten/")
        expect(here.page.locator("main")).to_contain_text("An administrator of Palyra can set")
        found += _fits(here.page)
    assert not found, "\n".join(found)
