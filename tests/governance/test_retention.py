"""What is old is deleted, and nothing that somebody may still need."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from governance.models import (
    Alert,
    Approval,
    BudgetPolicy,
    BudgetWindow,
    CallStatus,
    Channel,
    Delivery,
    ModelCall,
    Surface,
    TaskClass,
    UsageHour,
)
from governance.retention import (
    forget_alerts,
    forget_deliveries,
    forget_run_windows,
    forget_windows,
)
from governance.windows import BEGINNING
from providers import forgetting
from providers.identifiers import first_id, new_id
from tests.support.factories import make_policy, make_team

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def goes_on() -> bool:
    return True


def make_window(policy: BudgetPolicy, ends_at: datetime | None, **fields: Any) -> BudgetWindow:
    starts_at = BEGINNING if ends_at is None else ends_at - HOUR
    values = {"scope_value": str(BudgetWindow.objects.count()), "starts_at": starts_at}
    return BudgetWindow.objects.create(policy=policy, ends_at=ends_at, **{**values, **fields})


def make_call(**fields: Any) -> ModelCall:
    values = {
        "team": make_team(),
        "surface": Surface.SCHEDULE,
        "task_class": TaskClass.BACKGROUND_AUTOMATION,
        "status": CallStatus.SUCCEEDED,
        "admitted_at": NOW - 30 * DAY,
    }
    return ModelCall.objects.create(**{**values, **fields})


def test_the_lowest_identifier_of_a_moment_is_above_every_one_before() -> None:
    now = datetime.now(UTC)
    made = new_id()
    assert first_id(now - timedelta(milliseconds=2)) < made < first_id(now + DAY)
    assert first_id(now).version == 7
    assert str(first_id(now)) < str(first_id(now + HOUR))


def test_deliveries_that_ended_long_ago_are_deleted() -> None:
    channel = Channel.objects.create(name="hook")
    for status, age in (("delivered", 31), ("failed", 31), ("pending", 31), ("delivered", 29)):
        Delivery.objects.create(
            channel=channel, event="a", status=status, created_at=NOW - age * DAY
        )
    assert forget_deliveries(NOW - 30 * DAY, goes_on).rows == 2
    assert set(Delivery.objects.values_list("status", flat=True)) == {"pending", "delivered"}


def test_it_goes_on_batch_by_batch_until_it_is_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "MOST_AT_ONCE", 2)
    channel = Channel.objects.create(name="hook")
    for _ in range(5):
        Delivery.objects.create(channel=channel, status="failed", created_at=NOW - 31 * DAY)
    turns = iter((True, True, False))
    begun = forget_deliveries(NOW, lambda: next(turns))
    assert (begun.rows, begun.finished) == (4, False)
    ended = forget_deliveries(NOW, goes_on)
    assert (ended.rows, ended.finished) == (1, True)


def test_resolved_alerts_are_deleted_unless_they_say_what_is_known() -> None:
    window = make_window(make_policy(), NOW + DAY)
    channel = Channel.objects.create(name="hook")
    kept: dict[str, dict[str, Any]] = {
        "open": {"resolved_at": None},
        "late": {"resolved_at": NOW - 179 * DAY},
        "muted": {"muted_until": NOW},
        "known": {"detail": {"known_until_false": True}},
        "window": {"detail": {"window": str(window.pk)}},
        "rolling": {"detail": {"window": "7|"}},
    }
    gone: dict[str, dict[str, Any]] = {"old": {}, "no window": {"detail": {"window": "99999"}}}
    for name, fields in {**kept, **gone}.items():
        values = {"resolved_at": NOW - 181 * DAY, "first_seen_at": NOW, "last_seen_at": NOW}
        alert = Alert.objects.create(key=name, **{**values, **fields})
        Delivery.objects.create(channel=channel, alert=alert)
    assert forget_alerts(NOW - 180 * DAY, goes_on).rows == len(gone)
    assert set(Alert.objects.values_list("key", flat=True)) == set(kept)
    assert Delivery.objects.count() == len(kept) + len(gone)


@pytest.mark.parametrize(
    ("policy", "ended", "fields", "stays"),
    [
        ({"interval": "month"}, 401, {}, False),
        ({"interval": "month"}, 399, {}, True),
        ({"interval": "month"}, 401, {"held": 1}, True),
        ({"interval": "month"}, -1, {}, True),
        ({"interval": "total"}, None, {}, True),
        # A year's buckets count for a year after they end.
        ({"interval": "year", "rolling": True}, 401, {}, True),
        ({"interval": "year", "rolling": True}, 771, {}, False),
        # Short ones are another rule's.
        ({"interval": "minute"}, 401, {}, True),
    ],
)
def test_windows_that_count_no_more_are_deleted(
    policy: dict[str, Any], ended: int | None, fields: dict[str, Any], stays: bool
) -> None:
    ends_at = None if ended is None else NOW - ended * DAY
    make_window(make_policy(**policy), ends_at, **fields)
    assert forget_windows(NOW - 400 * DAY, goes_on, short=False).rows == int(not stays)
    assert BudgetWindow.objects.exists() is stays


def test_a_window_stays_that_a_correction_or_an_approval_is_about() -> None:
    policy = make_policy(interval="day")
    raised, corrected, plain = (make_window(policy, NOW - days * DAY) for days in (403, 402, 401))
    team = make_team()
    Approval.objects.create(team=team, policy=policy, amount=1, reason="x", window=raised)
    hour = (corrected.starts_at).replace(minute=0)
    UsageHour.objects.create(team_id=team.pk, hour=hour, calls=1, unconfirmed=1)
    UsageHour.objects.create(team_id=team.pk, hour=plain.starts_at, calls=1)

    assert forget_windows(NOW - 400 * DAY, goes_on, short=False).rows == 1
    assert set(BudgetWindow.objects.all()) == {raised, corrected}


def test_short_windows_are_deleted_by_their_own_rule() -> None:
    made = {
        interval: make_window(make_policy(name=interval, interval=interval), NOW - 8 * DAY)
        for interval in ("minute", "hour", "day")
    }
    assert forget_windows(NOW - 7 * DAY, goes_on, short=True).rows == 2
    assert set(BudgetWindow.objects.all()) == {made["day"]}


def test_windows_of_old_runs_are_deleted_unless_a_call_of_theirs_is_not_settled() -> None:
    policy = make_policy(interval="run")

    def window(run: UUID, **fields: Any) -> BudgetWindow:
        return make_window(policy, None, scope_value=f"7|{run}", **fields)

    old = [UUID(int=first_id(NOW - 8 * DAY).int + number) for number in range(5)]
    gone = window(old[0])
    make_call(pk=old[0])
    kept = {
        window(first_id(NOW - 6 * DAY)),
        window(uuid4()),  # its time is not known
        window(old[1], held=1),
        window(old[2]),
        window(old[3]),
    }
    make_call(pk=old[2], status=CallStatus.UNCONFIRMED)
    make_call(run_id=old[3], status=CallStatus.WAITING)

    assert forget_run_windows(NOW - 7 * DAY, goes_on).rows == 1
    assert set(BudgetWindow.objects.all()) == kept
    assert gone not in kept
