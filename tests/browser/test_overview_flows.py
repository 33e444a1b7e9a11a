"""From the overview down to single calls, in a real browser."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import LOOKS, watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import VIEWER, Console

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]


def _figure(page: Page, name: str) -> str:
    found = page.locator("a.palyra-figure", has=page.get_by_text(name, exact=True))
    return found.locator("strong").inner_text()


def test_one_filters_the_overview_and_looks_into_spend(page: Page, tmp_path: Path) -> None:
    page.get_by_label("Period").select_option("month")
    page.get_by_label("Team", exact=True).select_option(label="Research")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name="This month, Research")).to_be_visible()
    calls = _figure(page, "Calls")
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.get_by_role("heading", name="Spend per day, by model")).to_be_visible()
    assert _figure(page, "Calls") == calls

    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_label("Group by")).to_have_value("model")
    expect(page.get_by_label("Team", exact=True)).to_have_value(re.compile(r"\d+"))
    with page.expect_download() as download:
        page.get_by_role("link", name="Download CSV").click()
    file = tmp_path / "spend.csv"
    download.value.save_as(file)
    with file.open(newline="") as lines:
        counted = sum(int(row["calls"]) for row in csv.DictReader(lines))

    rows = page.get_by_role("region", name=re.compile("By model"))
    whole = rows.locator("tfoot a").first
    assert whole.inner_text().replace(",", "") == str(counted)
    rows.locator("tbody th a").first.click()
    expect(page.get_by_role("list", name="Narrowed to").get_by_role("listitem")).to_have_count(2)
    page.get_by_role("link", name=re.compile("No longer only Research")).click()
    expect(page.get_by_role("list", name="Narrowed to").get_by_role("listitem")).to_have_count(1)

    number = page.get_by_role("region", name=re.compile("By ")).locator("tfoot a").first
    shown = number.inner_text()
    number.click()
    expect(page.locator("#content, #main").first).to_contain_text(f"{shown} call")


def test_a_named_period_puts_days_away(page: Page) -> None:
    page.get_by_label("or from").fill("2026-01-01")
    page.get_by_label("to", exact=True).fill("2026-01-31")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_role("heading", name="1 Jan 2026 to 31 Jan 2026")).to_be_visible()

    page.get_by_label("Period").select_option("7days")
    expect(page.get_by_label("or from")).to_have_value("")
    page.get_by_role("button", name="Show", exact=True).click()

    expect(page.get_by_role("heading", name="Last 7 days")).to_be_visible()


@pytest.mark.parametrize("looks", sorted(LOOKS))
def test_whoever_only_looks_sees_it_in_all_looks(
    chromium: Browser, seeded: Console, looks: str
) -> None:
    with watched_page(chromium, seeded.base_url, looks) as watched:
        sign_in(watched.page, VIEWER)
        for address in ("/admin/", "/admin/spend/", "/admin/system/"):
            watched.page.goto(address)
            expect(watched.page.locator(".palyra-card").first).to_be_visible()
            wider = watched.page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wider <= 0, address
