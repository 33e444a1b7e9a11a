"""Reports equal what adding up every call gives, whatever the period, and read hardly any call."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from governance import usage
from governance.ledger.rebuilding import rebuild
from governance.models import CallStatus, ModelCall, Team, UsageHour
from governance.usage import export
from governance.usage.latency import latencies
from governance.usage.names import COLUMNS
from tests.support.ledger_rows import BEGIN, fill_ledger

pytestmark = pytest.mark.django_db
ROWS, DAYS = 3000, 4
COST = 3_923_872_600
MOST_QUERIES = 4
END = BEGIN + timedelta(days=DAYS)
ZONES = ("UTC", "Europe/Prague", "Asia/Kolkata", "America/St_Johns")


@pytest.fixture
def filled() -> Iterator[list[ModelCall]]:
    """Some thousand calls, with those that have ended."""
    fill_ledger(ROWS, days=DAYS)
    yield list(ModelCall.objects.order_by("admitted_at", "id"))


def test_the_same_calls_are_made_every_time_and_everywhere(filled: list[ModelCall]) -> None:
    assert Counter(call.status for call in filled) == {
        CallStatus.SUCCEEDED: 2835,
        CallStatus.FAILED: 73,
        CallStatus.CANCELLED: 28,
        CallStatus.BLOCKED: 48,
        CallStatus.UNCONFIRMED: 16,
    }
    assert sum(call.cost or 0 for call in filled) == COST
    assert len({call.model for call in filled}) == 6
    assert rebuild(mend=False).equal


def brute(calls: list[ModelCall], *names: str) -> dict[Any, tuple[int, ...]]:
    """Calls, cost and output of every group that has the same `names`."""
    found: dict[Any, list[int]] = defaultdict(lambda: [0, 0, 0])
    for call in calls:
        row = found[tuple(getattr(call, name) for name in names)]
        row[0] += 1
        row[1] += call.cost or 0
        row[2] += call.output_tokens or 0
    return {key: tuple(row) for key, row in found.items()}


def shown(totals: usage.Totals) -> tuple[int, ...]:
    return totals.calls, totals.cost, totals.output_tokens


MOMENTS = st.integers(-3600, DAYS * 86400 + 3600).map(lambda n: BEGIN + timedelta(seconds=n))
EDGES = st.integers(-1, DAYS * 24 + 1).map(lambda n: BEGIN + timedelta(hours=n))
PERIODS = st.tuples(st.one_of(MOMENTS, EDGES), st.one_of(MOMENTS, EDGES)).filter(
    lambda pair: pair[0] < pair[1]
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(period=PERIODS)
def test_a_summary_and_breakdowns_are_the_sums_of_their_calls(
    filled: list[ModelCall], period: tuple[datetime, datetime]
) -> None:
    since, until = period
    within = [call for call in filled if since <= call.admitted_at < until]
    expected = brute(within).get((), (0, 0, 0))
    assert shown(usage.summary(since=since, until=until)) == expected

    for by, names in (
        ("team", ("team_id",)),
        ("model", ("provider", "model")),
        ("person", ("user_id",)),
        ("job", ("job_id",)),
        ("routing_mode", ("routing_mode",)),
    ):
        found = usage.breakdown(by=by, since=since, until=until, most=100)
        assert sorted(shown(part.totals) for part in found.parts) == sorted(
            brute(within, *names).values()
        )
        assert shown(found.whole) == expected


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(period=PERIODS, zone=st.sampled_from(ZONES), step=st.sampled_from(("hour", "day", "week")))
def test_a_series_is_the_sum_of_each_steps_calls(
    filled: list[ModelCall], period: tuple[datetime, datetime], zone: str, step: str
) -> None:
    since, until = period
    steps = usage.series(step=step, since=since, until=until, zone=ZoneInfo(zone))
    for one in steps:
        within = [call for call in filled if one.since <= call.admitted_at < one.until]
        assert shown(one.totals) == brute(within)[()]
    within = [call for call in filled if since <= call.admitted_at < until]
    assert sum(one.totals.calls for one in steps) == len(within)


def test_days_by_zone_and_team_are_the_sums_of_their_calls(filled: list[ModelCall]) -> None:
    names = dict(Team.objects.values_list("pk", "name"))
    for zone in ZONES:
        expected = Counter(
            (call.admitted_at.astimezone(ZoneInfo(zone)).date(), names[call.team_id])
            for call in filled
        )
        found = usage.by_day(since=BEGIN, until=END, zone=zone)
        assert {(one.day, one.team): one.calls for one in found} == expected


def test_a_long_tail_is_put_together(filled: list[ModelCall]) -> None:
    period: dict[str, Any] = {"since": BEGIN, "until": END, "zone": ZoneInfo("UTC")}
    steps = usage.series(step="day", by="key", most=3, **period)
    labels = {one.named.label for one in steps if one.named}
    assert "(all the rest)" in labels
    assert len(labels) == 4
    assert sum(one.totals.cost for one in steps) == COST
    found = usage.breakdown(by="key", since=BEGIN, until=END, most=3)
    assert len(found.parts) == 3
    assert found.rest.cost + sum(part.totals.cost for part in found.parts) == COST


def test_a_team_has_only_its_own(filled: list[ModelCall]) -> None:
    cut = timedelta(minutes=7)
    for team in Team.objects.all():
        period: dict[str, Any] = {"since": BEGIN + cut, "until": END - cut, "team": team}
        own = [
            call
            for call in filled
            if call.team_id == team.pk and period["since"] <= call.admitted_at < period["until"]
        ]
        found = usage.breakdown(by="team", **period)
        assert [(part.named.value, shown(part.totals)) for part in found.parts] == [
            (team.slug, brute(own)[()])
        ]
        times = latencies(by="team", **period)
        assert {one.named.value for one in times} <= {team.slug}
        assert {one.team.value for one in usage.savings(**period)} == {team.slug}


def test_savings_are_the_differences_of_the_calls(filled: list[ModelCall]) -> None:
    for one in usage.savings(since=BEGIN, until=END):
        calls = [
            (call.cost, call.compared_cost)
            for call in filled
            if call.team.slug == one.team.value and None not in (call.cost, call.compared_cost)
        ]
        expected = sum(cost - compared for cost, compared in calls if cost and compared)
        assert one.would_have_saved - one.saved == expected


def test_times_are_counted_once(filled: list[ModelCall]) -> None:
    found = latencies(by="model", since=BEGIN, until=END)
    answered = sum(call.status == CallStatus.SUCCEEDED for call in filled)
    failed = [call.failure_class for call in filled if call.status == CallStatus.FAILED]
    assert sum(one.answered for one in found) == answered
    assert sum((Counter(one.errors) for one in found), Counter()) == Counter(failed)


def broken_down(by: str, since: datetime, until: datetime) -> Any:
    return usage.breakdown(by=by, since=since, until=until)


REPORTS: dict[str, Callable[[datetime, datetime], Any]] = {
    "summary": lambda since, until: usage.summary(since=since, until=until),
    **{f"by {by}": partial(broken_down, by) for by in COLUMNS},
    "series": lambda since, until: usage.series(
        step="day", since=since, until=until, zone=ZoneInfo("Asia/Kolkata"), by="model"
    ),
    "savings": lambda since, until: usage.savings(since=since, until=until),
    "latency": lambda since, until: latencies(by="model", since=since, until=until),
}


def queries(report: Callable[[datetime, datetime], Any], since: datetime, until: datetime) -> Any:
    with CaptureQueriesContext(connection) as captured:
        report(since, until)
    return [query["sql"] for query in captured]


@pytest.mark.parametrize("rows", [50, 1000])
@pytest.mark.parametrize("name", REPORTS)
def test_a_report_takes_few_queries_whatever_the_rows(name: str, rows: int) -> None:
    fill_ledger(rows, days=DAYS)
    cut = timedelta(minutes=7)
    assert len(queries(REPORTS[name], BEGIN + cut, END - cut)) <= MOST_QUERIES


@pytest.mark.parametrize("name", sorted(set(REPORTS) - {"summary", "series"}))
def test_a_report_of_whole_hours_reads_no_call(name: str) -> None:
    fill_ledger(50, days=DAYS)
    said = queries(REPORTS[name], BEGIN + timedelta(hours=1), END - timedelta(hours=1))
    assert not [sql for sql in said if "governance_modelcall" in sql]


def test_whole_days_are_read_from_days(filled: list[ModelCall]) -> None:
    (said, _) = queries(REPORTS["by team"], BEGIN, END)
    assert "governance_usageday" in said
    UsageHour.objects.update(cost=0)
    assert usage.summary(since=BEGIN, until=END).cost == COST


@pytest.mark.parametrize("lines", [export.csv_lines, export.json_lines])
def test_an_export_is_of_every_call_in_order(filled: list[ModelCall], lines: Any) -> None:
    text = b"".join(lines(since=BEGIN, until=END, where={})).decode()
    rows: list[dict[str, Any]] = (
        list(csv.DictReader(io.StringIO(text, newline="")))
        if lines is export.csv_lines
        else [json.loads(line) for line in text.splitlines()]
    )
    assert [row["id"] for row in rows] == [str(call.pk) for call in filled]
    cost = sum(int(row["cost"].replace(".", "")) for row in rows if row["cost"])
    assert cost == ModelCall.objects.aggregate(cost=Sum("cost"))["cost"]


@pytest.mark.parametrize("lines", [export.csv_lines, export.json_lines])
def test_an_export_takes_no_more_memory_for_more_calls(lines: Any) -> None:
    fill_ledger(6000, days=DAYS)

    def most(until: datetime) -> tuple[int, int]:
        tracemalloc.start()
        try:
            written = sum(len(chunk) for chunk in lines(since=BEGIN, until=until, where={}))
            return written, tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most(END)
    little, peak_of_little = most(BEGIN + timedelta(days=1))
    much, peak_of_much = most(END)
    assert much > 3.5 * little
    assert peak_of_much < 1.2 * peak_of_little + 2**20


def test_an_export_has_what_is_asked_for(filled: list[ModelCall]) -> None:
    team = Team.objects.order_by("pk")[1]
    where = {"team_id": team.pk, "api_key_id": 0, "routing_mode": filled[0].routing_mode}
    chunks = export.json_lines(since=BEGIN, until=END, where=where)
    found = {json.loads(line)["id"] for line in b"".join(chunks).splitlines()}
    assert found == {
        str(call.pk)
        for call in filled
        if call.team_id == team.pk
        and call.api_key_id is None
        and call.routing_mode == filled[0].routing_mode
    }


def test_calls_after_now_are_none(filled: list[ModelCall]) -> None:
    assert (
        shown(usage.summary(since=BEGIN, until=datetime(9999, 12, 31, tzinfo=UTC)))
        == brute(filled)[()]
    )
