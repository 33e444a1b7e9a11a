"""What an administrator does in the console, done in a real browser."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import MEMBER, VIEWER, Console

pytestmark = [pytest.mark.browser, pytest.mark.processes]


def _save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def _success(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.locator("#main")).to_contain_text(text)


def test_a_number_of_the_overview_leads_to_a_calls_story_and_its_run(page: Page) -> None:
    page.locator(".palyra-figure", has_text="Spend this month").click()
    expect(page.locator("h1")).to_contain_text("Calls")
    page.get_by_label("Search: ").fill("Research")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=Research*")
    expect(page.locator("#result_list tbody td.field-team").first).to_have_text("Research")
    page.goto("/admin/scheduling/cronrun/?status__exact=succeeded")
    page.locator("#result_list tbody th a").first.click()
    page.locator("#content a[href*='/modelcall/'][href*='/change/']").first.click()
    expect(page.locator(".palyra-chapter h2")).to_have_count(6)
    page.locator("#content a[href*='/cronrun/'][href*='/change/']").first.click()
    expect(page.locator("h1")).to_contain_text("Runs")


def test_a_key_is_made_copied_and_gone_after_a_reload(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto("/admin/governance/apikey/add/")
    page.get_by_label("Team").select_option(label="Research")
    page.get_by_label("Name").fill("Browser test")
    _save(page)

    text = page.locator("#new-key").inner_text()
    assert re.fullmatch(r"ply_[0-9a-f]+_[0-9a-f]{64}", text)
    page.get_by_role("button", name="Copy key").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == text
    assert text in page.locator("#new-key-curl").inner_text()

    page.reload()

    expect(page.locator("h1")).to_contain_text("Browser test")
    assert text not in page.content()


def test_a_provider_shows_only_what_its_kind_needs(page: Page) -> None:
    page.goto("/admin/providers/provider/add/")
    kind = page.get_by_label("Kind")
    kind.select_option("deterministic")
    expect(page.get_by_label("Rehearsed latency")).to_be_visible()
    expect(page.get_by_label("Base URL")).to_be_hidden()
    kind.select_option("openai_compatible")
    expect(page.get_by_label("Rehearsed latency")).to_be_hidden()
    page.get_by_label("Name", exact=False).first.fill("browser-host")
    page.get_by_label("Base URL").fill("https://models.example/v1")
    page.get_by_role("link", name="Add another Model").click()
    page.locator("#id_models-0-name").fill("browser-model")
    _save(page)

    _success(page, "was added successfully")
    page.goto("/admin/providers/providermodel/?q=browser-model")
    expect(page.locator("#result_list")).to_contain_text("browser-model")


def test_a_secret_goes_in_and_does_not_come_out(page: Page) -> None:
    page.goto("/admin/providers/secret/add/")
    page.get_by_label("Name").fill("browser-secret")
    field = page.get_by_label("Secret", exact=False).last
    expect(field).to_have_attribute("type", "password")
    field.fill("sk-typed-in-a-browser-0123")
    _save(page)

    _success(page, "…0123")
    page.locator("#result_list").get_by_role("link", name="browser-secret").click()
    assert "sk-typed-in-a-browser" not in page.content()

    page.get_by_label("New secret").fill("sk-put-in-its-place-4567")
    _save(page)
    expect(page.locator("#result_list tr", has_text="browser-secret")).to_contain_text("…4567")
    page.locator("#result_list").get_by_role("link", name="browser-secret").click()
    assert "sk-put-in-its-place" not in page.content()


def test_a_limit_is_refused_in_words_and_then_set(page: Page) -> None:
    page.goto("/admin/governance/budgetpolicy/add/")
    page.get_by_label("Name").fill("Browser limit")
    page.get_by_label("Metric").select_option("tokens")
    page.get_by_label("Hard limit", exact=True).fill("10.5")
    _save(page)
    expect(page.locator("#main")).to_contain_text("give a whole number")

    page.get_by_label("Scope").select_option("global")
    expect(page.locator("#id_team")).to_be_hidden()
    page.get_by_label("Hard limit", exact=True).fill("1000000000")
    _save(page)

    _success(page, "was added successfully")
    row = page.locator("#result_list tr", has_text="Browser limit")
    expect(row).to_contain_text("of 1,000,000,000 tokens")


def test_a_policy_of_a_person_shows_what_it_needs_and_is_said_in_words(page: Page) -> None:
    page.goto("/admin/governance/budgetpolicy/add/")
    page.get_by_label("Name").fill("Browser policy")
    which = page.get_by_label("Which one")
    expect(which).to_be_hidden()
    page.get_by_label("Scope").select_option("user")
    which.fill("nobody")
    page.get_by_label("Interval").select_option("total")
    expect(page.get_by_label("Rolling")).to_be_hidden()
    page.get_by_label("Interval").select_option("hour")
    page.get_by_label("Rolling").check()
    page.get_by_label("Hard limit", exact=True).fill("2.50")
    page.get_by_label("At the hard limit").select_option("degrade")
    page.get_by_label("Alert at").fill("75, 75")
    _save(page)
    expect(page.locator("#main")).to_contain_text("There is no person “nobody”")
    expect(page.locator("#main")).to_contain_text("Give each percentage once.")

    # What was filled in stays in sight, however little it suits the scope.
    page.get_by_label("Scope").select_option("global")
    expect(which).to_be_visible()
    page.get_by_label("Scope").select_option("user")
    which.fill(MEMBER)
    page.get_by_label("Alert at").fill("90 %, 75")
    _save(page)

    _success(page, "was added successfully")
    row = page.locator("#result_list tr", has_text="Browser policy")
    expect(row).to_contain_text(
        "Mira Okafor: at most $2.50 in any 60 minutes, then uses a cheaper model that fits, else "
        "blocks; alerts at 75 and 90 %"
    )


def test_what_a_policy_counts_is_fixed_where_it_has_counted(page: Page) -> None:
    page.goto("/admin/governance/budgetpolicy/?q=Each+colleague")
    page.locator("#result_list tbody th a").first.click()
    expect(page.locator("#id_thresholds")).to_have_value("75, 90")
    expect(page.locator("#id_scope")).to_have_count(0)
    expect(page.locator("#main")).to_contain_text("Each person of Customer support: at most $20.00")
    page.get_by_label("Alert at").fill("80")
    _save(page)

    _success(page, "was changed successfully")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="History").first.click()
    changed = page.locator(".palyra-changes tbody tr").first
    expect(changed).to_contain_text("75 and 90 → 80")
    page.goto("/admin/governance/auditentry/?q=Each+colleague")
    page.locator("#result_list tbody th a").first.click()
    row = page.get_by_role("row", name="alert at 75 and 90 80")
    expect(row).to_be_visible()


def test_the_models_of_a_team_and_the_settings_are_changed(page: Page) -> None:
    page.goto("/admin/governance/team/?q=Research")
    page.locator("#result_list tbody th a").first.click()
    expect(page.locator("#main")).to_contain_text(re.compile(r"It may use \d of the \d models"))
    page.get_by_label("Allowed models").fill("in-house/*\nopnai/*")
    _save(page)
    expect(page.locator("#result_list")).to_contain_text("in-house/* and 1 more")
    page.get_by_role("link", name="Settings").first.click()
    page.get_by_label("Output floor").fill("0")
    _save(page)
    expect(page.locator("#main")).to_contain_text("greater than or equal to 1")
    page.get_by_label("Output floor").fill("300")
    _save(page)
    _success(page, "changed successfully")


def test_a_request_is_approved_with_a_comment(page: Page) -> None:
    page.goto("/admin/governance/approval/?status__exact=pending")
    page.locator("#result_list tbody th a", has_text="Support").first.click()
    page.locator("summary", has_text="Approve").click()
    expect(page.locator(".palyra-panel").first).to_contain_text("limit of “Support, a month”")
    page.get_by_label("Comment").first.fill("Go on.")
    page.get_by_role("button", name="Approve").click()

    _success(page, "Approved: Customer support has $5.00 more")
    expect(page.locator("#main")).to_contain_text("Go on.")
    expect(page.locator("summary", has_text="Approve")).to_have_count(0)


def test_a_prompt_is_scheduled_with_its_next_runs_shown_as_one_types(page: Page) -> None:
    page.goto("/admin/scheduling/cronjob/add/")
    page.get_by_label("Team").select_option(label="Research")
    page.get_by_label("Name").fill("Browser prompt")
    page.get_by_label("Prompt", exact=False).first.fill("Say hello.")
    preview = page.locator(".palyra-preview")
    page.get_by_label("Time zone").fill("Europe/Prague")
    page.get_by_label("Cron expression").fill("0 0 9 * * *")
    expect(preview).to_contain_text("Not a schedule yet")
    page.get_by_label("Cron expression").fill("0 9 * * MON-FRI")
    expect(preview.locator("time")).to_have_count(6)
    expect(preview).to_contain_text("At 09:00 on weekdays, Europe/Prague")
    page.get_by_label("Runs*").select_option("every")
    expect(page.get_by_label("Cron expression")).to_be_hidden()
    page.get_by_label("Every", exact=False).fill("2")
    page.get_by_label("Unit").select_option(label="hours")
    expect(preview).to_contain_text("Every 2 hours")
    page.get_by_text("If things do not go as they should").click()
    at_once = page.get_by_label("Runs at once", exact=True)
    expect(at_once).to_be_hidden()
    page.get_by_label("Run beside it").check()
    at_once.fill("3")
    _save(page)

    _success(page, "was added successfully")
    page.get_by_role("link", name=re.compile("Browser prompt")).first.click()
    page.locator("summary", has_text="Pause").click()
    page.locator(".palyra-panel").get_by_label("Why?").fill("Only a test")
    page.get_by_role("button", name="Pause").click()
    _success(page, "is paused: Only a test")
    page.get_by_role("button", name="Resume").click()
    _success(page, "runs again, from now on")
    page.locator("summary", has_text="Run now").click()
    page.get_by_role("button", name="Run now").click()
    _success(page, "is queued to run now")


def test_the_palette_is_reached_by_keyboard(page: Page) -> None:
    page.keyboard.press("Control+k")
    field = page.locator("#search-input-command")
    expect(field).to_be_focused()
    field.press_sequentially("morning dig")
    expect(page.locator("#command-results-list")).to_contain_text("Morning digest")
    field.press("ArrowDown")
    field.press("Enter")

    page.wait_for_url("**/scheduling/cronjob/**")
    expect(page.locator("h1")).to_contain_text("Morning digest")


def test_filters_are_reached_by_keyboard_and_keep_one_another(page: Page) -> None:
    page.goto("/admin/governance/modelcall/?status__exact=succeeded")
    filters = page.get_by_role("button", name="Filters")
    filters.focus()
    page.keyboard.press("Enter")
    sheet = page.locator("#changelist-filter")
    expect(sheet).to_be_visible()
    sheet.get_by_label("From", exact=True).fill("2020-01-01")
    sheet.get_by_label("To", exact=True).fill("2020-01-31")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    assert "status__exact=succeeded" in page.url
    page.get_by_role("link", name="Show everything").click()
    expect(page.locator("#result_list")).to_be_visible()


def test_colours_are_chosen_and_kept(page: Page) -> None:
    account = page.get_by_role("button", name="Ada Novak")
    account.focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Dark").click()
    expect(page.locator("html")).to_have_class(re.compile("dark"))

    page.reload()

    expect(page.locator("html")).to_have_class(re.compile("dark"))


def test_an_open_action_is_closed_by_escape_and_by_a_click_elsewhere(page: Page) -> None:
    page.goto("/admin/providers/provider/")
    page.get_by_role("link", name="In-house GPUs").first.click()
    summary = page.locator("summary", has_text="Disable")
    panel = page.locator(".palyra-panel", has_text="No new call goes to this provider")
    summary.click()
    expect(panel).to_be_visible()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(summary).to_be_focused()
    summary.click()
    page.locator("h1").click()
    expect(panel).to_be_hidden()


@pytest.mark.any_database
def test_what_uses_a_provider_and_how_reliable_it_was_is_seen_before_it_is_disabled(
    page: Page,
) -> None:
    page.goto("/admin/providers/provider/?q=openai")
    page.locator("#result_list tbody th a").first.click()
    page.get_by_role("link", name="7 days").click()
    expect(page.get_by_role("region", name="Reliability, as a table")).to_be_visible()
    page.locator("summary", has_text="Disable").click()
    panel = page.locator("details[open] .palyra-panel")
    expect(panel).to_contain_text(re.compile(r"\d+ calls were made there in the last 30 days"))
    expect(panel).to_contain_text("1 scheduled prompt asks for one of its models by name.")


@pytest.mark.any_database
def test_listed_prices_are_seen_before_they_are_set(page: Page) -> None:
    headers = {
        "X-CSRFToken": next(
            str(one["value"]) for one in page.context.cookies() if one["name"] == "csrftoken"
        )
    }
    made = page.request.post(
        "/api/v1/providers/openai/models", headers=headers, data={"name": "gpt-4o"}
    )
    assert made.status == 201, made.text()
    page.goto("/admin/governance/price/")
    page.get_by_role("link", name="Import").click()
    expect(page.get_by_label("openai/gpt-4o")).to_be_checked()
    expect(page.locator("#main")).to_contain_text("The price in force was set by hand and stays.")
    page.get_by_role("button", name="Set what is picked, from now on").click()

    _success(page, "1 price set from genai-prices")


def test_times_are_in_the_browsers_zone_from_the_first_page(
    chromium: Browser, seeded: Console
) -> None:
    with watched_page(chromium, seeded.base_url, zone="Asia/Tokyo") as watched:
        sign_in(watched.page)
        expect(watched.page.locator(".palyra-filter-zone")).to_contain_text("Asia/Tokyo")


def test_the_navigation_opens_on_a_phone(chromium: Browser, seeded: Console) -> None:
    with watched_page(chromium, seeded.base_url, "phone") as watched:
        page = watched.page
        sign_in(page)
        # Beside its name stands how many missed times are to be decided on.
        entry = page.get_by_role("link", name=re.compile(r"^Scheduled prompts( .*)?$")).first
        expect(entry).to_be_hidden()
        page.get_by_role("button", name="Open the navigation").click()
        entry.click()
        expect(page.locator("h1")).to_contain_text("Scheduled prompts")


def test_a_viewer_looks_and_changes_nothing(chromium: Browser, seeded: Console) -> None:
    with watched_page(chromium, seeded.base_url) as watched:
        page = watched.page
        sign_in(page, VIEWER)
        expect(page.locator(".palyra-figure")).to_have_count(8)
        page.goto("/admin/scheduling/cronjob/")
        expect(page.locator("a.addlink")).to_have_count(0)
        page.locator("#result_list tbody th a").first.click()
        expect(page.locator("h1")).to_contain_text("Scheduled prompts")
        expect(page.locator(".palyra-actions :is(summary, button, form)")).to_have_count(0)
        page.goto("/admin/governance/approval/?status__exact=pending")
        page.locator("#result_list tbody th a").first.click()
        expect(page.locator("#main")).to_contain_text("somebody who may decide")
