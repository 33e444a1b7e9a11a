"""Alerts and channels in the console."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.alerts import deliveries, handling
from governance.models import Alert, AlertKind, Channel, Delivery
from tests.api.callers import Caller, items_of
from tests.console.conftest import signed_in, staff
from tests.governance.alerts.receiver import SECRET

pytestmark = pytest.mark.django_db
CHANNEL = {
    "name": "hook",
    "kind": "webhook",
    "format": "standard",
    "purpose": "both",
    "url": "https://hooks.example.com/palyra",
    "signing_secret": SECRET,
    "recipients": "",
    "enabled": "on",
}
MAIL = {**CHANNEL, "kind": "email", "url": "", "signing_secret": ""}


@pytest.fixture
def alert(db: None) -> Alert:
    now = timezone.now()
    return Alert.objects.create(
        kind=AlertKind.COST_SPIKE, key="one", title="A spike", first_seen_at=now, last_seen_at=now
    )


def _do(alert: Alert, action: str) -> str:
    return reverse("admin:governance_alert_do", args=[alert.pk, action])


def test_an_alert_is_acknowledged_muted_and_resolved(
    browser: Client, administrator: User, alert: Alert
) -> None:
    assert "A spike" in browser.get(reverse("admin:governance_alert_changelist")).content.decode()
    browser.post(_do(alert, "acknowledge"), {})
    browser.post(_do(alert, "mute"), {"mute-hours": "2"})
    browser.post(_do(alert, "resolve"), {})
    alert.refresh_from_db()
    assert alert.acknowledged_by == administrator
    assert alert.muted_until
    assert alert.resolved_at


def test_who_may_only_look_handles_none(alert: Alert) -> None:
    looker = signed_in(staff("looker", "governance.view_alert"))
    assert looker.post(_do(alert, "resolve"), {}).status_code == 403


def test_a_channels_secret_is_never_shown(browser: Client) -> None:
    browser.post(reverse("admin:governance_channel_add"), CHANNEL)
    channel = Channel.objects.get()
    page = reverse("admin:governance_channel_change", args=[channel.pk])
    assert channel.secret is not None
    assert SECRET not in browser.get(page).content.decode()

    browser.post(reverse("admin:governance_channel_do", args=[channel.pk, "test"]), {})
    assert Delivery.objects.get().event == deliveries.TEST
    assert deliveries.TEST in browser.get(page).content.decode()


def test_recipients_are_written_one_a_line(browser: Client) -> None:
    written = "ada@example.com\n\n bob@example.com "
    browser.post(reverse("admin:governance_channel_add"), {**MAIL, "recipients": written})
    channel = Channel.objects.get()
    assert channel.recipients == ["ada@example.com", "bob@example.com"]
    page = reverse("admin:governance_channel_change", args=[channel.pk])
    assert "ada@example.com\nbob@example.com" in browser.get(page).content.decode()
    assert items_of(Caller(browser).get("/channels"))[0]["recipients"] == channel.recipients


@pytest.mark.parametrize("written", ["", "5", '{"a": 1}', "ada@example.com\nnobody"])
def test_recipients_that_nothing_can_be_sent_to_are_refused(browser: Client, written: str) -> None:
    answer = browser.post(reverse("admin:governance_channel_add"), {**MAIL, "recipients": written})
    assert "e-mail address" in str(answer.context["adminform"].form.errors["recipients"])
    assert not Channel.objects.exists()


@pytest.mark.parametrize("kind", ["email", "webhook"])
@pytest.mark.parametrize("stored", [None, 5, {"a": 1}, "ada@example.com", [1]])
def test_recipients_are_a_list_of_texts_whatever_the_kind(kind: str, stored: object) -> None:
    channel = Channel(name="hook", kind=kind, url="https://example.com", recipients=stored)
    with pytest.raises(ValidationError) as refused:
        handling.check_channel(channel, SECRET)
    assert set(refused.value.message_dict) == {"recipients"}


def test_a_delivery_that_was_mailed_says_so(browser: Client) -> None:
    channel = Channel.objects.create(name="mail", kind="email", recipients=["ada@example.com"])
    delivery = deliveries.send_test(channel, timezone.now())
    log = [{"at": "2026-03-10T12:00:00+00:00", "status": None, "fault": "", "milliseconds": 5}]
    Delivery.objects.update(status="delivered", log=log)
    page = reverse("admin:governance_delivery_change", args=[delivery.pk])
    assert "taken in 5 ms" in browser.get(page).content.decode()


def test_a_delivery_is_sent_again(browser: Client) -> None:
    channel = Channel.objects.create(name="hook", url="https://hooks.example.com")
    delivery = deliveries.send_test(channel, timezone.now())
    Delivery.objects.update(status="failed")
    address = reverse("admin:governance_delivery_do", args=[delivery.pk, "redeliver"])
    browser.post(address, {})
    assert Delivery.objects.get().status == "pending"
