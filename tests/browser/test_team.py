"""The team pages in a real browser: usable by everyone, live where they promise to be."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import violations
from tests.browser.chromium import LOOKS, Watched, watched_page
from tests.browser.console import MEMBER, PASSWORD, Console

pytestmark = pytest.mark.browser

TEAM = "/team/research/"
PAGES = (
    "/team/",
    TEAM,
    f"{TEAM}schedules/",
    f"{TEAM}schedules/new/",
    f"{TEAM}keys/",
    f"{TEAM}keys/new/",
    f"{TEAM}requests/",
    f"{TEAM}requests/new/",
)


def _sign_in(page: Page) -> None:
    page.goto("/team/")
    expect(page).to_have_url(re.compile(r"/account/sign-in/\?next=/team/$"))
    page.get_by_label("Username").fill(MEMBER)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your teams")).to_be_visible()


@pytest.fixture(scope="module")
def cookies(chromium: Browser, seeded: Console) -> list[Any]:
    """What a browser keeps of having signed in once."""
    context = chromium.new_context(base_url=seeded.base_url)
    _sign_in(context.new_page())
    kept = context.cookies()
    context.close()
    return list(kept)


@pytest.fixture
def watched(chromium: Browser, seeded: Console, cookies: list[Any]) -> Iterator[Watched]:
    with watched_page(chromium, seeded.base_url) as watching:
        watching.page.context.add_cookies(cookies)
        yield watching


@pytest.fixture
def mine(watched: Watched) -> Page:
    """A page on which a member of two teams is signed in."""
    return watched.page


@pytest.mark.parametrize("looks", sorted(LOOKS))
def test_every_page_is_accessible_and_fits(chromium: Browser, seeded: Console, looks: str) -> None:
    with watched_page(chromium, seeded.base_url, looks) as watching:
        page = watching.page
        page.goto("/account/sign-in/")
        faults = violations(page)
        _sign_in(page)
        for address in (*PAGES, *_pages_of_things(page)):
            page.goto(address)
            faults += violations(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                faults.append(f"{address} is wider than the screen")
        assert not faults, "\n".join(faults)


def _pages_of_things(page: Page) -> list[str]:
    """The pages of the first schedule, of one of its runs, and of revoking the first key."""
    page.goto(f"{TEAM}schedules/")
    schedule = page.locator("tbody a").first.get_attribute("href")
    assert schedule
    page.goto(schedule)
    run = page.locator("#runs tbody th a").first.get_attribute("href")
    assert run
    page.goto(f"{TEAM}keys/")
    revoke = page.get_by_role("link", name="Revoke").first.get_attribute("href")
    assert revoke
    of_schedule = [f"{schedule}{page}" for page in ("", "edit/", "pause/", "try/")]
    return [*of_schedule, run, revoke]


def test_a_schedule_is_previewed_as_one_types_and_then_made(mine: Page) -> None:
    mine.goto(f"{TEAM}schedules/new/")
    preview = mine.locator("#preview")
    expect(preview).to_contain_text("Give a cron expression")
    mine.get_by_label("Cron expression").nth(1).press_sequentially("0 9 * * MON-FRI")
    expect(preview).to_contain_text("At 09:00 on weekdays")
    expect(preview.locator("time")).to_have_count(6)
    expect(preview.locator("time").first).to_have_attribute("title", re.compile(r"0[78]:00:00 UTC"))

    mine.get_by_label("Time zone").fill("Asia/Tokyo")
    expect(preview.locator("time").first).to_have_attribute("title", re.compile(r"00:00:00 UTC"))
    mine.get_by_label("Time zone").fill("Nowhere")
    expect(preview).to_contain_text("is not a time zone")
    assert violations(mine) == []

    mine.get_by_label("Time zone").fill("Europe/Prague")
    mine.get_by_label("Every so often").check()
    expect(mine.get_by_label("Cron expression").nth(1)).to_be_hidden()
    mine.get_by_label("Every", exact=True).fill("45")
    expect(preview).to_contain_text("Every 45 minutes")

    mine.get_by_role("button", name="Schedule it").click()
    expect(mine.get_by_role("alert")).to_contain_text("Nothing was saved yet")
    expect(mine).to_have_title(re.compile("^Error"))
    assert violations(mine) == []
    mine.get_by_label("Name").fill("Kept warm")
    mine.get_by_label("Prompt", exact=True).fill("Say that all is well.")
    mine.get_by_role("button", name="Schedule it").click()
    expect(mine.get_by_role("status").first).to_contain_text("“Kept warm” is scheduled")


def test_a_careful_schedule_is_made_run_cancelled_and_its_missed_times_decided_on(
    mine: Page,
) -> None:
    support = "/team/support/schedules/"
    mine.goto(f"{support}new/")
    mine.get_by_label("Name").fill("Careful")
    mine.get_by_label("Prompt", exact=True).fill("Say that all is well.")
    mine.get_by_label("Cron expression").nth(1).fill("0 9 * * *")
    mine.get_by_text("Beginning, end and exceptions").click()
    mine.get_by_label("Runs in all").fill("2")
    expect(mine.locator("#preview time")).to_have_count(2)
    attempts = mine.get_by_label("Attempts")
    expect(attempts).to_be_hidden()
    mine.get_by_text("If things do not go as they should").click()
    attempts.fill("17")
    mine.get_by_role("radio", name="Let one wait").check()
    expect(mine.get_by_label("Catch up with")).to_be_hidden()
    mine.get_by_role("radio", name="Catch up").check()
    mine.get_by_label("Catch up with").fill("5")
    mine.get_by_role("button", name="Schedule it").click()
    expect(mine.get_by_role("alert")).to_contain_text("less than or equal to 16")
    expect(attempts).to_be_visible()
    assert violations(mine) == []
    attempts.fill("3")
    mine.get_by_role("button", name="Schedule it").click()
    mine.get_by_text("Policies").click()
    expect(mine.locator("main")).to_contain_text("Catch up with 5 at most, of the last 24 hours")

    mine.get_by_role("button", name="Run now").first.click()
    mine.locator("#runs").get_by_role("link", name="Cancel the run").click()
    mine.get_by_label("Why?").fill("A slip.")
    mine.get_by_role("button", name="Cancel the run").click()
    expect(mine.locator("main")).to_contain_text("A slip.")

    mine.goto(support)
    mine.get_by_role("link", name="3 missed times to review").click()
    mine.get_by_role("button", name="Skip them").click()
    expect(mine.get_by_role("status").first).to_contain_text("The missed times are left out.")
    expect(mine.get_by_role("button", name="Skip them")).to_have_count(0)


def test_a_preview_needs_no_scripts(chromium: Browser, seeded: Console, cookies: list[Any]) -> None:
    context = chromium.new_context(base_url=seeded.base_url, java_script_enabled=False)
    context.add_cookies(cookies)
    page = context.new_page()
    page.goto(f"{TEAM}schedules/new/")
    page.locator("#id_cron").fill("30 7 * * *")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview time")).to_have_count(6)
    expect(page.locator("#id_cron")).to_have_value("30 7 * * *")
    expect(page.get_by_role("alert")).to_have_count(0)
    context.close()


def test_a_key_is_shown_once_and_can_be_copied(watched: Watched) -> None:
    page = watched.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{TEAM}keys/new/")
    page.get_by_label("What is it for?").fill("Robot")
    page.get_by_role("button", name="Create the key").click()
    text = page.locator("#key-text").inner_text()
    assert re.fullmatch(r"ply_[0-9a-f]{16}_[0-9a-f]{64}", text)
    assert violations(page) == []
    page.get_by_role("button", name="Copy the key").click()
    expect(page.locator("[data-copy-status]")).to_have_text("Copied.")
    assert page.evaluate("navigator.clipboard.readText()") == text

    page.reload()
    expect(page.get_by_role("status").first).to_contain_text("already created and shown")
    expect(page.get_by_role("link", name="Revoke Robot")).to_have_count(1)
    assert text not in page.content()
    page.go_back()
    assert text not in page.content()


def test_revoking_says_what_happens_first(mine: Page) -> None:
    mine.goto(f"{TEAM}keys/new/")
    mine.get_by_label("What is it for?").fill("Short-lived")
    mine.get_by_role("button", name="Create the key").click()
    mine.get_by_role("link", name="I have copied it").click()
    mine.get_by_role("link", name="Revoke Short-lived").click()
    expect(mine.get_by_text("Every call with it is refused")).to_be_visible()
    mine.get_by_role("button", name="Revoke the key").click()
    expect(mine.get_by_role("status").first).to_contain_text("“Short-lived” is revoked")


def test_asking_for_more_shows_the_request_as_pending(mine: Page) -> None:
    mine.goto(TEAM)
    mine.get_by_role("link", name="Ask for more of Research, a month").click()
    expect(mine.get_by_role("radio", name="Research, a month")).to_be_checked()
    mine.get_by_label("How much more?").fill("five")
    mine.get_by_label("Why?").fill("A conference deadline.")
    mine.get_by_role("button", name="Send the request").click()
    expect(mine.get_by_role("alert")).to_contain_text("Give a plain number")
    assert violations(mine) == []
    mine.get_by_label("How much more?").fill("5.00")
    mine.get_by_role("button", name="Send the request").click()
    expect(mine.get_by_role("listitem").filter(has_text="A conference deadline.")).to_contain_text(
        "Pending"
    )


def test_more_can_be_asked_for_until_a_date(mine: Page) -> None:
    mine.goto(f"{TEAM}requests/new/")
    mine.get_by_role("radio", name="Everyone, a month").check()
    mine.get_by_label("How much more?").fill("7.00")
    mine.get_by_role("radio", name="Until a date").check()
    mine.get_by_label("Why?").fill("A longer experiment.")
    mine.get_by_role("button", name="Send the request").click()
    expect(mine.get_by_role("alert")).to_contain_text("Say until when.")
    assert violations(mine) == []
    last = timezone.localdate() + timedelta(days=30)
    mine.get_by_label("Last day, if it ends on a date").fill(last.isoformat())
    mine.get_by_role("button", name="Send the request").click()
    expect(mine.get_by_role("listitem").filter(has_text="A longer experiment.")).to_contain_text(
        "until"
    )


def test_a_run_asked_for_by_hand_is_followed(mine: Page) -> None:
    mine.goto(f"{TEAM}schedules/")
    mine.get_by_role("link", name="Paper watch").click()
    with mine.expect_response(re.compile(r"/runs/\?page=1$")) as followed:
        mine.get_by_role("button", name="Run now").first.click()
    assert followed.value.ok
    expect(mine.locator("#runs tbody tr").first).to_contain_text("Queued")


def test_the_keyboard_is_enough(mine: Page) -> None:
    mine.goto(f"{TEAM}schedules/new/")
    mine.keyboard.press("Tab")
    expect(mine.get_by_role("link", name="Skip to content")).to_be_focused()
    mine.keyboard.press("Enter")
    mine.keyboard.press("Tab")
    expect(mine.get_by_label("Name")).to_be_focused()
    mine.get_by_role("radio", name="Cron expression").focus()
    mine.keyboard.press("ArrowRight")
    expect(mine.get_by_role("radio", name="Every so often")).to_be_checked()
    mine.keyboard.press("Tab")
    expect(mine.get_by_label("Every", exact=True)).to_be_focused()


def test_an_outsider_learns_nothing_in_style(watched: Watched) -> None:
    watched.page.goto("/team/billing/")
    expect(watched.page.get_by_role("heading")).to_have_text("There is nothing here")
    assert violations(watched.page) == []
    watched.expect_refusals()
