"""A cube is what a series says, read from far fewer sums."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from governance import usage
from governance.models import Team
from governance.usage import local_days
from governance.usage.adding import add_up
from governance.usage.cube import Cube, cube
from governance.usage.latency import latencies, quantile
from tests.support.ledger_rows import BEGIN, fill_ledger

pytestmark = pytest.mark.django_db
ROWS, DAYS = 2500, 6
END = BEGIN + timedelta(days=DAYS)
MOST_QUERIES = 6
ZONES = (
    "UTC",
    "Europe/Prague",
    "America/Los_Angeles",
    "Pacific/Auckland",
    "Pacific/Kiritimati",
    "Asia/Kolkata",
    "America/St_Johns",
)


@pytest.fixture
def filled() -> Iterator[None]:
    fill_ledger(ROWS, days=DAYS)
    yield


def _by_series(**asked: Any) -> dict[tuple[datetime, str], usage.Totals]:
    found = usage.series(most=1000, **asked)
    return {(one.since, one.named.label if one.named else ""): one.totals for one in found}


def _by_cube(found: Cube) -> dict[tuple[datetime, str], usage.Totals]:
    from governance.usage.names import named  # noqa: PLC0415

    names = named(found.by, list(found.of_keys))
    return {
        (found.bounds[step], names[key].label): totals
        for (step, key), totals in found.cells.items()
    }


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("by", ["team", "model"])
def test_a_cube_equals_the_series(filled: None, zone: str, by: str) -> None:
    where = ZoneInfo(zone)
    for step in ("day", "week", "month"):
        for cut in (timedelta(0), timedelta(minutes=17), timedelta(hours=13)):
            asked: dict[str, Any] = {
                "by": by,
                "step": step,
                "since": (BEGIN - timedelta(days=1)).astimezone(where) + cut,
                "until": (END + timedelta(days=1)).astimezone(where) - cut,
                "zone": where,
            }
            with CaptureQueriesContext(connection) as queries:
                found = cube(where={}, **asked)
            assert len(queries) <= MOST_QUERIES
            assert _by_cube(found) == _by_series(**asked), (step, cut)


def test_a_cube_ends_now(filled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the time of day: none of the calls made so far is left out or counted twice."""
    zone = ZoneInfo("America/Los_Angeles")
    whole = ROWS
    for hours in range(0, 48, 5):
        now = END + timedelta(hours=hours, minutes=3)
        monkeypatch.setattr("governance.usage.cube.timezone.now", lambda now=now: now)
        found = cube(
            by="team",
            step="day",
            since=datetime(2025, 12, 30, tzinfo=zone),
            until=(now.astimezone(zone) + timedelta(days=1)).replace(hour=0, minute=0),
            zone=zone,
            where={},
        )
        assert found.whole.calls == whole
        assert sum(one.calls for one in found.of_steps.values()) == whole


def test_a_cube_is_narrowed_and_ordered(filled: None) -> None:
    team = Team.objects.order_by("pk")[1]
    found = cube(
        by="model",
        step="day",
        since=BEGIN,
        until=END,
        zone=UTC,
        where={"team_id": team.pk, "provider": "provider-1"},
    )

    wanted = usage.totals(since=BEGIN, until=END, team=team, where={"provider": "provider-1"})
    assert found.whole == wanted
    assert {key[0] for key in found.of_keys} == {"provider-1"}
    costs = [totals.cost for totals in found.of_keys.values()]
    assert costs == sorted(costs, reverse=True)


def test_without_calls_a_cube_is_empty() -> None:
    found = cube(
        by="team", step="day", since=BEGIN, until=END, zone=ZoneInfo("Asia/Tokyo"), where={}
    )

    assert len(found.steps) == DAYS + 1
    assert found.whole == usage.Totals()
    assert not found.of_keys


def test_a_quantile_of_all_is_that_of_their_histograms(filled: None) -> None:
    period: dict[str, Any] = {"since": BEGIN, "until": END}
    team = Team.objects.order_by("pk")[0]

    of_team = latencies(by="team", team=team, **period)[0].quantiles["p95"]

    assert quantile(0.95, team=team, **period) == of_team
    every = quantile(0.95, **period)
    assert every is not None
    assert (quantile(0.5, **period) or 0) < every
    assert quantile(0.95, since=END + timedelta(days=2), until=END + timedelta(days=3)) is None


def test_hours_between_are_few(filled: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The point of it: not every hour of the period is read."""
    read: list[Any] = []
    monkeypatch.setattr(
        local_days,
        "add_up",
        lambda frame, **wanted: read.append(frame) or add_up(frame, **wanted),  # type: ignore[func-returns-value]
    )
    zone = ZoneInfo("Europe/Prague")
    since, until = (datetime(2026, 1, day, tzinfo=zone) for day in (1, 7))

    cube(by="team", step="day", since=since, until=until, zone=zone, where={})

    hours = sum(
        (until - since) / timedelta(hours=1) for frame in read for since, until in frame.hours
    )
    # Of 144; the last of the days has no midnight of UTC behind it.
    assert hours < 30
