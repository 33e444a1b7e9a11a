"""What no walk comes by, in every look: what opens, what is refused and what is empty."""

from __future__ import annotations

import pytest
from django.urls import reverse
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import violations
from tests.browser.chromium import LOOKS, watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import Console, console
from tests.browser.looks import page_faults
from tests.browser.walking import models

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]


def test_what_opens_is_accessible(page: Page) -> None:
    found: list[str] = []
    page.goto(reverse("admin:governance_modelcall_changelist"))
    page.get_by_role("button", name="Filters").click()
    found += page_faults(page)
    page.goto(reverse("admin:governance_approval_changelist") + "?status__exact=pending")
    page.locator("#result_list tbody th a").first.click()
    page.locator("summary", has_text="Approve").click()
    found += page_faults(page)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    field = page.locator("#search-input-command")
    # What is typed before it is open and ready is typed into nothing.
    expect(field).to_be_focused()
    field.press_sequentially("support")
    page.locator("#command-results-list").wait_for()
    found += page_faults(page)
    page.goto("/admin/")
    page.get_by_role("button", name="Ada Novak").click()
    found += page_faults(page)

    assert not found, "\n".join(found)


def test_refused_forms_are_accessible(page: Page) -> None:
    found: list[str] = []
    for name in ("governance_budgetpolicy", "providers_provider", "scheduling_cronjob"):
        page.goto(reverse(f"admin:{name}_add"))
        page.get_by_role("button", name="Save", exact=True).click()
        page.locator(".errornote").first.wait_for()
        found += page_faults(page)

    assert not found, "\n".join(found)


@pytest.mark.parametrize("looks", LOOKS)
def test_the_sign_in_page_is_accessible(chromium: Browser, seeded: Console, looks: str) -> None:
    with watched_page(chromium, seeded.base_url, looks) as watched:
        page = watched.page
        page.goto("/admin/login/")
        found = violations(page)
        page.get_by_label("Username").fill("ada")
        page.get_by_label("Password").fill("not the password")
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.get_by_role("alert").wait_for()
        found += violations(page)

    assert not found, "\n".join(found)


def test_a_console_without_calls_is_accessible_and_says_what_to_do(chromium: Browser) -> None:
    with (
        console(seeded=False) as empty,
        watched_page(chromium, empty.base_url) as watched,
    ):
        sign_in(watched.page)
        watched.page.get_by_role("heading", name="Make your first call").wait_for()
        found = page_faults(watched.page)
        # The console is a process, somebody added its administrator, and there always are settings.
        never_empty = {"processheartbeat", "auditentry", "governancesettings"}
        for model in set(models("governance")) - {f"governance_{one}" for one in never_empty}:
            watched.page.goto(reverse(f"admin:{model}_changelist"))
            watched.page.locator(".palyra-empty").wait_for()
            found += page_faults(watched.page)

    assert not found, "\n".join(found)
