"""Every page of the console as each of those it is for: in light, in the dark and on a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.urls import NoReverseMatch, reverse
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Watched, watched_page
from tests.browser.console import ADMINISTRATOR, OPERATOR, VIEWER, Console
from tests.browser.looks import page_faults
from tests.browser.walking import Walk, models

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.any_database]

APPS = ("providers", "governance", "scheduling", "auth")
PERSONAS = (ADMINISTRATOR, OPERATOR, VIEWER)
ROUTING = "/admin/governance/governancesettings/routing"
OF_NO_MODEL = (
    "/admin/",
    "/admin/?period=x",
    "/admin/spend/?by=model&provider=openai",
    "/admin/system/",
    "/admin/preferences/",
    "/admin/governance/",
    "/admin/playground/",
    f"{ROUTING}/decisions/",
    f"{ROUTING}/mode/?for=installation&mode=enforced",
    f"{ROUTING}/savings/",
)
OF_ADMINISTRATORS = ("/admin/providers/provider/presets/ollama/",)
KEPT_FROM_OPERATORS = ("providers_secret", "auth_user", "auth_group")
ADDED_BY_OPERATORS = {"scheduling_cronjob", "scheduling_exclusioncalendar"}
SAVING = {"Save", "Save and continue editing", "Save and add another"}
DELETING = "Yes, I’m sure"
# What an operator is offered to do, by app: always, and as things are.
RUN_BY_OPERATORS: dict[str, tuple[set[str], set[str]]] = {
    "providers": ({"Test connection"}, {"Trip breaker", "Reset breaker"}),
    "governance": (
        {"Run", "Send again"},
        {"Acknowledge", "Mute", "Unmute", "Resolve", "Approve", "Deny"},
    ),
    "scheduling": (
        {"Run", "Run now", "Change the schedule", "Try it without spending", *SAVING},
        {"Pause", "Resume", "Run again", "Skip them", "Run once", "Replay all", "Cancel", DELETING},
    ),
}
# Reading a kept prompt is a POST, as it is told of in the audit trail.
READ_BY_AUDITORS = {"Read prompt and answer"}
# What is one's own to set, and what asks without changing anything.
OF_EVERYBODY = {"Save", "Explain", "Make this a schedule"}

# The parts of pages that were looked at.
KNOWN: set[int] = set()

CookiesOf = Callable[[str], tuple[Any, ...]]


@pytest.fixture
def watched(
    persona: str, chromium: Browser, seeded: Console, cookies_of: CookiesOf
) -> Iterator[Watched]:
    """A page on which the test's persona is signed in."""
    with watched_page(chromium, seeded.base_url, cookies=cookies_of(persona)) as watching:
        yield watching


def _through(watched: Watched, app: str, *, without: tuple[str, ...] = ()) -> Walk:
    walk = Walk(watched.page, KNOWN)
    for model in models(app):
        if model not in without:
            walk.visit_model(model)
    return walk


def _added(walk: Walk) -> set[str]:
    """The models of which the walk came to a form for a new one."""
    forms = [one for one in walk.visited if one.endswith("/add/")]
    return {"_".join(one.split("/")[2:4]) for one in forms}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("persona", [ADMINISTRATOR])
def test_an_administrator_finds_everything_usable(watched: Watched, app: str) -> None:
    walk = _through(watched, app)

    assert not walk.faults, "\n".join(walk.faults)
    always, _ = RUN_BY_OPERATORS.get(app, (SAVING, SAVING))
    assert always | SAVING <= walk.offered
    assert _added(walk)


@pytest.mark.parametrize("app", RUN_BY_OPERATORS)
@pytest.mark.parametrize("persona", [OPERATOR])
def test_an_operator_finds_what_they_run_and_nothing_else_to_do(watched: Watched, app: str) -> None:
    walk = _through(watched, app, without=KEPT_FROM_OPERATORS)

    assert not walk.faults, "\n".join(walk.faults)
    always, at_times = RUN_BY_OPERATORS[app]
    assert always <= walk.offered <= always | at_times
    assert _added(walk) == {one for one in ADDED_BY_OPERATORS if one.startswith(app)}


@pytest.mark.parametrize("app", APPS)
@pytest.mark.parametrize("persona", [VIEWER])
def test_an_auditor_reads_everything_and_finds_nothing_to_do(watched: Watched, app: str) -> None:
    walk = _through(watched, app)

    assert not walk.faults, "\n".join(walk.faults)
    assert walk.offered <= READ_BY_AUDITORS
    assert not _added(walk)
    for address in walk.files:
        answer = watched.page.request.get(address)
        assert answer.headers["content-type"].startswith("text/csv"), address


@pytest.mark.parametrize("persona", PERSONAS)
def test_the_pages_of_no_model_are_everybodys(watched: Watched, persona: str) -> None:
    walk = Walk(watched.page, KNOWN)
    for address in OF_NO_MODEL:
        walk.visit(address)
    for address in OF_ADMINISTRATORS if persona == ADMINISTRATOR else ():
        walk.visit(address)

    assert not walk.faults, "\n".join(walk.faults)
    if persona != ADMINISTRATOR:
        assert walk.offered <= OF_EVERYBODY


@pytest.mark.parametrize("persona", [OPERATOR])
def test_a_page_that_is_not_theirs_says_so_and_leads_back(watched: Watched) -> None:
    page, found = watched.page, []
    for model in KEPT_FROM_OPERATORS:
        answer = page.goto(reverse(f"admin:{model}_changelist"))
        assert answer is not None and answer.status == 403
        expect(page.get_by_role("heading")).to_have_text("Your account may not do that")
    found += page_faults(page)
    page.goto("/admin/nowhere/")
    expect(page.get_by_role("heading")).to_have_text("There is nothing here")
    found += page_faults(page)
    page.get_by_role("link", name="Go to the overview").click()
    page.wait_for_url("**/admin/")
    watched.expect_refusals()

    assert not found, "\n".join(found)


def test_the_walk_reaches_every_app() -> None:
    assert {model._meta.app_label for model in admin.site._registry} == set(APPS)
    with pytest.raises(NoReverseMatch):
        reverse("admin:django_q_schedule_changelist")
