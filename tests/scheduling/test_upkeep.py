"""What the jobs of upkeep do and say, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection
from pytest_django import Settings

from governance.ledger import apart
from governance.models import CallStatus, ProcessHeartbeat, UsageHour
from providers.adapters.listing import ListedModel
from providers.discovery import record_all
from providers.failures import Failure, FailureClass
from providers.forgetting import Forgotten
from providers.hosts import HostModels
from providers.identifiers import first_id, new_id
from providers.models import ProviderMetric
from providers.registry import entry
from scheduling.maintenance import checks, cleaning, database, errands, retention
from scheduling.maintenance.cleaning import Leftover, register_leftover
from scheduling.maintenance.turn import NotWell, Turn
from scheduling.maintenance.words import counted, named
from scheduling.models import CronJob, CronRun, RunStatus
from tests.api.sides import make_call, make_job
from tests.support.factories import make_model, make_price, make_provider, make_remote, make_team

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def turn(now: datetime = NOW) -> Turn:
    def ask(errand: Any) -> Any:
        raise AssertionError("nobody is to be asked")

    return Turn(now, False, lambda: now, lambda: True, ask)


def test_words() -> None:
    assert [counted(number, "run") for number in (0, 1, 1204)] == ["0 runs", "1 run", "1,204 runs"]
    assert named(["a", "b"]) == "a, b"
    assert named(list("abcdefgh")) == "a, b, c, d, e and 3 more"


@pytest.fixture
def job(db: None) -> CronJob:
    return make_job(make_team())


def make_run(job: CronJob, days: float, **fields: Any) -> CronRun:
    """A run of so many days ago."""
    at = NOW - days * DAY
    values = {"slot": at, "queued_at": at, "finished_at": at, "status": RunStatus.SUCCEEDED}
    return CronRun.objects.create(id=first_id(at), job=job, **{**values, **fields})


def test_old_runs_are_deleted_but_for_the_last_of_each_job(
    job: CronJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "RUNS_KEPT_OF_EACH", 2)
    other = make_job(make_team())
    kept = {
        make_run(other, 200),
        make_run(other, 201),
        make_run(job, 1),
        make_run(job, 89),
        make_run(job, 95, status=RunStatus.WAITING_FOR_APPROVAL),
        make_run(job, 96, status=RunStatus.MISSED, needs_review=True, finished_at=None),
        make_run(job, 97, finished_at=NOW - DAY),
    }
    for days in (91, 92):
        make_run(job, days)
    make_run(job, 93, status=RunStatus.MISSED, finished_at=None)

    assert retention.forget_runs(NOW - 90 * DAY, lambda: True).rows == 3
    assert set(CronRun.objects.all()) == kept


@pytest.mark.django_db
def test_retention_says_what_it_did_and_0_is_for_ever(job: CronJob, settings: Settings) -> None:
    assert retention.forget_what_is_old(turn()) == "Nothing was old enough to be deleted."
    for hours in (91, 92):
        ProviderMetric.objects.create(
            provider=make_provider(name=f"p{hours}"), model="m", hour=NOW - hours * DAY
        )
    settings.PALYRA_RETENTION = {**settings.PALYRA_RETENTION, "metrics": 0}
    retention.forget_what_is_old(turn())
    assert ProviderMetric.objects.count() == 2
    settings.PALYRA_RETENTION = {**settings.PALYRA_RETENTION, "metrics": 90}
    assert retention.forget_what_is_old(turn()) == (
        "Deleted 2 hours of models' metrics older than 90 days."
    )
    stopped = Turn(NOW, False, lambda: NOW, lambda: False, turn().ask)
    assert retention.forget_what_is_old(stopped).endswith("There is more, for the next time.")


@pytest.mark.django_db
def test_sessions_and_leftovers_are_deleted() -> None:
    for key, days in (("a", -1), ("b", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=NOW + days * DAY)
    for days in (6, 8):
        at = NOW - days * DAY
        ProcessHeartbeat.objects.create(
            id=new_id(), role="web", host="h", pid=days, started_at=at, seen_at=at
        )
    assert cleaning.clean(turn()).startswith(
        "Deleted 1 expired session, 1 ended process, 0 records of tasks"
    )
    assert Session.objects.get().session_key == "b"
    assert ProcessHeartbeat.objects.get().pid == 6


@pytest.mark.django_db
def test_what_rooms_above_leave_behind_is_deleted_with_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cleaning, "_registered", {})
    said: list[Any] = []

    def forget(now: datetime, goes_on: Any) -> Forgotten:
        said.append((now, goes_on()))
        return Forgotten(2, finished=len(said) > 1)

    for _ in range(2):
        register_leftover(Leftover(nouns=("crumb", "crumbs"), forget=forget))

    assert cleaning.clean(turn()) == (
        "Deleted 0 expired sessions, 0 ended processes, 0 records of tasks and 2 crumbs. "
        "There is more, for the next time."
    )
    assert cleaning.clean(turn()).endswith(" and 2 crumbs.")
    assert said == [(NOW, True), (NOW, True)]


@pytest.mark.django_db
def test_what_an_ended_process_left_is_settled() -> None:
    made = make_call(
        make_team(),
        status=CallStatus.IN_FLIGHT,
        owner=new_id(),
        expires_at=NOW,
        settled_at=None,
        cost=None,
    )
    assert errands.sweep_holds(turn()) == (
        "Settled 1 abandoned call as unconfirmed; 0 calls are under way."
    )
    made.refresh_from_db()
    assert made.status == CallStatus.UNCONFIRMED
    assert apart.sweep_left_behind(NOW, silence_counts=True).settled == 0


@pytest.mark.django_db
@pytest.mark.parametrize("small_ledger", [0, 100], ids=["large", "small"])
def test_sums_that_differ_are_said(small_ledger: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SMALL_LEDGER", small_ledger)
    team = make_team()
    for latency in (20, 120):
        make_call(team, latency_ms=latency, admitted_at=NOW)
    make_call(team, admitted_at=NOW - 5 * DAY)
    assert checks.check_usage(turn()).endswith("are what the ledger says.")

    UsageHour.objects.filter(hour=NOW).update(calls=3)
    with pytest.raises(NotWell, match=r"^1 of the hours differ from the ledger. Run"):
        checks.check_usage(turn())
    UsageHour.objects.filter(hour=NOW).delete()
    with pytest.raises(NotWell, match="1 of the hours differ"):
        checks.check_usage(turn())


@pytest.mark.django_db
def test_a_comparison_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "sqlite":
        return
    monkeypatch.setattr(checks, "SMALL_LEDGER", 0)
    monkeypatch.setattr(database, "STEPS", 1)
    make_call(make_team(), admitted_at=NOW)
    with pytest.raises(NotWell, match="was given up"):
        checks.check_usage(Turn(NOW, False, lambda: NOW, lambda: False, turn().ask))
    assert checks.check_usage(turn()).endswith("are what the ledger says.")


@pytest.mark.django_db
def test_prices_that_are_old_or_missing_are_said() -> None:
    old, fresh, _none = (make_model(name=name) for name in ("old", "fresh", "none"))
    make_price(old, effective_from=NOW - 120 * DAY)
    make_price(fresh, effective_from=NOW - DAY)
    said = checks.look_at_prices(turn())
    assert f"1 price is older than 90 days: {old.provider}/old (120 days)." in said
    assert "1 model has no price: " in said


@pytest.mark.django_db
def test_discovery_says_what_is_new_and_what_is_gone() -> None:
    provider = make_remote(name="far")
    make_model(provider=provider, name="ours")

    def told(*names: str) -> str:
        listed = HostModels(tuple(ListedModel(id=name) for name in names))
        (found,) = record_all([(entry(provider), listed)], NOW)
        return found.words

    assert told("ours", "a") == ""
    assert told("ours", "b") == "1 new (b); 1 no longer listed (a)."
    assert told("b") == "1 set up here and no longer listed (ours)."
    away = Failure(failure_class=FailureClass.NETWORK_UNAVAILABLE, message="away")
    (found,) = record_all([(entry(provider), away)], NOW)
    assert found.words


@pytest.mark.django_db(transaction=True)
def test_the_database_is_tended() -> None:
    said = database.tend(turn())
    expected = "Statistics are fresh" if connection.vendor == "sqlite" else "Autovacuum keeps up."
    assert expected in said


@pytest.mark.django_db
def test_quick_jobs_with_nothing_to_do_say_so() -> None:
    said = [
        do(turn())
        for do in (
            errands.deliver,
            errands.probe,
            errands.evaluate_alerts,
            errands.sweep_kept_calls,
            errands.recover_runs,
        )
    ]
    assert said == [
        "Nothing was due.",
        "No provider was due.",
        "Nothing new.",
        "Nothing was left lying.",
        "Every run is looked after.",
    ]
