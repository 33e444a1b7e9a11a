"""From facts in the database to alerts, and from alerts to webhooks that a receiver can check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.db.models import F
from pytest_django import Settings

from governance.alerts import deliveries, handling
from governance.alerts.deliveries import BACKOFF, CLAIMED_FOR, claim_due, record
from governance.alerts.evaluation import evaluate
from governance.alerts.sending import Result
from governance.ledger.rebuilding import rebuild
from governance.models import (
    Alert,
    AlertKind,
    ApiKey,
    BudgetPolicy,
    BudgetWindow,
    Channel,
    Delivery,
    DeliveryStatus,
    ModelCall,
    Team,
    UsageHour,
)
from providers.models import Breaker, BreakerState, ProviderProbe
from tests.governance.alerts.receiver import SECRET, Receiver, is_signed, receiving, send_all
from tests.support.factories import (
    make_model,
    make_policy,
    make_price,
    make_provider,
    make_secret,
    make_team,
)

pytestmark = pytest.mark.django_db
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)
APRIL = datetime(2026, 4, 1, tzinfo=UTC)
DOLLAR = 10**9


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def team() -> Team:
    return make_team(name="Blue")


def make_channel(url: str = "https://hooks.example.com", **fields: Any) -> Channel:
    defaults = {
        "name": f"hook {Channel.objects.count()}",
        "url": url,
        "secret": make_secret(SECRET),
        "allow_private_addresses": True,
    }
    return Channel.objects.create(**{**defaults, **fields})


def make_window(team: Team, consumed: int = 8 * DOLLAR, **fields: Any) -> BudgetWindow:
    """Of ten dollars a month, most is consumed; alerted at three quarters and at all."""
    policy = fields.pop("policy", None) or make_policy(team=team, thresholds=[75, 100])
    defaults = {"scope_value": str(team.pk), "starts_at": MARCH, "ends_at": APRIL}
    return BudgetWindow.objects.create(
        **{**defaults, "policy": policy, "consumed": consumed, **fields}
    )


def send_due(now: datetime) -> int:
    claimed = claim_due(now)
    record(send_all(claimed, now), now)
    return len(claimed)


def kinds() -> list[str]:
    return sorted(Alert.objects.filter(resolved_at=None).values_list("kind", flat=True))


def test_a_threshold_reached_arrives_signed(team: Team, receiver: Receiver) -> None:
    make_channel(receiver.url, kinds=[AlertKind.BUDGET_THRESHOLD])
    make_window(team)

    evaluate(NOON)
    send_due(NOON)

    delivery = Delivery.objects.get()
    [(headers, body)] = receiver.received
    assert is_signed(headers, body)
    assert headers["webhook-id"] == str(delivery.pk)
    assert headers["webhook-timestamp"] == str(int(NOON.timestamp()))
    [sent] = receiver.bodies()
    assert sent["type"] == "alert.opened"
    assert sent["data"]["team"] == team.slug
    assert sent["data"]["detail"]["threshold"] == 75
    assert (delivery.status, delivery.tries, delivery.log[0]["status"]) == ("delivered", 1, 204)


def test_a_threshold_is_raised_once_a_window(team: Team) -> None:
    window = make_window(team)
    make_channel()
    evaluate(NOON)
    evaluate(NOON + SECOND)
    evaluate(NOON + 15 * SECOND)
    alerts = Alert.objects.filter(kind=AlertKind.BUDGET_THRESHOLD)
    assert alerts.get().count == 2

    # Below it again: still reached. Resolved by hand: known.
    BudgetWindow.objects.update(consumed=0)
    evaluate(NOON + 30 * SECOND)
    assert alerts.get().resolved_at is None
    alerts.update(resolved_at=NOON + 31 * SECOND)
    BudgetWindow.objects.update(consumed=8 * DOLLAR)
    evaluate(NOON + 45 * SECOND)
    assert alerts.count() == 1

    BudgetWindow.objects.update(consumed=F("consumed") + 2 * DOLLAR)
    evaluate(NOON + 60 * SECOND)
    assert alerts.get(resolved_at=None).detail["threshold"] == 100
    assert alerts.get(resolved_at=None).detail["window"] == str(window.pk)

    evaluate(APRIL)
    assert not alerts.filter(resolved_at=None).exists()
    assert Delivery.objects.filter(alert__kind=AlertKind.BUDGET_THRESHOLD).count() == 2


def test_a_threshold_reached_just_before_the_end_is_raised_once(team: Team) -> None:
    make_channel()
    make_window(team)
    late = APRIL + 14 * SECOND
    assert evaluate(late) == 1
    assert Alert.objects.get().kind == AlertKind.BUDGET_THRESHOLD
    for seconds in (15, 30):
        assert evaluate(late + seconds * SECOND) == 0
        assert Alert.objects.get().resolved_at == late + 15 * SECOND
    assert Delivery.objects.count() == 1


def test_a_window_that_ended_long_ago_is_not_looked_at(team: Team) -> None:
    make_window(team)
    assert evaluate(APRIL + timedelta(minutes=1)) == 0


@pytest.mark.parametrize(
    ("scope", "rolling", "words"),
    [("team", False, "for Blue."), ("api_key", False, "key builder."), ("team", True, "for Blue.")],
)
def test_it_is_said_whose_budget_it_is(team: Team, scope: str, rolling: bool, words: str) -> None:
    key = ApiKey.objects.create(team=team, name="builder", public_id="abc")
    policy = make_policy(scope=scope, rolling=rolling, thresholds=[75])
    value = str(key.pk if scope == "api_key" else team.pk)
    make_window(team, policy=policy, scope_value=value)
    evaluate(NOON)
    alert = Alert.objects.get(kind=AlertKind.BUDGET_THRESHOLD)
    assert alert.explanation.endswith(words)


@pytest.mark.parametrize("rolling", [False, True])
@pytest.mark.parametrize("percent", [1, 7, 9, 10, 75, 200])
def test_a_threshold_is_met_exactly(team: Team, percent: int, rolling: bool) -> None:
    policy = make_policy(
        team=team, metric="requests", hard_limit=700, thresholds=[percent], rolling=rolling
    )
    window = make_window(team, 7 * percent - 1, policy=policy)
    evaluate(NOON)
    assert AlertKind.BUDGET_THRESHOLD not in kinds()
    BudgetWindow.objects.filter(pk=window.pk).update(held=1)
    evaluate(NOON + SECOND)
    assert AlertKind.BUDGET_THRESHOLD in kinds()


@pytest.mark.parametrize("rolling", [False, True])
def test_the_largest_limit_is_looked_at(team: Team, rolling: bool) -> None:
    largest = 2**63 - 1
    make_window(team, largest - 5, policy=make_policy(hard_limit=largest, rolling=rolling))
    make_window(team, 0, policy=make_policy(hard_limit=0, rolling=rolling))
    evaluate(NOON)
    reached = Alert.objects.filter(kind=AlertKind.BUDGET_THRESHOLD)
    assert sorted(one.detail["threshold"] for one in reached) == [50, 75, 90]


def test_there_may_be_very_many_policies(
    team: Team, django_assert_max_num_queries: Callable[[int], AbstractContextManager[Any]]
) -> None:
    fields: dict[str, Any] = {"scope": "global", "hard_limit": 10 * DOLLAR, "interval": "hour"}
    policies = BudgetPolicy.objects.bulk_create(
        BudgetPolicy(
            name=f"{number}", rolling=number % 3 == 0, thresholds=[number % 12 + 1], **fields
        )
        for number in range(1500)
    )
    for policy in policies[:2]:
        make_window(team, policy=policy, scope_value="", starts_at=NOON, ends_at=APRIL)
    assert evaluate(NOON) == 2
    with django_assert_max_num_queries(25):
        assert evaluate(NOON + SECOND) == 0


def test_a_rolling_policy_is_the_sum_of_its_buckets(team: Team) -> None:
    policy = make_policy(team=team, interval="hour", rolling=True, thresholds=[75])
    for minutes in (70, 50, 5):
        begin = NOON - timedelta(minutes=minutes)
        ends = begin + timedelta(minutes=5)
        make_window(team, 4 * DOLLAR, policy=policy, starts_at=begin, ends_at=ends)
    evaluate(NOON)
    assert Alert.objects.get().detail["used"] == str(8 * DOLLAR)
    evaluate(NOON + timedelta(minutes=30))
    assert kinds() == []


def test_channels_are_told_what_they_want(team: Team) -> None:
    wanting = [make_channel(), make_channel(team=team), make_channel(kinds=["budget_threshold"])]
    make_channel(team=make_team())
    make_channel(kinds=["stale_price"])
    make_channel(enabled=False)
    make_window(team, policy=make_policy(team=team, thresholds=[75], hard_limit=8 * DOLLAR))
    evaluate(NOON)
    assert {one.channel for one in Delivery.objects.all()} == set(wanting)


def test_a_muted_one_is_not_sent_again() -> None:
    make_channel()
    breaker = Breaker.objects.create(
        provider=make_provider(name="far"), state=BreakerState.OPEN, opened_at=NOON
    )
    evaluate(NOON)
    Alert.objects.update(muted_until=NOON + timedelta(hours=1))
    Breaker.objects.update(state=BreakerState.CLOSED)
    evaluate(NOON + SECOND)
    assert kinds() == []
    breaker.state, breaker.opened_at = BreakerState.OPEN, NOON + 2 * SECOND
    breaker.save()
    evaluate(NOON + 3 * SECOND)
    assert kinds() == [AlertKind.PROVIDER_HEALTH]
    assert Delivery.objects.count() == 1


def test_a_failed_probe_resolved_by_hand_is_known_until_it_went_well() -> None:
    make_channel()
    probe = ProviderProbe.objects.create(provider=make_provider(name="far"), checked_at=NOON)
    evaluate(NOON)
    handling.resolve(Alert.objects.get(), NOON + SECOND)
    for seconds in (15, 30, 45):
        ProviderProbe.objects.update(checked_at=NOON + seconds * SECOND)
        assert evaluate(NOON + seconds * SECOND) == 0
    # An open breaker is worse, and of that it is known since when it is.
    Breaker.objects.create(
        provider=probe.provider, state=BreakerState.OPEN, opened_at=NOON + 50 * SECOND
    )
    assert evaluate(NOON + 60 * SECOND) == 1
    Breaker.objects.all().delete()
    handling.resolve(Alert.objects.get(resolved_at=None), NOON + 61 * SECOND)
    assert evaluate(NOON + 75 * SECOND) == 0

    ProviderProbe.objects.update(ok=True)
    assert evaluate(NOON + 90 * SECOND) == 0
    ProviderProbe.objects.update(ok=False)
    assert evaluate(NOON + 105 * SECOND) == 1
    assert Delivery.objects.count() == 3
    assert all("known_until_false" not in one.detail for one in Alert.objects.all())


def test_what_waits_to_be_sent_waits_while_it_is_muted(team: Team) -> None:
    channel = make_channel(kinds=[AlertKind.BUDGET_THRESHOLD])
    make_window(team)
    evaluate(NOON)
    deliveries.send_test(channel, NOON)
    Alert.objects.update(muted_until=NOON + SECOND)
    [test] = claim_due(NOON)
    assert test.delivery.event == deliveries.TEST
    [late] = claim_due(NOON + SECOND)
    assert late.delivery.event == "alert.opened"


def make_hour(team: Team, hour: datetime, model: str = "small", **fields: Any) -> UsageHour:
    return UsageHour.objects.create(
        team_id=team.pk,
        hour=hour,
        provider="far",
        model=model,
        task_class="primary_interactive",
        routing_mode="suggest",
        **{"calls": 10, "cost": DOLLAR, **fields},
    )


def test_spikes_and_mixes_come_from_the_hours(team: Team) -> None:
    for day in range(1, 13):
        make_hour(team, NOON - timedelta(days=day))
    make_hour(team, NOON - timedelta(hours=1), model="large", calls=20, cost=3 * DOLLAR)
    evaluate(NOON)
    assert kinds() == [AlertKind.COST_SPIKE, AlertKind.MODEL_MIX, AlertKind.MODEL_MIX]


def test_a_claim_is_one_processes_and_runs_out(team: Team) -> None:
    deliveries.send_test(make_channel(), NOON)
    [first] = claim_due(NOON)
    assert claim_due(NOON) == []
    [second] = claim_due(NOON + CLAIMED_FOR)
    assert second.delivery.pk == first.delivery.pk
    # Whoever was late does not write over the one who has it now.
    record([(first, Result(status=500))], NOON + CLAIMED_FOR)
    assert Delivery.objects.get().log == []


def test_it_is_tried_again_and_then_given_up(receiver: Receiver) -> None:
    receiver.status = 503
    deliveries.send_test(make_channel(receiver.url), NOON)
    now = NOON
    for wait in BACKOFF:
        assert send_due(now) == 1
        assert Delivery.objects.get().next_at == now + wait
        assert send_due(now + wait - SECOND) == 0
        now += wait
    send_due(now)
    delivery = Delivery.objects.get()
    assert delivery.status == DeliveryStatus.FAILED
    assert [one["status"] for one in delivery.log] == [503] * 7

    receiver.status = 200
    deliveries.redeliver(delivery, now)
    send_due(now)
    delivery.refresh_from_db()
    assert (delivery.status, len(delivery.log)) == (DeliveryStatus.DELIVERED, 8)
    assert {headers["webhook-id"] for headers, _ in receiver.received} == {str(delivery.pk)}


def test_one_that_is_gone_disables_its_channel(receiver: Receiver) -> None:
    receiver.status = 410
    deliveries.send_test(make_channel(receiver.url), NOON)
    send_due(NOON)
    assert Delivery.objects.get().status == DeliveryStatus.FAILED
    assert not Channel.objects.get().enabled


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"allow_private_addresses": False}, "127.0.0.1"),
        ({"secret": None}, deliveries.UNSIGNED),
    ],
)
def test_what_cannot_be_sent_says_why(
    receiver: Receiver, fields: dict[str, Any], fault: str
) -> None:
    deliveries.send_test(make_channel(receiver.url, **fields), NOON)
    send_due(NOON)
    assert fault in Delivery.objects.get().log[0]["fault"]
    assert receiver.received == []


def test_mail_goes_to_the_recipients(team: Team, settings: Settings) -> None:
    settings.PALYRA_EMAIL = True
    make_channel(kind="email", recipients=["ada@example.com"])
    make_window(team)
    evaluate(NOON)
    while send_due(NOON):
        pass
    [sent] = [one for one in mail.outbox if "75" in one.subject]
    assert sent.to == ["ada@example.com"]
    assert set(Delivery.objects.values_list("status", flat=True)) == {"delivered"}


def test_without_a_mail_server_it_says_so(settings: Settings) -> None:
    settings.PALYRA_EMAIL = False
    deliveries.send_test(make_channel(kind="email", recipients=["ada@example.com"]), NOON)
    send_due(NOON)
    assert Delivery.objects.get().log[0]["fault"] == deliveries.NO_SERVER
    assert mail.outbox == []


def test_calls_and_prices_are_looked_at(team: Team) -> None:
    model = make_model(name="small", provider=make_provider(name="far"))
    make_price(model)
    fields: dict[str, Any] = {
        "team": team,
        "provider": "far",
        "model": "small",
        "requested_model": "auto",
        "task_class": "primary_interactive",
        "surface": "openai",
        "admitted_at": NOON - SECOND,
    }
    ModelCall.objects.create(**fields, status="succeeded", overrun=5, cost=9)
    ModelCall.objects.create(**fields, status="unconfirmed", cost=9)
    ModelCall.objects.create(**fields, status="succeeded", decision={"mode_source": "policy"})
    make_policy(hard_limit=10**12, routing_mode="enforced")
    rebuild(mend=True)
    evaluate(NOON)
    assert kinds() == ["overrun", "routing_override", "stale_price", "unconfirmed_calls"]

    # Known to whoever resolved them, until there is another such call.
    Alert.objects.update(resolved_at=NOON)
    evaluate(NOON + SECOND)
    assert kinds() == []
    ModelCall.objects.create(
        **{**fields, "admitted_at": NOON + SECOND}, status="unconfirmed", cost=9
    )
    rebuild(mend=True)
    evaluate(NOON + 2 * SECOND)
    assert kinds() == ["unconfirmed_calls"]


def test_the_number_of_queries_does_not_grow(
    team: Team, django_assert_max_num_queries: Callable[[int], AbstractContextManager[Any]]
) -> None:
    policy = make_policy(scope="session", thresholds=[75])
    for number in range(20):
        make_window(team, policy=policy, scope_value=f"{team.pk}:{number}")
    evaluate(NOON)
    with django_assert_max_num_queries(25):
        evaluate(NOON + 20 * SECOND)
    # Each has reached a threshold, and is on course to pass its limit.
    assert Alert.objects.filter(resolved_at=None, count=2).count() == 40
