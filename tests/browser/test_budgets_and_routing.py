"""What an administrator does with budgets and routing, done in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import violations

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]

ROUTING = "/admin/governance/governancesettings/routing"


def test_a_policy_is_previewed_as_it_is_written_and_given_to_another_team(page: Page) -> None:
    page.goto("/admin/governance/budgetpolicy/add/")
    preview = page.locator(".palyra-preview")
    page.get_by_label("Name").fill("Research, a year")
    page.get_by_label("Team").select_option(label="Research")
    page.get_by_label("Interval").select_option("year")
    page.get_by_label("Hard limit", exact=True).fill("0.01")
    expect(preview).to_contain_text("Already exceeded")
    expect(preview).to_contain_text("Calls are blocked at $0.01.")
    page.get_by_label("Hard limit", exact=True).fill("ten")
    expect(preview).to_contain_text("Not a limit yet")
    page.get_by_label("Hard limit", exact=True).fill("1000")
    expect(preview).to_contain_text("Research would now stand at 0 %.")
    page.get_by_label("At the hard limit").select_option("approval")
    expect(preview).to_contain_text("Past $1,000.00 calls need approval.")
    page.get_by_role("button", name="Save", exact=True).click()

    page.locator("#result_list").get_by_role("link", name="Research, a year").click()
    expect(page.locator("#history")).to_be_visible()
    page.get_by_role("link", name="Duplicate to teams").click()
    assert not violations(page)
    page.get_by_label("Billing").check()
    page.get_by_role("button", name="Make one for each team picked").click()

    expect(page.locator("#main")).to_contain_text("1 team has a policy like “Research, a year”")
    expect(page.locator("#result_list")).to_contain_text("Billing, a year")


def test_a_raise_is_ended_on_the_policys_page(page: Page) -> None:
    page.goto("/admin/governance/budgetpolicy/?q=Support%2C+a+month")
    page.locator("#result_list tbody th a").first.click()
    raised = page.locator("section", has_text="Raised on request")
    expect(raised).to_contain_text("$1.00")
    assert not violations(page)
    raised.get_by_role("button", name=re.compile("End it now: \\$1.00")).click()

    expect(page.locator("#main")).to_contain_text("Ended: the limit of “Support, a month”")
    expect(page.locator("#main")).to_contain_text("ended before its time")


def test_a_mode_is_switched_after_what_would_change_was_seen(page: Page) -> None:
    page.goto("/admin/")
    page.get_by_role("link", name="Modes").click()
    page.get_by_label("For", exact=True).select_option(label="Research (Dry run)")
    page.get_by_label("Mode", exact=True).select_option("enforced")
    page.get_by_role("button", name="Show what would change").click()
    expect(page.locator("#found-heading")).to_contain_text("Research: Enforced")
    expect(page.locator("#main")).to_contain_text("It would have saved")
    page.get_by_role("button", name="Switch it, from the next call on").click()

    expect(page.locator("#main")).to_contain_text("Research: “enforced” holds now")
    expect(page.locator("tr", has_text="Research")).to_contain_text("Enforced")


def test_a_key_is_rotated_and_its_new_text_shown_once(page: Page) -> None:
    page.goto("/admin/governance/apikey/?q=Notebook")
    page.locator("#result_list tbody th a").first.click()
    page.locator("summary", has_text="Rotate").click()
    page.get_by_label("The old text is refused").select_option(label="In a day")
    page.get_by_role("button", name="Rotate").click()

    text = page.locator("#new-key").inner_text()
    assert re.fullmatch(r"ply_[0-9a-f]+_[0-9a-f]{64}", text)
    page.reload()
    assert text not in page.content()
    page.goto("/admin/governance/apikey/?q=Notebook")
    expect(page.locator("#result_list tbody tr", has_text="(replaced)")).to_have_count(1)
