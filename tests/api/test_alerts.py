"""Alerts, channels and deliveries, through the API."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from governance.models import Alert, AlertKind, Channel, Delivery, Team
from providers import vault
from tests.api.callers import Caller, body_of, items_of
from tests.api.problems import faults
from tests.governance.alerts.receiver import SECRET
from tests.support.factories import make_team

pytestmark = pytest.mark.django_db
CHANNEL = {"name": "hook", "url": "https://hooks.example.com/palyra", "secret": SECRET}


def make_alert(**fields: Any) -> Alert:
    now = timezone.now()
    defaults = {"kind": AlertKind.COST_SPIKE, "key": "one", "title": "A spike"}
    return Alert.objects.create(**{**defaults, "first_seen_at": now, "last_seen_at": now, **fields})


def test_a_team_sees_its_own(integration: Caller, organisation: Caller, team: Team) -> None:
    own = make_alert(team=team)
    make_alert(key="two", team=make_team())
    make_alert(key="three")
    assert [one["id"] for one in items_of(integration.get("/alerts"))] == [str(own.pk)]
    assert len(items_of(organisation.get("/alerts?open=true"))) == 3
    assert items_of(organisation.get("/alerts?open=false")) == []
    assert integration.post(f"/alerts/{own.pk}/acknowledge").status_code == 403


def test_an_alert_is_handled(organisation: Caller) -> None:
    address = f"/alerts/{make_alert().pk}"
    acknowledged = body_of(organisation.post(f"{address}/acknowledge"))
    assert acknowledged["acknowledged_by"] == "administrator"
    until = {"until": "2999-01-01T00:00:00Z"}
    assert body_of(organisation.post(f"{address}/mute", until))["muted_until"].startswith("2999")
    past = {"until": "2020-01-01T00:00:00Z"}
    assert organisation.post(f"{address}/mute", past).status_code == 422
    assert body_of(organisation.post(f"{address}/resolve"))["resolved_at"]


def test_a_channels_secret_goes_in_and_never_comes_out(organisation: Caller) -> None:
    response = organisation.post("/channels", CHANNEL)
    assert response.status_code == 201, response.content
    channel = Channel.objects.get()
    assert channel.secret is not None
    assert vault.decrypt(channel.secret.ciphertext).text == SECRET
    for answer in (response, organisation.get("/channels")):
        assert SECRET not in answer.content.decode()
    assert body_of(response)["has_secret"] is True


@pytest.mark.parametrize(
    "change",
    [{"secret": ""}, {"secret": "whsec_short"}, {"url": ""}, {"kinds": ["weather"]}],
)
def test_a_channel_that_cannot_send_is_refused(
    organisation: Caller, change: dict[str, Any]
) -> None:
    assert organisation.post("/channels", {**CHANNEL, **change}).status_code == 422
    assert not Channel.objects.exists()


def test_every_fault_of_a_channel_is_said_at_once(organisation: Caller) -> None:
    faulty = {
        "name": "",
        "url": "nowhere",
        "secret": "whsec_short",
        "team": "none",
        "kinds": ["weather"],
    }
    named = {"name", "url", "secret", "team", "kinds"}
    added = organisation.post("/channels", faulty)
    assert set(faults(added)) == named

    identifier = body_of(organisation.post("/channels", CHANNEL))["id"]
    del faulty["team"]
    changed = organisation.patch(f"/channels/{identifier}", faulty)
    assert set(faults(changed)) == named - {"team"}
    assert Channel.objects.get().name == CHANNEL["name"]


def test_a_test_is_sent_and_sent_again(organisation: Caller) -> None:
    identifier = body_of(organisation.post("/channels", CHANNEL))["id"]
    made = body_of(organisation.post(f"/channels/{identifier}/test"))
    assert [one["id"] for one in items_of(organisation.get("/deliveries"))] == [made["id"]]
    Delivery.objects.update(status="failed", tries=7)
    again = organisation.post(f"/deliveries/{made['id']}/redeliver")
    assert (again.status_code, body_of(again)["status"]) == (200, "pending")
    assert organisation.delete(f"/channels/{identifier}").status_code == 204
