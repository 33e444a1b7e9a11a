"""A provider's host in a real browser: tested, discovered, taken out of use and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import watched_page
from tests.browser.console import OPERATOR, Console
from tests.browser.looks import page_faults
from tests.providers.host import Host, hosting

pytestmark = [pytest.mark.browser, pytest.mark.processes]
MODELS = (
    {
        "id": "acme/large",
        "context_length": 200_000,
        "architecture": {"input_modalities": ["text", "image"]},
        "supported_parameters": ["tools", "response_format"],
        "pricing": {
            "prompt": "0.000003",
            "completion": "0.000015",
            "input_cache_read": "0.0000003",
        },
    },
    "llama-3.1-8b-instant",
    "text-embed",
    "dall-e-3",
)


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting(*MODELS) as host:
        yield host


@pytest.fixture
def name() -> str:
    """What the provider is called."""
    return "browsed"


@pytest.fixture
def provider(page: Page, host: Host, name: str) -> Iterator[str]:
    """A provider at that host; its page's address."""
    cookies = {one["name"]: one["value"] for one in page.context.cookies()}
    headers = {"X-CSRFToken": cookies["csrftoken"]}
    reply = page.request.post(
        "/api/v1/providers",
        headers=headers,
        data={
            "name": name,
            "kind": "openai_compatible",
            "base_url": host.base_url,
            "allow_private_base_url": True,
        },
    )
    assert reply.status == 201, reply.text()
    page.goto(f"/admin/providers/provider/?q={name}")
    yield str(page.locator("#result_list tbody th a").first.get_attribute("href"))
    for model in page.request.get("/api/v1/models?limit=200").json()["items"]:
        if model["provider"] == name:
            page.request.delete(f"/api/v1/models/{model['id']}", headers=headers)
    page.request.delete(f"/api/v1/providers/{name}", headers=headers)


def test_presets_are_accessible(page: Page) -> None:
    page.goto("/admin/providers/provider/presets/")
    found = page_faults(page)
    page.get_by_role("link", name="OpenAI").first.click()
    page.get_by_label("Key", exact=True).wait_for()
    found += page_faults(page)

    assert not found, "\n".join(found)


def test_a_host_is_tested_and_its_models_taken_over(page: Page, provider: str) -> None:
    page.goto(provider)
    page.get_by_role("button", name="Test connection").click()
    page.get_by_text("browsed can be reached.").wait_for()
    found = page_faults(page)
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Discover models").click()
    page.get_by_role("heading", name="The host lists 4 models: 3 new.").wait_for()
    found += page_faults(page)
    page.get_by_label("acme/large").check()
    page.get_by_role("button", name="Take over what is picked").click()
    page.get_by_text("1 model added. 1 price set.").wait_for()
    with page.expect_navigation():
        page.keyboard.press("Escape")

    page.locator("summary", has_text="Trip breaker").click()
    page.get_by_text("No call goes to this provider until somebody resets it.").wait_for()
    page.get_by_role("button", name="Trip breaker", exact=True).click()
    page.get_by_text("browsed is out of use until it is reset.").wait_for()
    found += page_faults(page)
    page.locator("summary", has_text="Reset breaker").click()
    page.get_by_role("button", name="Reset breaker", exact=True).click()
    page.get_by_text("Calls go to browsed again.").wait_for()

    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["tried"])
def test_an_operator_tests_a_host_and_takes_it_out_of_use_for_a_while(
    provider: str, chromium: Browser, seeded: Console, cookies_of: Callable[[str], tuple[Any, ...]]
) -> None:
    cookies = cookies_of(OPERATOR)
    with watched_page(chromium, seeded.base_url, "dark", cookies=cookies) as watched:
        theirs = watched.page
        theirs.goto(provider)
        theirs.get_by_role("button", name="Test connection").click()
        theirs.get_by_text("tried can be reached.").wait_for()
        theirs.keyboard.press("Escape")
        for name in ("Discover models", "Save"):
            expect(theirs.get_by_role("button", name=name, exact=True)).to_have_count(0)
        for name, says in (
            ("Trip breaker", "tried is out of use until it is reset."),
            ("Reset breaker", "Calls go to tried again."),
        ):
            theirs.locator("summary", has_text=name).click()
            theirs.get_by_role("button", name=name, exact=True).click()
            theirs.get_by_text(says).wait_for()
