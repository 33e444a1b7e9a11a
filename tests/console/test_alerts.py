"""Alerts and channels in the console."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from governance.alerts import deliveries, handling
from governance.models import Alert, AlertKind, BudgetWindow, Channel, Delivery
from providers import vault
from providers.identifiers import new_id
from providers.models import Secret
from tests.api.callers import Caller, items_of
from tests.console.conftest import signed_in, staff
from tests.console.pages import text_of
from tests.governance.alerts.receiver import SECRET
from tests.support.factories import make_model, make_policy

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


def test_a_secret_to_sign_with_is_offered_anew_each_time(browser: Client) -> None:
    page = reverse("admin:governance_channel_add")
    offered = [
        re.findall(r">(whsec_[^<]+)</code>", browser.get(page).content.decode()) for _ in range(2)
    ]
    assert offered[0] != offered[1]
    (secret,) = offered[0]
    refused = browser.post(page, {**CHANNEL, "name": "", "signing_secret": secret})
    # The receiver may have the one of before by now.
    assert "</code>" not in refused.content.decode()
    browser.post(page, {**CHANNEL, "signing_secret": secret})
    kept = Channel.objects.select_related("secret").get().secret
    assert kept is not None
    assert vault.decrypt(kept.ciphertext).text == secret


def test_a_chats_address_is_never_shown(browser: Client) -> None:
    address = "https://hooks.slack.com/services/T0/B0/token"
    chat = {**CHANNEL, "format": "slack", "signing_secret": "", "url": address}
    browser.post(reverse("admin:governance_channel_add"), chat)
    channel = Channel.objects.get()
    assert channel.address is not None
    page = reverse("admin:governance_channel_change", args=[channel.pk])
    looker = signed_in(staff("looker", "governance.view_channel"))
    for who in (browser, looker):
        for shown in (page, reverse("admin:governance_channel_changelist")):
            assert "T0/B0" not in who.get(shown).content.decode()
    # Sent back as it is shown, it stays.
    assert browser.get(page).context["adminform"].form["url"].value() == "https://hooks.slack.com"
    browser.post(page, {**chat, "url": "https://hooks.slack.com", "name": "renamed"})
    channel.refresh_from_db()
    assert channel.name == "renamed"
    assert vault.decrypt(channel.address.ciphertext).text == address

    browser.post(reverse("admin:governance_channel_delete", args=[channel.pk]), {"post": "yes"})
    assert not Channel.objects.exists()
    assert not Secret.objects.exists()


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


@pytest.mark.parametrize("kind", ["email", "webhook", "console"])
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
    assert "it was taken (5 ms)" in browser.get(page).content.decode()


def test_each_try_of_a_delivery_is_told_in_words(browser: Client) -> None:
    channel = Channel.objects.create(name="Console", kind="console")
    delivery = deliveries.send_test(channel, timezone.now())
    page = reverse("admin:governance_delivery_change", args=[delivery.pk])
    assert "Nothing had to be sent" in browser.get(page).content.decode()

    tried = {"at": "2026-03-10T12:00:00+00:00", "status": None, "fault": "", "milliseconds": 12}
    Delivery.objects.update(log=[{**tried, "status": 500}, {**tried, "fault": "No answer."}])
    shown = text_of(browser.get(page).content.decode())
    assert "10 Mar 2026, 12:00 UTC : it answered 500 (12 ms)" in shown
    assert "No answer. (12 ms)" in shown


def test_a_delivery_is_sent_again(browser: Client) -> None:
    channel = Channel.objects.create(name="hook", url="https://hooks.example.com")
    delivery = deliveries.send_test(channel, timezone.now())
    Delivery.objects.update(status="failed")
    address = reverse("admin:governance_delivery_do", args=[delivery.pk, "redeliver"])
    browser.post(address, {})
    assert Delivery.objects.get().status == "pending"


def test_nothing_is_sent_again_to_a_channel_that_is_disabled(browser: Client) -> None:
    channel = Channel.objects.create(name="hook", url="https://hooks.example.com", enabled=False)
    delivery = deliveries.send_test(channel, timezone.now())
    Delivery.objects.update(status="failed")
    address = reverse("admin:governance_delivery_do", args=[delivery.pk, "redeliver"])
    assert deliveries.DISABLED in browser.post(address, {}, follow=True).content.decode()
    assert Delivery.objects.get().status == "failed"


def test_a_delivery_leads_to_its_run_and_says_what_it_says(browser: Client) -> None:
    channel = Channel.objects.create(name="here", kind="console")
    data = {"title": "Report: succeeded", "explanation": "On time.", "output": "<b>Well</b>"}
    run_id = new_id()
    for event in ("run.succeeded", "run.failed"):
        deliveries.new_delivery(
            channel, event, {"data": data}, timezone.now(), run_id=run_id
        ).save()
    told = Delivery.objects.get(event="run.succeeded")
    page = browser.get(reverse("admin:governance_delivery_change", args=[told.pk]))
    shown = page.content.decode()
    assert reverse("admin:scheduling_cronrun_change", args=[run_id]) in shown
    assert "On time.\n\n&lt;b&gt;Well&lt;/b&gt;" in shown

    listed = reverse("admin:governance_delivery_changelist")
    for query, found in (("event=run.", 2), ("event=run.succeeded", 1), ("event=alert.", 0)):
        assert browser.get(f"{listed}?{query}").context["cl"].result_count == found


def test_alerts_are_handled_in_bulk_with_their_count(browser: Client, alert: Alert) -> None:
    now = timezone.now()
    done = Alert.objects.create(
        kind=AlertKind.COST_SPIKE,
        key="two",
        title="Another",
        first_seen_at=now,
        last_seen_at=now,
        resolved_at=now,
    )
    chosen = {"_selected_action": [str(alert.pk), str(done.pk)]}
    address = reverse("admin:governance_alert_changelist")

    answer = browser.post(address, {"action": "acknowledge_selected", **chosen}, follow=True)
    assert "1 alert is acknowledged now; 1 was already." in answer.content.decode()
    answer = browser.post(address, {"action": "resolve_selected", **chosen}, follow=True)
    assert "1 alert is resolved now; 1 was already." in answer.content.decode()
    assert not Alert.objects.filter(resolved_at=None).exists()


def test_a_muted_alert_says_so_and_is_unmuted(browser: Client, alert: Alert) -> None:
    browser.post(_do(alert, "mute"), {"mute-hours": "2"})
    address = reverse("admin:governance_alert_changelist")
    assert "muted until" in browser.get(address, {"state": "muted"}).content.decode()

    browser.post(_do(alert, "unmute"))

    alert.refresh_from_db()
    assert alert.muted_until is None
    assert "A spike" not in browser.get(address, {"state": "muted"}).content.decode()


@pytest.mark.parametrize("state", ["unhandled", "open", "muted", "resolved", "nonsense"])
def test_alerts_are_found_by_their_state(browser: Client, alert: Alert, state: str) -> None:
    found = browser.get(reverse("admin:governance_alert_changelist"), {"state": state})

    assert ("A spike" in found.content.decode()) is (state in {"unhandled", "open", "nonsense"})


def test_an_alert_leads_to_what_it_is_about(browser: Client) -> None:
    policy = make_policy(name="A month")
    window = BudgetWindow.objects.create(policy=policy, starts_at="2026-03-01T00:00Z")
    model = make_model()
    qualified = f"{model.provider.name}/{model.name}"
    now = timezone.now()
    for detail, leads_to in (
        ({"window": window.pk, "policy": "A month"}, f"budgetwindow/{window.pk}/"),
        ({"window": 404, "policy": "A month"}, f"budgetpolicy/{policy.pk}/"),
        ({"model": qualified, "days": 3}, f"providermodel/{model.pk}/"),
        ({"provider": model.provider.name}, f"provider/{model.provider.pk}/"),
    ):
        alert = Alert.objects.create(
            kind=AlertKind.STALE_PRICE,
            key=str(detail),
            title="One",
            first_seen_at=now,
            last_seen_at=now,
            detail=detail,
        )
        page = reverse("admin:governance_alert_change", args=[alert.pk])
        assert leads_to in browser.get(page).content.decode()
