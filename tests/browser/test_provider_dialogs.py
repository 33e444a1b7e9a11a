"""A provider's dialogs in a real browser: tested and discovered, by keyboard, on a phone, and by
whoever may only test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, Route, expect

from tests.browser.chromium import watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import ADMINISTRATOR, OPERATOR, PASSWORD, Console
from tests.browser.looks import page_faults
from tests.providers.host import Host, hosting
from tests.support.client import Person

pytestmark = [pytest.mark.browser, pytest.mark.processes]
PRICED = {"id": "priced", "pricing": {"prompt": "0.000001", "completion": "0.000002"}}
OTHERS = tuple(f"chat-{number:02}" for number in range(13))


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting(PRICED, *OTHERS) as host:
        yield host


@pytest.fixture
def provider(seeded: Console, host: Host) -> Iterator[str]:
    """A provider at that host; the address of its list."""
    administrator = Person(seeded.base_url, ADMINISTRATOR, PASSWORD)
    # What was priced stays, for a price is never deleted: each test has one of its own.
    name = f"talking-{host.port}"
    administrator.post(
        "/providers",
        {
            "name": name,
            "display_name": "Talking",
            "kind": "openai_compatible",
            "base_url": host.base_url,
            "allow_private_base_url": True,
        },
    )
    yield f"/admin/providers/provider/?q={name}"
    administrator.request("PATCH", f"/providers/{name}", {"enabled": False})
    administrator.close()


def _open(page: Page, provider: str) -> None:
    page.goto(provider)
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("heading", name="How it is doing").wait_for()
    page.wait_for_load_state("networkidle")


def _dialog(page: Page, name: str) -> Locator:
    """The dialog of that name, once the host has answered."""
    found = page.get_by_role("dialog", name=name)
    found.wait_for()
    return found


def test_a_connection_is_tested_in_a_dialog(page: Page, provider: str) -> None:
    _open(page, provider)
    button = page.get_by_role("button", name="Test connection")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/do/test_connection/", hold)
    button.focus()
    page.keyboard.press("Enter")

    dialog = page.get_by_role("dialog", name="Test connection")
    expect(dialog.get_by_role("status")).to_have_text(
        "Asking the host for its models. No tokens are spent, and nothing changes."
    )
    expect(dialog.get_by_role("heading", name="Test connection")).to_be_focused()
    found = page_faults(page)
    held[0].continue_()
    dialog = _dialog(page, "Connection to Talking")
    expect(dialog).to_contain_text("Talking can be reached.")
    expect(dialog).to_contain_text("ms and lists 14 models.")
    expect(dialog.get_by_text("Talking can be reached.")).to_be_focused()
    expect(page.get_by_role("status")).to_be_hidden()
    found += page_faults(page)

    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(button).to_be_focused()
    # What the page says of it is of now.
    page.locator("#provider-doing").get_by_text("It answered in").wait_for()
    assert not found, "\n".join(found)


def test_models_are_taken_over_in_a_dialog(page: Page, provider: str) -> None:
    _open(page, provider)
    page.get_by_role("button", name="Discover models").click()
    dialog = _dialog(page, "Models of Talking")
    expect(dialog).to_contain_text("The host lists 14 models: 14 new.")
    found = page_faults(page)

    dialog.get_by_role("button", name="Take over what is picked").click()
    dialog.get_by_role("alert").wait_for()
    expect(dialog.get_by_role("alert")).to_have_text("Pick at least one model.")
    expect(dialog.get_by_role("alert")).to_be_focused()
    dialog.get_by_label("Show only").fill("PRICED")
    expect(dialog.get_by_label("chat-03")).to_be_hidden()
    dialog.get_by_label("Show only").press("Enter")
    dialog.get_by_label("priced", exact=True).check()
    dialog.get_by_label("Show only").fill("chat-03")
    dialog.get_by_label("chat-03").check()
    dialog.get_by_role("button", name="Take over what is picked").click()
    dialog.get_by_text("2 models added. 1 price set.").wait_for()
    expect(dialog.get_by_label("chat-04")).to_be_visible()
    found += page_faults(page)

    dialog.get_by_role("button", name="Close").last.click()
    page.locator("[name=models-0-name]").wait_for()
    expect(page.locator("[name=models-0-name]")).to_have_value("chat-03")
    expect(page.get_by_role("button", name="Discover models")).to_be_focused()
    assert not found, "\n".join(found)


def test_what_was_picked_outlives_a_server_that_refuses(
    chromium: Browser, seeded: Console, provider: str
) -> None:
    with watched_page(chromium, seeded.base_url) as watched:
        page = watched.page
        sign_in(page)
        _open(page, provider)
        page.get_by_role("button", name="Discover models").click()
        dialog = _dialog(page, "Models of Talking")
        dialog.get_by_label("chat-05").check()
        page.route("**/discover/", lambda route: route.fulfill(status=403, body="No."))
        dialog.get_by_role("button", name="Take over what is picked").click()
        expect(page.get_by_role("dialog")).to_contain_text("Your account may not do that")
        expect(page.get_by_label("chat-05")).to_be_checked()
        page.unroute("**/discover/")
        watched.expect_refusals()

        page.get_by_role("button", name="Take over what is picked").click()
        page.get_by_text("1 model added.").wait_for()


def test_an_operator_tests_in_the_dark_and_on_a_phone(
    chromium: Browser, seeded: Console, provider: str, host: Host
) -> None:
    host.status, host.error = 500, "Out of order."
    for looks in ("dark", "phone"):
        with watched_page(chromium, seeded.base_url, looks) as watched:
            page = watched.page
            sign_in(page, OPERATOR)
            _open(page, provider)
            assert not page.get_by_role("button", name="Discover models").count()
            page.get_by_role("button", name="Test connection").click()
            dialog = _dialog(page, "Connection to Talking")
            expect(dialog).to_contain_text("Talking cannot be used as it is.")
            expect(dialog).to_contain_text("Out of order.")
            if looks == "phone":
                box = dialog.bounding_box()
                assert box is not None and (box["width"], box["height"]) == (390, 844)
            found = page_faults(page)

        assert not found, "\n".join(found)
