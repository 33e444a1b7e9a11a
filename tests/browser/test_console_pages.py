"""Every page of the console, in light, in the dark and on a phone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.accessibility import colour_violations, violations
from tests.browser.chromium import LOOKS, watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import VIEWER, Console, console

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]

APPS = ("providers", "governance", "scheduling", "auth")
WIDE, NARROW = (ViewportSize(width=width, height=900) for width in (1440, 390))


def _models(app: str) -> list[str]:
    return [
        f"{model._meta.app_label}_{model._meta.model_name}"
        for model in admin.site._registry
        if model._meta.app_label == app
    ]


def _pages(page: Page, model: str) -> Iterator[str]:
    """The model's list, one of its objects, and the form of a new one."""
    addresses = [reverse(f"admin:{model}_changelist")]
    page.goto(addresses[0])
    first = page.locator("#result_list tbody th a").first
    if first.count():
        addresses.append(str(first.get_attribute("href")).partition("?")[0])
    if page.locator("a.addlink").count():
        addresses.append(reverse(f"admin:{model}_add"))
    yield from addresses


def page_faults(page: Page) -> list[str]:
    """What is wrong with the page in each of its looks."""
    page.wait_for_load_state("networkidle")
    found = [f"light {fault}" for fault in violations(page)]
    page.evaluate("document.documentElement.classList.add('dark')")
    found += [f"dark {fault}" for fault in colour_violations(page)]
    page.evaluate("document.documentElement.classList.remove('dark')")
    page.set_viewport_size(NARROW)
    found += [f"phone {fault}" for fault in violations(page)]
    overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    if overflow > 0:
        found.append(f"phone {page.url} is {overflow} px wider than the screen")
    page.set_viewport_size(WIDE)
    return found


@pytest.mark.parametrize("app", APPS)
def test_lists_and_forms_are_accessible(page: Page, app: str) -> None:
    found: list[str] = []
    for model in _models(app):
        for address in _pages(page, model):
            response = page.goto(address)
            assert response is not None
            assert response.status == 200, address
            found += page_faults(page)

    assert not found, "\n".join(found)


def test_the_frame_and_its_pages_are_accessible(page: Page) -> None:
    found: list[str] = []
    history = reverse("admin:auth_user_history", args=[1])
    own = ("/admin/?period=x", "/admin/spend/?by=model&provider=openai", "/admin/system/")
    for address in ("/admin/", "/admin/password_change/", "/admin/governance/", history, *own):
        page.goto(address)
        found += page_faults(page)

    assert not found, "\n".join(found)


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


def test_listed_prices_are_accessible(page: Page) -> None:
    page.goto(reverse("admin:governance_price_import"))
    found = page_faults(page)

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
        for model in set(_models("governance")) - {f"governance_{one}" for one in never_empty}:
            watched.page.goto(reverse(f"admin:{model}_changelist"))
            watched.page.locator(".palyra-empty").wait_for()
            found += page_faults(watched.page)

    assert not found, "\n".join(found)


def test_the_viewers_pages_are_accessible(chromium: Browser, seeded: Console) -> None:
    found: list[str] = []
    with watched_page(chromium, seeded.base_url) as watched:
        sign_in(watched.page, VIEWER)
        for name in ("providers_provider", "governance_budgetpolicy", "scheduling_cronjob"):
            for address in _pages(watched.page, name):
                watched.page.goto(address)
                found += page_faults(watched.page)
                assert not watched.page.get_by_role("button", name="Save", exact=True).count()

    assert not found, "\n".join(found)


def test_the_walk_reaches_every_app() -> None:
    assert {model._meta.app_label for model in admin.site._registry} == set(APPS)
    with pytest.raises(NoReverseMatch):
        reverse("admin:django_q_schedule_changelist")
