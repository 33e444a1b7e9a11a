"""The ledger and what belongs to every list, used as people do: in a real browser."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import OPERATOR, VIEWER, Console
from tests.browser.looks import page_faults

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]
LIST = "/admin/governance/modelcall/"
KEPT = f"{LIST}?status__exact=succeeded&q=Research"


def _open_first(page: Page) -> None:
    page.goto(KEPT)
    page.locator("#result_list tbody th a").first.click()
    page.locator("#texts").wait_for()


def test_a_prompt_and_its_answer_are_read_and_that_is_noted(page: Page) -> None:
    _open_first(page)
    expect(page.locator("#texts")).not_to_contain_text("Okafor")
    address = page.url

    page.get_by_role("button", name="Read prompt and answer").click()

    expect(page.locator("#texts")).to_contain_text("Okafor (2024)")
    expect(page.locator("#texts")).to_be_in_viewport()
    found = page_faults(page)
    page.goto(address.replace("/change/", "/history/").partition("?")[0])
    expect(page.locator("#main")).to_contain_text("Read")
    assert not found, "\n".join(found)


def test_an_auditor_reads_them_and_that_is_noted_too(
    chromium: Browser, seeded: Console, cookies_of: Callable[[str], tuple[Any, ...]]
) -> None:
    cookies = cookies_of(VIEWER)
    with watched_page(chromium, seeded.base_url, "phone", cookies=cookies) as watched:
        page = watched.page
        _open_first(page)
        address = page.url
        page.get_by_role("button", name="Read prompt and answer").click()
        expect(page.locator("#texts")).to_contain_text("Okafor (2024)")
        page.goto(address.replace("/change/", "/history/").partition("?")[0])
        expect(page.locator("#main")).to_contain_text("victor")


def test_who_may_not_read_them_is_told_so(chromium: Browser, seeded: Console) -> None:
    with watched_page(chromium, seeded.base_url) as watched:
        sign_in(watched.page, OPERATOR)
        _open_first(watched.page)
        texts = watched.page.locator("#texts")
        expect(texts).to_contain_text("takes a permission that you do not have")
        assert not texts.get_by_role("button").count()


def test_calls_are_narrowed_by_what_they_cost_and_had_as_a_file(page: Page, tmp_path: Path) -> None:
    page.goto(f"{LIST}?status__exact=succeeded")
    page.get_by_role("button", name="Filters").click()
    page.get_by_label("Cost from").fill("0.01")
    page.get_by_label("Cost from").press("Enter")
    page.wait_for_url("**cost_from=0.01*")
    shown = page.locator("#result_list tbody th a").count()
    page.get_by_role("button", name="Filters").click()
    found = page_faults(page)
    page.keyboard.press("Escape")

    with page.expect_download() as downloaded:
        page.get_by_role("link", name="Download CSV").click()

    file = tmp_path / "calls.csv"
    downloaded.value.save_as(file)
    assert downloaded.value.suggested_filename.startswith("palyra-calls-")
    rows = list(csv.DictReader(file.open(encoding="utf-8")))
    costs = [float(row["cost"]) for row in rows]
    assert shown
    assert len(rows) >= shown
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] >= 0.01
    assert {row["status"] for row in rows} == {"succeeded"}
    assert not found, "\n".join(found)


def test_a_person_sets_their_zone_and_every_page_is_in_it(page: Page) -> None:
    page.get_by_role("button", name="Ada Novak").click()
    page.get_by_role("link", name="Your settings").click()
    page.get_by_label("Time zone").fill("Mars/Olympus")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#main")).to_contain_text("is not a time zone")
    found = page_faults(page)
    page.get_by_label("Time zone").fill("Asia/Tokyo")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#main")).to_contain_text("JST")
    try:
        page.goto(LIST)
        expect(page.locator("#result_list tbody time").first).to_contain_text("JST")
    finally:
        page.goto("/admin/preferences/")
        page.get_by_label("Time zone").fill("")
        page.get_by_role("button", name="Save").click()
    expect(page.locator("#main")).to_contain_text("your browser's zone")
    assert not found, "\n".join(found)


def test_the_palette_opens_a_page_that_no_menu_has(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    field = page.locator("#search-input-command")
    expect(field).to_be_focused()
    field.press_sequentially("import prices")
    page.locator("#command-results-list").get_by_role("link", name="Import prices • Prices").click()
    page.wait_for_url("**/governance/price/import/")
