"""The playground in a real browser: explained, sent, stopped, copied, and made a schedule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import ADMINISTRATOR, OPERATOR, PASSWORD, VIEWER, Console, console
from tests.browser.looks import overflow, page_faults
from tests.support.arrangements import limit_team, make_team, register_upstream
from tests.support.client import Person
from tests.support.faults import Behaviour, Fault
from tests.support.upstream import Upstream, start_upstream

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]
NOWHERE = "01890000-0000-7000-8000-000000000001"
SYSTEM_PROMPT, PROMPT = "You help the help desk.", "Compare our refund policies step by step."


@dataclass(frozen=True, slots=True)
class Scene:
    """A console, and the upstream that its models are at."""

    console: Console
    upstream: Upstream


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with start_upstream() as upstream, console(seeded=False) as running:
        administrator = Person(running.base_url, ADMINISTRATOR, PASSWORD)
        register_upstream(administrator, upstream, "steady", "endless")
        for slug in ("research", "thrifty"):
            make_team(administrator, slug)
        limit_team(administrator, "research", metric="cost", hard_limit="5.00", name="Plenty")
        limit_team(
            administrator,
            "thrifty",
            metric="requests",
            hard_limit=0,
            name="Ask first",
            action="approval",
        )
        upstream.behave("endless", Behaviour(fault=Fault.HANGS_IN_BODY, after=2))
        yield Scene(running, upstream)
        administrator.close()


@pytest.fixture
def page(chromium: Browser, scene: Scene) -> Iterator[Page]:
    """The playground, opened by the administrator and filled in."""
    with watched_page(chromium, scene.console.base_url) as watched:
        sign_in(watched.page)
        watched.page.get_by_role("link", name="Playground").click()
        _fill(watched.page)
        yield watched.page


def _fill(page: Page) -> None:
    page.get_by_label("System prompt").fill(SYSTEM_PROMPT)
    page.get_by_label("Prompt", exact=True).fill(PROMPT)
    page.get_by_label("Team").select_option(label="Research")
    page.get_by_label("Model", exact=True).select_option("steady")


def _fact(page: Page, name: str) -> str:
    """What the ledger says of the call that was sent."""
    facts = page.locator("#playground-settled dl > div", has=page.get_by_text(name, exact=True))
    return facts.locator("dd").inner_text()


def test_a_call_is_explained_sent_and_found_in_the_ledger(page: Page, scene: Scene) -> None:
    found = page_faults(page)
    page.get_by_role("button", name="Explain").click()
    explained = page.locator("#playground-explained")
    expect(explained.get_by_role("heading").first).to_have_text(
        "This call would go to upstream/steady."
    )
    expect(explained.get_by_role("region", name="Models and what they")).to_contain_text(
        "Would be used"
    )
    expect(explained.get_by_role("region", name="What each budget says")).to_contain_text("Plenty")
    assert scene.upstream.arrived() == 0

    page.get_by_label("Prompt", exact=True).press("Control+Enter")
    expect(page.get_by_role("status")).to_have_text("Answered")
    expect(page.get_by_label("The answer")).to_contain_text("upstream answer")
    page.locator("#playground-settled dl").wait_for()
    assert _fact(page, "Status") == "Succeeded"
    assert _fact(page, "Cost").startswith("$0.0")
    assert _fact(page, "Attempts") == "1"
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    found += page_faults(page)
    (received,) = scene.upstream.received("steady")
    assert [one["content"] for one in received.body["messages"]] == [SYSTEM_PROMPT, PROMPT]

    page.get_by_role("link", name="The call’s story").click()
    expect(page.locator(".palyra-story")).to_contain_text("Console")
    expect(page.locator(".palyra-story")).to_contain_text(ADMINISTRATOR)
    page.go_back()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)
    expect(page.get_by_label("Model", exact=True)).to_have_value("steady")
    assert not found, "\n".join(found)


def test_an_answer_can_be_stopped_and_what_was_done_is_charged(page: Page, scene: Scene) -> None:
    page.get_by_label("Model", exact=True).select_option("endless")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_label("The answer")).to_contain_text("upstream")
    expect(page.get_by_role("status")).to_have_text("upstream/endless is answering")
    page.get_by_role("button", name="Stop").click()

    expect(page.get_by_role("status")).to_have_text("Stopped")
    scene.upstream.wait_for_disconnects("endless")
    page.locator("#playground-settled dl").wait_for()
    assert _fact(page, "Status") == "Cancelled"
    assert _fact(page, "Cost").startswith("$0.0")
    # And the next one begins anew.
    page.get_by_label("Model", exact=True).select_option("steady")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("status")).to_have_text("Answered")
    expect(page.get_by_label("The answer")).to_contain_text("tokens")


def test_a_refusal_leads_to_its_approval(page: Page) -> None:
    page.get_by_label("Team").select_option(label="Thrifty")
    page.get_by_role("button", name="Send").click()
    refused = page.get_by_role("alert")
    expect(refused).to_contain_text("This call needs approval")
    expect(refused).to_contain_text("“Ask first”")
    found = page_faults(page)

    refused.get_by_role("link", name="The request for approval").click()
    expect(page.locator("#main")).to_contain_text("Ask first")
    assert not found, "\n".join(found)


def test_what_the_ledger_does_not_have_is_not_waited_for(page: Page) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    refusal = '{"title": "There is no such model", "message": "No.", "entered": false}'
    events = (
        f'event: accepted\ndata: {{"call": "{NOWHERE}"}}\n\nevent: refused\ndata: {refusal}\n\n'
    )
    page.route(
        "**/playground/send/",
        lambda route: route.fulfill(content_type="text/event-stream", body=events),
    )
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no such model")
    page.unroute("**/playground/send/")

    page.get_by_role("button", name="Send").click()
    page.locator("#playground-settled dl").wait_for()
    assert not [url for url in asked if NOWHERE in url]


def test_a_call_is_copied_and_made_a_schedule(page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as curl or Python").click()
    page.get_by_role("button", name="Copy Python").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert PROMPT in copied and 'model="steady"' in copied
    found = page_faults(page)

    page.get_by_role("button", name="Make this a schedule").click()
    page.get_by_label("Name").fill("Refunds, weekly")
    expect(page.locator("#id_prompt")).to_have_value(PROMPT)
    page.locator("#id_cron").fill("0 9 * * MON")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#main")).to_contain_text("was added successfully")
    assert not found, "\n".join(found)


def test_what_is_filled_in_outlives_a_session_and_not_signing_out(page: Page) -> None:
    page.context.clear_cookies()
    page.reload()
    page.get_by_label("Username").fill(ADMINISTRATOR)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_label("Prompt", exact=True)).to_have_value(PROMPT)

    page.evaluate("document.getElementById('logout-form').requestSubmit()")
    page.get_by_role("heading", name="Sign in", exact=True).wait_for()
    page.wait_for_load_state()
    assert page.evaluate("Object.keys(sessionStorage)") == []


def test_an_operator_sends_on_a_phone(chromium: Browser, scene: Scene) -> None:
    with watched_page(chromium, scene.console.base_url, "phone") as watched:
        page = watched.page
        sign_in(page, OPERATOR)
        page.goto("/admin/playground/")
        _fill(page)
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("status")).to_have_text("Answered")
        expect(page.get_by_label("The answer")).to_contain_text("upstream answer")
        assert not overflow(page)


def test_an_auditor_has_calls_explained_only(chromium: Browser, scene: Scene) -> None:
    with watched_page(chromium, scene.console.base_url, "dark") as watched:
        page = watched.page
        sign_in(page, VIEWER)
        page.goto("/admin/playground/")
        _fill(page)
        assert not page.get_by_role("button", name="Send").count()
        page.get_by_role("button", name="Explain").click()
        page.locator("#playground-candidates").wait_for()
        found = page_faults(page)

    assert not found, "\n".join(found)
