"""What was used: sums over the ledger's rows, of one team or of all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from governance import usage
from governance.models import CallStatus, ModelCall, Team
from governance.usage import DayUsage, UsageSummary
from providers.identifiers import new_id
from tests.support.factories import make_team
from tests.support.ledger_rows import add_up

MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
DOLLAR = 10**9

pytestmark = pytest.mark.django_db


@pytest.fixture
def blue() -> Team:
    return make_team(slug="blue", name="Blue")


@pytest.fixture
def red() -> Team:
    return make_team(slug="red", name="Red")


def call(team: Team, status: CallStatus = CallStatus.SUCCEEDED, **fields: Any) -> ModelCall:
    in_flight = {"owner": new_id(), "expires_at": NOON + timedelta(minutes=2)}
    settled = {"settled_at": NOON}
    used = {
        "uncached_input_tokens": 1,
        "cache_read_tokens": 20,
        "cache_write_5m_tokens": 300,
        "cache_write_1h_tokens": 4000,
        "output_tokens": 50_000,
        "cost": DOLLAR,
    }
    row = {
        "surface": "openai",
        "task_class": "primary_interactive",
        "requested_model": "nice",
        "provider": "here",
        "model": "nice",
        "admitted_at": NOON,
        **(in_flight if status == CallStatus.IN_FLIGHT else settled),
        **({} if status in {CallStatus.IN_FLIGHT, CallStatus.BLOCKED} else used),
        **fields,
    }
    made = ModelCall.objects.create(team=team, status=status, **row)
    add_up([made])
    return made


def summary(team: Team | None = None) -> UsageSummary:
    return usage.summary(since=MARCH, until=APRIL, team=team)


def test_nothing_was_used() -> None:
    assert summary() == UsageSummary()


def test_every_call_counts_in_its_state(blue: Team) -> None:
    for times, status in enumerate(CallStatus, start=1):
        for _ in range(times):
            call(blue, status)
    counts = {status.value: times for times, status in enumerate(CallStatus, start=1)}
    found = summary()
    # One that waits for an approval has not begun.
    assert found.calls == sum(counts.values()) - counts["waiting"]
    assert (found.succeeded, found.failed) == (counts["succeeded"], counts["failed"])
    assert (found.blocked, found.in_flight) == (counts["blocked"], counts["in_flight"])
    assert (found.unconfirmed, found.denied) == (counts["unconfirmed"], counts["denied"])
    assert found.cancelled == counts["cancelled"]
    charged = found.calls - found.blocked - found.in_flight
    assert found.cost == charged * DOLLAR
    assert (found.input_tokens, found.output_tokens) == (4321 * charged, 50_000 * charged)
    assert found.unpriced == 0


def test_kept_answers_are_counted(blue: Team) -> None:
    call(blue)
    call(blue, cached=True, cost=0)
    found = summary()
    assert (found.calls, found.succeeded, found.cached) == (2, 2, 1)
    assert found.cost == DOLLAR


def test_sums_are_whole_numbers_however_large(blue: Team) -> None:
    most = 2**28
    for _ in range(3):
        call(
            blue,
            uncached_input_tokens=most,
            cache_read_tokens=most,
            output_tokens=most,
            cost=2 * 10**18,
        )
    found = summary()
    assert found.cost == 6 * 10**18
    assert found.output_tokens == 3 * most
    assert found.input_tokens == 3 * (2 * most + 4300)
    for amount in (found.cost, found.input_tokens, found.output_tokens, found.calls):
        assert type(amount) is int


def test_what_has_no_price_is_counted_beside_the_sum(blue: Team) -> None:
    call(blue, cost=None)
    call(blue)
    found = summary()
    assert (found.unpriced, found.cost, found.calls) == (1, DOLLAR, 2)


def test_tokens_nobody_reported_are_not_a_fault(blue: Team) -> None:
    call(blue, uncached_input_tokens=None, output_tokens=None)
    found = summary()
    assert (found.input_tokens, found.output_tokens) == (4320, 0)


def test_a_team_has_only_its_own(blue: Team, red: Team) -> None:
    call(blue)
    call(red, cost=7 * DOLLAR)
    call(red)
    assert (summary(blue).calls, summary(blue).cost) == (1, DOLLAR)
    assert (summary(red).calls, summary(red).cost) == (2, 8 * DOLLAR)
    assert (summary().calls, summary().cost) == (3, 9 * DOLLAR)


def test_a_period_has_its_beginning_and_not_its_end(blue: Team) -> None:
    moment = timedelta(microseconds=1)
    for at in (MARCH - moment, MARCH, APRIL - moment, APRIL):
        call(blue, admitted_at=at)
    assert summary().calls == 2


def test_days_are_those_of_the_zone(blue: Team, red: Team) -> None:
    late = datetime(2026, 3, 14, 23, 30, tzinfo=UTC)
    call(blue, admitted_at=late, cost=1)
    call(blue, cost=20)
    call(blue, cost=None)
    call(red, cost=300)

    in_utc = usage.by_day(since=MARCH, until=APRIL)
    assert in_utc == [
        DayUsage(day=date(2026, 3, 14), team="Blue", calls=1, cost=1),
        DayUsage(day=date(2026, 3, 15), team="Blue", calls=2, cost=20),
        DayUsage(day=date(2026, 3, 15), team="Red", calls=1, cost=300),
    ]
    assert all(type(day.cost) is int for day in in_utc)
    assert usage.by_day(since=MARCH, until=APRIL, zone="Europe/Prague", team=blue) == [
        DayUsage(day=date(2026, 3, 15), team="Blue", calls=3, cost=21)
    ]


def test_a_day_with_a_change_of_clocks_is_one_day(blue: Team) -> None:
    for hour in range(26):
        call(blue, admitted_at=datetime(2026, 10, 24, 22, tzinfo=UTC) + timedelta(hours=hour))
    days = usage.by_day(
        since=datetime(2026, 10, 1, tzinfo=UTC),
        until=datetime(2026, 11, 1, tzinfo=UTC),
        zone="Europe/Prague",
    )
    assert [(day.day, day.calls) for day in days] == [
        (date(2026, 10, 25), 25),
        (date(2026, 10, 26), 1),
    ]


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(ValueError, match="Nowhere"):
        usage.by_day(since=MARCH, until=APRIL, zone="Nowhere")


def test_an_answer_takes_few_queries(
    blue: Team, red: Team, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for team in (blue, red, blue):
        call(team)
    # The days, and what is under way; with the names of the teams.
    with django_assert_num_queries(2):
        assert summary().calls == 3
    with django_assert_num_queries(2):
        assert len(usage.by_day(since=MARCH, until=APRIL)) == 2
