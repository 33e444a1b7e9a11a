"""Signing in, the second step, roles and single sign-on, in a real browser."""

from __future__ import annotations

import time

import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Browser, Page, expect

from tests.browser.accessibility import violations
from tests.browser.chromium import watched_page
from tests.browser.conftest import sign_in
from tests.browser.console import MEMBER, OPERATOR, PASSWORD, VIEWER, Console, console
from tests.support.identity_provider import CLIENT_ID, CLIENT_SECRET, identity_provider

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]


def _fits(page: Page) -> list[str]:
    found = violations(page)
    if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        found.append(f"{page.url} is wider than the screen")
    return found


def _code(secret: str, step: int) -> str:
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step)))


def test_a_member_sets_up_two_step_sign_in_and_uses_it(chromium: Browser, seeded: Console) -> None:
    with watched_page(chromium, seeded.base_url, "phone") as watched:
        page = watched.page
        page.goto("/account/sign-in/")
        found = _fits(page)
        _enter(page, MEMBER, PASSWORD)
        page.wait_for_url("**/team/")
        page.get_by_role("link", name="Your account").click()
        found += _fits(page)
        page.get_by_role("link", name="Set it up").click()
        found += _fits(page)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        page.get_by_text("It cannot be scanned").click()
        secret = page.locator("code.key").inner_text()
        found += _fits(page)
        page.get_by_label("Code").fill(_code(secret, -1))
        page.get_by_role("button", name="Turn on").click()
        expect(page.locator(".codes li")).to_have_count(10)
        found += _fits(page)
        page.get_by_role("link", name="I have kept them").click()
        expect(page.locator("main")).to_contain_text("10 recovery codes are left")
        page.get_by_role("button", name="Sign out", exact=True).click()

        _enter(page, MEMBER, PASSWORD)
        page.get_by_label("Code").fill("000000")
        page.get_by_role("button", name="Go on").click()
        expect(page.locator("main")).to_contain_text("That code is not right")
        found += _fits(page)
        page.get_by_label("Code").fill(_code(secret, 0))
        page.get_by_role("button", name="Go on").click()
        page.wait_for_url("**/team/")

        page.goto("/account/two-step/off/")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Confirm").click()
        found += _fits(page)
        page.get_by_role("button", name="Turn off").click()
        expect(page.locator("main")).to_contain_text("Two-step sign-in is off")
        assert not found, "\n".join(found)


def _enter(page: Page, name: str, password: str) -> None:
    page.get_by_label("Username").fill(name)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_an_owner_gives_somebody_a_role(page: Page, chromium: Browser, seeded: Console) -> None:
    page.goto("/admin/auth/user/add/")
    page.get_by_label("Username").fill("nina")
    page.get_by_label("Role").select_option(label="Auditor: sees everything and changes nothing")
    page.locator("input[name=password1]").fill(PASSWORD)
    page.locator("input[name=password2]").fill(PASSWORD)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#main")).to_contain_text("was added successfully")
    found = _fits(page)
    page.goto("/admin/auth/user/?role=auditor")
    expect(page.locator("#result_list")).to_contain_text("nina")
    found += violations(page)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "sees", "lacks"),
    [
        (OPERATOR, ("Scheduled prompts", "Approvals", "Providers"), ("Secrets", "Users", "Groups")),
        (VIEWER, ("Secrets", "Users", "Audit trail"), ()),
    ],
)
def test_each_role_finds_what_is_theirs(
    chromium: Browser, seeded: Console, name: str, sees: tuple[str, ...], lacks: tuple[str, ...]
) -> None:
    with watched_page(chromium, seeded.base_url, "dark") as watched:
        page = watched.page
        sign_in(page, name)
        for title in sees:
            expect(page.get_by_role("link", name=title).first).to_be_attached()
        for title in lacks:
            expect(page.get_by_role("link", name=title, exact=True)).to_have_count(0)
        page.goto("/account/")
        found = _fits(page)
    assert not found, "\n".join(found)


def test_single_sign_on_leads_there_and_back(chromium: Browser) -> None:
    with (
        identity_provider(email="lena@example.com", email_verified=True) as provider,
        console(
            seeded=False,
            PALYRA_OIDC_ISSUER=provider.base_url,
            PALYRA_OIDC_CLIENT_ID=CLIENT_ID,
            PALYRA_OIDC_CLIENT_SECRET=CLIENT_SECRET,
            PALYRA_OIDC_NAME="Example login",
            PALYRA_OIDC_DOMAINS="example.com",
        ) as running,
        watched_page(chromium, running.base_url) as watched,
    ):
        page = watched.page
        page.goto("/account/sign-in/?next=/account/")
        found = _fits(page)
        page.get_by_role("button", name="Sign in with Example login").click()
        page.wait_for_url("**/account/")
        expect(page.locator("main")).to_contain_text("lena@example.com")
        expect(page.locator("main")).to_contain_text("Member: team pages only")
        found += _fits(page)
        assert provider.refused == []
    assert not found, "\n".join(found)
