"""The zone that times are shown in: the person's own wins over the browser's."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import ModelCall, Preferences
from palyra_site.console.zones import viewers_zone
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled, text_of

PAGE = "/admin/preferences/"


@pytest.fixture
def person(db: None) -> Client:
    """Somebody without permissions, whose browser is in New York."""
    client = signed_in(staff("somebody"))
    client.cookies["palyra_zone"] = "America/New_York"
    return client


def zone_shown(client: Client) -> str:
    return str(viewers_zone(client.get(PAGE).wsgi_request))


@pytest.mark.parametrize(
    ("own", "cookie", "shown"),
    [
        ("", "", "UTC"),
        ("", "America/New_York", "America/New_York"),
        ("", "no/such", "UTC"),
        ("Europe/Prague", "America/New_York", "Europe/Prague"),
        ("Europe/Prague", "", "Europe/Prague"),
        # A zone that the installed data no longer has.
        ("Europe/Gone", "America/New_York", "UTC"),
    ],
)
def test_whose_zone_it_is(db: None, own: str, cookie: str, shown: str) -> None:
    user = staff("somebody")
    client = signed_in(user)
    if own:
        Preferences.objects.create(user=user, zone=own)
    if cookie:
        client.cookies["palyra_zone"] = cookie

    assert zone_shown(client) == shown


def test_a_person_sets_and_unsets_their_own(person: Client) -> None:
    form: dict[str, Any] = filled(person.get(PAGE).content.decode(), "preferences_form")
    assert form["zone"] == ""

    said = text_of(person.post(PAGE, {"zone": "Asia/Tokyo"}, follow=True).content.decode())
    assert "Times are shown in Asia/Tokyo wherever you sign in." in said
    assert "JST" in said
    assert zone_shown(person) == "Asia/Tokyo"
    assert filled(person.get(PAGE).content.decode(), "preferences_form")["zone"] == "Asia/Tokyo"

    person.post(PAGE, {"zone": ""})
    assert zone_shown(person) == "America/New_York"
    assert not Preferences.objects.exists()


def test_what_is_no_zone_is_refused_in_words(person: Client) -> None:
    refused = person.post(PAGE, {"zone": "Praha"})

    assert refused.status_code == 200
    assert "'Praha' is not a time zone." in text_of(refused.content.decode())
    assert not Preferences.objects.exists()


def test_it_is_set_for_oneself_alone(person: Client) -> None:
    other = staff("other")
    Preferences.objects.create(user=other, zone="Asia/Tokyo")

    person.post(PAGE, {"zone": "Europe/Prague", "user": other.pk})

    assert set(Preferences.objects.values_list("user__username", "zone")) == {
        ("other", "Asia/Tokyo"),
        ("somebody", "Europe/Prague"),
    }


def test_lists_and_days_are_in_the_persons_zone(seeded: Seeded, browser: Client) -> None:
    call = seeded.call
    ModelCall.objects.filter(pk=call.pk).update(admitted_at="2026-01-05T23:30Z")
    browser.cookies["palyra_zone"] = "America/New_York"
    browser.post(PAGE, {"zone": "Europe/Prague"})

    found = browser.get(reverse("admin:governance_modelcall_changelist"), {"period": "2026-01-06"})

    assert [one.pk for one in found.context["cl"].result_list] == [call.pk]
    assert "6 Jan 2026, 00:30:00 CET" in text_of(found.content.decode())


def test_the_zone_takes_one_query_a_page(
    person: Client, django_assert_max_num_queries: Any
) -> None:
    with django_assert_max_num_queries(6) as made:
        person.get("/admin/")
    about = [one for one in made.captured_queries if "governance_preferences" in one["sql"]]
    assert len(about) == 1
