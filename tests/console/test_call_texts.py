"""Prompt and answer on a call's page: shown to those who may, once it is noted."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.models import AuditEntry, CallStatus, CallText, ModelCall, Team
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of

# Who is shown what, once it is noted, is asked of Python.
pytestmark = pytest.mark.any_database
ASKED = {"passages": [["User", "What is <b>it</b>?"]], "cut": False}
ANSWERED = {"passages": [["Model", "A secret plan."]], "cut": True}


@pytest.fixture
def called(seeded: Seeded) -> ModelCall:
    """A call of which nothing is kept."""
    CallText.objects.all().delete()
    Team.objects.update(text_days=0)
    return ModelCall.objects.get(pk=seeded.call.pk)


@pytest.fixture
def kept(called: ModelCall) -> ModelCall:
    """A call whose prompt and answer are kept."""
    call = called
    call.team.text_days = 30
    call.team.save()
    CallText.objects.create(
        pk=call.pk,
        team=call.team,
        admitted_at=call.admitted_at,
        asked=ASKED,
        answered=ANSWERED,
    )
    return call


def page(call: ModelCall) -> str:
    return reverse("admin:governance_modelcall_change", args=[call.pk])


def texts(call: ModelCall) -> str:
    return reverse("admin:governance_modelcall_texts", args=[call.pk])


def looks() -> int:
    return int(AuditEntry.objects.filter(action="read").count())


def test_a_page_shows_them_only_when_asked_to(kept: ModelCall, browser: Client) -> None:
    html = browser.get(page(kept)).content.decode()

    assert "Read prompt and answer" in html
    assert "A secret plan." not in html
    assert looks() == 0


@pytest.mark.every_database
def test_each_reading_is_in_the_audit_trail(kept: ModelCall, browser: Client) -> None:
    shown = browser.post(texts(kept))

    html = shown.content.decode()
    assert shown.status_code == 200
    assert "no-store" in shown["Cache-Control"]
    assert "What is &lt;b&gt;it&lt;/b&gt;?" in html
    assert "A secret plan." in html
    assert "What came after this was too long to be kept." in html
    entry = AuditEntry.objects.get(action="read")
    assert (entry.actor, entry.object_id) == ("root", str(kept.pk))
    assert entry.changes == {}
    history = browser.get(reverse("admin:governance_modelcall_history", args=[kept.pk]))
    assert "root" in text_of(history.content.decode())


def test_following_a_link_there_shows_and_notes_nothing(kept: ModelCall, browser: Client) -> None:
    followed = browser.get(texts(kept))

    assert followed.status_code == 302
    assert followed["Location"] == page(kept)
    assert looks() == 0


def test_who_sees_every_call_need_not_read_what_people_wrote(kept: ModelCall) -> None:
    looker = signed_in(staff("looker", "governance.view_modelcall", "governance.change_team"))

    html = looker.get(page(kept)).content.decode()

    assert "takes a permission that you do not have" in html
    assert "Read prompt and answer" not in html
    assert looker.post(texts(kept)).status_code == 403
    assert looks() == 0


def test_the_permission_to_read_is_of_use_only_with_that_to_see(kept: ModelCall) -> None:
    reader = staff("reader", "governance.read_calltext")
    assert signed_in(reader).post(texts(kept)).status_code == 403
    both = staff("both", "governance.read_calltext", "governance.view_modelcall")
    assert signed_in(both).post(texts(kept)).status_code == 200


@pytest.mark.parametrize(
    ("days", "status", "says"),
    [
        ((0, 1), CallStatus.SUCCEEDED, "the team's setting keeps none"),
        ((7, 8), CallStatus.SUCCEEDED, "the team keeps them for 7 days"),
        ((7, 1), CallStatus.SUCCEEDED, "the team's setting kept none then, or they could"),
        ((7, 1), CallStatus.BLOCKED, "nothing was sent"),
        ((7, 0), CallStatus.WAITING, "nothing was sent"),
    ],
)
def test_what_is_not_kept_says_why(
    called: ModelCall, browser: Client, days: tuple[int, int], status: str, says: str
) -> None:
    team_days, age_days = days
    call = called
    call.team.text_days = team_days
    call.team.save()
    at = timezone.now() - timedelta(days=age_days)
    ModelCall.objects.filter(pk=call.pk).update(admitted_at=at, status=status)

    assert says in text_of(browser.get(page(call)).content.decode())


def test_what_is_too_old_is_shown_no_more_although_not_deleted_yet(
    kept: ModelCall, browser: Client
) -> None:
    at = timezone.now() - timedelta(days=31)
    ModelCall.objects.filter(pk=kept.pk).update(admitted_at=at)

    html = browser.post(texts(kept)).content.decode()

    assert "A secret plan." not in html
    assert looks() == 0


@pytest.mark.parametrize("answered", [None, {"passages": [], "cut": False}])
def test_a_call_without_an_answer_says_so(
    kept: ModelCall, browser: Client, answered: dict[str, Any] | None
) -> None:
    CallText.objects.update(answered=answered)

    assert "There was no answer." in browser.post(texts(kept)).content.decode()


def test_reading_wants_the_forms_token(kept: ModelCall, seeded: Seeded) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(seeded.administrator)

    assert strict.post(texts(kept)).status_code == 403
    assert looks() == 0


def test_a_teams_form_sets_how_long_they_are_kept(called: ModelCall, browser: Client) -> None:
    team = called.team
    address = reverse("admin:governance_team_change", args=[team.pk])
    form: dict[str, Any] = filled(browser.get(address).content.decode(), "team_form")
    assert form["text_days"] == "0"

    browser.post(address, {**form, "text_days": "14"})

    team.refresh_from_db()
    assert team.text_days == 14
    entry = AuditEntry.objects.filter(object_type="governance.team").latest("at")
    assert entry.changes["text_days"] == [0, 14]
    refused = browser.post(address, {**form, "text_days": "99999"}).content.decode()
    assert "less than or equal to 3650" in refused
