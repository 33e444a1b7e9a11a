"""Chromium for the tests of this package, and a seeded console to look at with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.browser import chromium as browsers
from tests.browser.console import ADMINISTRATOR, PASSWORD, Console, console


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One browser for the package. Its event loop must end before other tests' begin."""
    if browsers.executable() is None and not os.environ.get("PALYRA_REQUIRE_BROWSER"):
        pytest.skip("No Chromium was found; name it in PALYRA_CHROMIUM.")
    with pytest.MonkeyPatch.context() as patch:
        # The browser's loop runs in the tests' thread, where Django would refuse to be used.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        with browsers.chromium() as browser:
            yield browser


@pytest.fixture(scope="package")
def seeded() -> Iterator[Console]:
    """A console with a month and more of plausible data."""
    with console() as running:
        yield running


@pytest.fixture(scope="package")
def cookies_of(chromium: Browser, seeded: Console) -> Callable[[str], tuple[Any, ...]]:
    """What a browser keeps of somebody's signing in, which they do once for all their pages."""

    @cache
    def cookies(username: str) -> tuple[Any, ...]:
        with browsers.watched_page(chromium, seeded.base_url) as watched:
            sign_in(watched.page, username)
            return tuple(watched.page.context.cookies())

    return cookies


@pytest.fixture
def page(
    chromium: Browser, seeded: Console, cookies_of: Callable[[str], tuple[Any, ...]]
) -> Iterator[Page]:
    """The overview, at which the administrator is signed in; it fails the test if anything went
    wrong."""
    cookies = cookies_of(ADMINISTRATOR)
    with browsers.watched_page(chromium, seeded.base_url, cookies=cookies) as watched:
        watched.page.goto("/admin/")
        yield watched.page


def sign_in(page: Page, username: str = ADMINISTRATOR, password: str = PASSWORD) -> None:
    """Sign in to the console, as people do."""
    page.goto("/admin/login/?next=/admin/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url("**/admin/")
