"""A key's text is shown once, on the answer to the form that made it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance import keys
from governance.models import ApiKey, AuditEntry, ModelCall, Team
from tests.browser.seed import Seeded
from tests.console.pages import filled, links_of, text_of
from tests.support.factories import make_policy, make_team

# What a page shows once, and words: once is enough.
pytestmark = pytest.mark.any_database
ADD = "admin:governance_apikey_add"
LIST = "admin:governance_apikey_changelist"
CALLS = "admin:governance_modelcall_changelist"
KEY = re.compile(r"ply_[0-9a-f]+_[0-9a-f]{64}")


@pytest.fixture
def team(db: None) -> Team:
    return make_team(name="Blue")


def _form(browser: Client, team: Team, **fields: Any) -> dict[str, Any]:
    sent = filled(browser.get(reverse(ADD)).content.decode(), "apikey_form")
    return {**sent, "team": team.pk, "name": "Widget", **fields}


def test_a_new_key_is_shown_with_a_line_to_try_it(browser: Client, team: Team) -> None:
    response = browser.post(reverse(ADD), _form(browser, team))

    html = response.content.decode()
    text = KEY.findall(html)[0]
    parsed = keys.parse(text)
    record = ApiKey.objects.get()
    assert parsed is not None
    assert parsed.public_id == record.public_id
    assert keys.matches(parsed.secret, record.secret_hash)
    assert record.created_by is not None
    assert "curl" in html
    assert "no-store" in response["Cache-Control"]


def test_no_other_page_shows_it_again(browser: Client, team: Team) -> None:
    text = KEY.findall(browser.post(reverse(ADD), _form(browser, team)).content.decode())[0]
    record = ApiKey.objects.get()
    parsed = keys.parse(text)
    assert parsed is not None

    addresses = [reverse(LIST), reverse("admin:index")]
    addresses += [
        reverse(f"admin:governance_apikey_{view}", args=[record.pk])
        for view in ("change", "history")
    ]
    for address in addresses:
        assert parsed.secret not in browser.get(address).content.decode(), address


def test_it_is_kept_nowhere(browser: Client, team: Team) -> None:
    text = KEY.findall(browser.post(reverse(ADD), _form(browser, team)).content.decode())[0]
    parsed = keys.parse(text)
    assert parsed is not None

    for session in Session.objects.all():
        assert parsed.secret not in str(session.get_decoded())
    for entry in LogEntry.objects.all():
        assert parsed.secret not in f"{entry.object_repr}{entry.change_message}"
    assert parsed.secret not in str(ApiKey.objects.values().get())


def test_a_reload_makes_no_second_key_and_shows_none(browser: Client, team: Team) -> None:
    sent = _form(browser, team)
    browser.post(reverse(ADD), sent)

    again = browser.post(reverse(ADD), sent, follow=True)

    assert ApiKey.objects.count() == 1
    assert not KEY.search(again.content.decode())
    assert "already created" in text_of(again.content.decode())


def test_a_key_that_would_be_born_expired_is_refused_at_its_field(
    browser: Client, team: Team
) -> None:
    yesterday = timezone.now() - timedelta(days=1)
    sent = _form(
        browser, team, expires_at_0=f"{yesterday:%Y-%m-%d}", expires_at_1=f"{yesterday:%H:%M:%S}"
    )

    response = browser.post(reverse(ADD), sent)

    assert response.context["adminform"].form.errors.keys() == {"expires_at"}
    assert not ApiKey.objects.exists()


def test_an_expiry_is_read_in_the_viewers_zone(browser: Client, team: Team) -> None:
    browser.cookies["palyra_zone"] = "America/New_York"
    sent = _form(browser, team, expires_at_0="2100-01-01", expires_at_1="09:00:00")

    browser.post(reverse(ADD), sent)

    expires_at = ApiKey.objects.get().expires_at
    assert expires_at is not None
    assert expires_at.isoformat() == "2100-01-01T14:00:00+00:00"


def test_only_the_name_can_be_changed(browser: Client, team: Team) -> None:
    record = keys.create(team=team, name="Widget").record
    before = ApiKey.objects.values().get()
    page = reverse("admin:governance_apikey_change", args=[record.pk])

    browser.post(
        page,
        {
            "name": "Gadget",
            "team": make_team().pk,
            "expires_at_0": "2100-01-01",
            "last_four": "0000",
        },
    )

    assert ApiKey.objects.values().get() == {**before, "name": "Gadget"}


def test_revoking_refuses_the_key_and_says_so(browser: Client, team: Team) -> None:
    record = keys.create(team=team, name="Widget").record
    address = reverse("admin:governance_apikey_do", args=[record.pk, "revoke"])

    said = text_of(browser.post(address, follow=True).content.decode())

    record.refresh_from_db()
    assert record.revoked_at is not None
    assert "Widget is revoked: calls with it are refused." in said
    assert LogEntry.objects.filter(object_id=str(record.pk)).exists()


def test_revoking_again_changes_nothing(browser: Client, team: Team) -> None:
    record = keys.create(team=team, name="Widget").record
    keys.revoke(record)
    record.refresh_from_db()
    address = reverse("admin:governance_apikey_do", args=[record.pk, "revoke"])

    said = text_of(browser.post(address, follow=True).content.decode())

    assert "no longer applies" in said
    assert ApiKey.objects.get().revoked_at == record.revoked_at


def test_several_keys_are_revoked_at_once_and_counted(browser: Client, team: Team) -> None:
    made = [keys.create(team=team, name=f"Key {number}").record for number in range(3)]
    keys.revoke(made[0])

    response = browser.post(
        reverse(LIST),
        {"action": "revoke_selected", "_selected_action": [key.pk for key in made]},
        follow=True,
    )

    assert "2 keys are revoked." in text_of(response.content.decode())
    assert not ApiKey.objects.filter(revoked_at__isnull=True).exists()


@pytest.mark.every_database
def test_the_list_tells_live_expired_and_revoked_apart(browser: Client, team: Team) -> None:
    now = timezone.now()
    for name in ("Live one", "Revoked one", "Expired one"):
        keys.create(team=team, name=name)
    keys.revoke(ApiKey.objects.get(name="Revoked one"))
    ApiKey.objects.filter(name="Expired one").update(expires_at=now - timedelta(hours=1))

    for state in ("live", "expired", "revoked"):
        html = browser.get(reverse(LIST), {"state": state}).content.decode()
        found = re.findall(r"(\w+) one", text_of(html))
        assert set(found) == {state.capitalize()}


def test_the_list_says_when_a_key_was_last_used(seeded: Seeded, browser: Client) -> None:
    key = seeded.call.api_key
    assert key is not None
    last = ModelCall.objects.filter(api_key=key).latest("admitted_at").admitted_at

    html = browser.get(reverse(LIST)).content.decode()

    assert last.isoformat(timespec="milliseconds") in html


def _rotate(key: ApiKey) -> str:
    return reverse("admin:governance_apikey_do", args=[key.pk, "rotate"])


def _sent(hours: str) -> dict[str, str]:
    return {"rotate-grace": hours, "rotate-once": str(uuid4())}


@pytest.mark.parametrize(("hours", "works"), [("0", False), ("24", True)])
def test_a_rotated_key_stays_itself_with_another_text(
    browser: Client, team: Team, hours: str, works: bool
) -> None:
    old = keys.create(team=team, name="Widget", routing_mode="dry_run")

    response = browser.post(_rotate(old.record), _sent(hours))

    text = KEY.findall(response.content.decode())[0]
    assert text != old.text
    assert "no-store" in response["Cache-Control"]
    new, before = keys.parse(text), keys.parse(old.text)
    assert new is not None
    assert before is not None
    row = ApiKey.objects.get(pk=old.record.pk)
    assert (row.public_id, row.name, row.last_four) == (new.public_id, "Widget", text[-4:])
    assert keys.matches(new.secret, row.secret_hash)
    kept = ApiKey.objects.filter(public_id=before.public_id).first()
    assert (kept is not None) is works
    if kept is not None:
        assert keys.matches(before.secret, kept.secret_hash)
        assert kept.name == "Widget (replaced)"
        assert kept.routing_mode == "dry_run"
        assert kept.expires_at is not None


def test_a_reload_rotates_no_second_time(browser: Client, team: Team) -> None:
    key = keys.create(team=team, name="Widget").record
    page = browser.get(reverse("admin:governance_apikey_change", args=[key.pk])).content.decode()
    once = re.search(r'name="rotate-once" value="([0-9a-f-]{36})"', page)
    assert once is not None
    sent = {"rotate-grace": "24", "rotate-once": once[1]}
    browser.post(_rotate(key), sent)
    texts = set(ApiKey.objects.values_list("secret_hash", flat=True))

    again = browser.post(_rotate(key), sent, follow=True)

    assert set(ApiKey.objects.values_list("secret_hash", flat=True)) == texts
    assert len(texts) == 2
    assert not KEY.search(again.content.decode())
    assert "already rotated" in text_of(again.content.decode())


def test_an_old_text_lasts_no_longer_than_its_key(browser: Client, team: Team) -> None:
    ends = timezone.now() + timedelta(hours=2)
    old = keys.create(team=team, name="Widget", expires_at=ends)

    browser.post(_rotate(old.record), _sent("168"))

    assert {one.expires_at for one in ApiKey.objects.all()} == {ends}


@pytest.mark.parametrize("value", ["", "own"])
def test_a_key_with_a_budget_is_rotated_at_once_only(
    browser: Client, team: Team, value: str
) -> None:
    old = keys.create(team=team, name="Widget")
    make_policy(scope="api_key", team=team, value=value and str(old.record.pk))

    answer = browser.post(_rotate(old.record), _sent("24"), follow=True)
    assert "with the old text refused at once" in text_of(answer.content.decode())
    assert ApiKey.objects.get().public_id == old.record.public_id

    browser.post(_rotate(old.record), _sent("0"))
    assert ApiKey.objects.get().public_id != old.record.public_id


def test_what_no_longer_works_is_not_rotated(browser: Client, team: Team) -> None:
    old = keys.create(team=team, name="Widget")
    keys.revoke(old.record)

    browser.post(_rotate(old.record), _sent("0"))

    assert ApiKey.objects.get().public_id == old.record.public_id


def test_a_rotated_keys_text_is_kept_nowhere(browser: Client, team: Team) -> None:
    old = keys.create(team=team, name="Widget")
    answer = browser.post(_rotate(old.record), _sent("1"))
    new = keys.parse(KEY.findall(answer.content.decode())[0])
    assert new is not None

    for session in Session.objects.all():
        assert new.secret not in str(session.get_decoded())
    for entry in LogEntry.objects.all():
        assert new.secret not in f"{entry.object_repr}{entry.change_message}"
    assert new.secret not in str(list(AuditEntry.objects.values()))


def test_a_keys_page_leads_to_its_calls_and_a_budget_for_it(browser: Client, team: Team) -> None:
    key = keys.create(team=team, name="Widget").record
    page = browser.get(reverse("admin:governance_apikey_change", args=[key.pk]))

    calls, budget = links_of(page.content.decode())
    assert calls == ("Its calls", f"{reverse(CALLS)}?api_key__id__exact={key.pk}")
    assert budget[0] == "Give it a budget"
    form = filled(browser.get(budget[1]).content.decode(), "budgetpolicy_form")
    assert (form["scope"], form["team"], form["value"]) == (
        "api_key",
        str(team.pk),
        key.public_id,
    )
