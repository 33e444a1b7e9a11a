"""What an operator does in the console, done in a real browser, on the phone they are called on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import watched_page
from tests.browser.console import OPERATOR, Console

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]


@pytest.fixture
def phone(
    chromium: Browser, seeded: Console, cookies_of: Callable[[str], tuple[Any, ...]]
) -> Iterator[Page]:
    """A phone's page on which the operator is signed in."""
    cookies = cookies_of(OPERATOR)
    with watched_page(chromium, seeded.base_url, "phone", cookies=cookies) as watched:
        yield watched.page


def _open_first(page: Page, address: str, text: str = "") -> None:
    page.goto(address)
    page.locator("#result_list tbody th a", has_text=text).first.click()
    page.wait_for_url("**/change/**")


def _do(page: Page, name: str, **fields: str) -> None:
    """Take an action of the object's page, through its panel if it has one."""
    button = page.get_by_role("button", name=name, exact=True)
    summary = page.locator("summary", has_text=name)
    if summary.count():
        summary.click()
        panel = page.locator("details[open] .palyra-panel")
        for label, value in fields.items():
            panel.get_by_label(label).fill(value)
    button.click()


def _said(page: Page, text: str) -> None:
    expect(page.locator("#main")).to_contain_text(text)


def test_an_alert_is_acknowledged_muted_and_resolved(phone: Page) -> None:
    _open_first(phone, "/admin/governance/alert/?state=unhandled")
    _do(phone, "Acknowledge")
    _said(phone, "Acknowledged: you look after it.")
    _said(phone, "oscar")
    _do(phone, "Mute", Hours="2")
    _said(phone, "Muted until")
    _do(phone, "Unmute")
    _said(phone, "Unmuted: what comes of it is sent again.")
    _do(phone, "Resolve")
    _said(phone, "Resolved.")

    expect(phone.locator(".palyra-actions :is(summary, button)")).to_have_count(0)
    phone.goto("/admin/governance/alert/?state=open")
    expect(phone.get_by_role("heading", name="Nothing matches")).to_be_visible()


def test_a_request_is_denied_with_a_comment(phone: Page) -> None:
    _open_first(phone, "/admin/governance/approval/?status__exact=pending", "Each team")
    _do(phone, "Deny", Comment="Not before the meeting.")

    _said(phone, "Denied: the limit of “Each team, tokens a day” stays as it is.")
    _said(phone, "Not before the meeting.")


def test_palyras_own_job_is_paused_resumed_and_run(phone: Page) -> None:
    phone.goto("/admin/scheduling/maintenancejob/alerts/change/")
    _do(phone, "Pause", Why="The mail server moves.")
    _said(phone, "It is paused: The mail server moves.")
    _do(phone, "Resume")
    _said(phone, "It runs again.")
    _do(phone, "Run now")
    _said(phone, "A scheduler runs it in a moment.")


def test_a_prompt_is_paused_resumed_and_run(phone: Page) -> None:
    _open_first(phone, "/admin/scheduling/cronjob/?q=Month-end")
    _do(phone, "Pause", Why="Until the invoices are in.")
    _said(phone, "“Month-end reminder” is paused: Until the invoices are in.")
    _do(phone, "Resume")
    _said(phone, "“Month-end reminder” runs again, from now on.")
    _do(phone, "Run now")
    _said(phone, "is queued to run now")


def test_a_delivery_is_sent_again(phone: Page) -> None:
    _open_first(phone, "/admin/governance/delivery/")
    _do(phone, "Send again")

    _said(phone, "It is on its way again.")
