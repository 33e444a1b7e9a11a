"""What is told of runs that have ended, to whom, and that a run ends all the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import ANY

import pytest
from django.conf import settings
from django.db import connection
from django.urls import reverse

from governance.models import Channel, Delivery, Team
from scheduling import deliveries
from scheduling.deliveries import (
    LONGEST_OUTPUT,
    MOST_WISHES,
    channels_for,
    delivery_faults,
    is_met,
    tell,
)
from scheduling.models import CronJob, CronRun, DeliverOn, RunDelivery, RunStatus
from tests.scheduling.conftest import MakeJob
from tests.support.factories import make_team

NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("on", "status", "changed", "met"),
    [
        ("success", "succeeded", False, True),
        ("success", "failed", False, False),
        ("change", "succeeded", True, True),
        ("change", "succeeded", False, False),
        ("change", "failed", True, False),
        *(("failure", one, True, True) for one in ("failed", "denied", "unconfirmed")),
        ("failure", "blocked_by_budget", True, True),
        *(("failure", one, True, False) for one in ("succeeded", "cancelled", "skipped")),
        *(("always", one, False, True) for one in ("succeeded", "failed", "cancelled", "denied")),
        *(("always", one, False, False) for one in ("skipped", "missed", "running", "queued")),
    ],
)
def test_a_wish_is_met_or_not(on: str, status: str, changed: bool, met: bool) -> None:
    assert is_met(on, status, changed=changed) is met


def make_channel(**fields: Any) -> Channel:
    defaults = {"name": f"hook {Channel.objects.count()}", "url": "https://hooks.example.com"}
    return Channel.objects.create(**{**defaults, **fields})


def make_run(job: CronJob, **fields: Any) -> CronRun:
    ended = {"status": RunStatus.SUCCEEDED, "output": "Well.", "model": "far/small"}
    times = {"queued_at": NOON, "started_at": NOON, "finished_at": NOON + 3 * SECOND}
    used = {"input_tokens": 1200, "output_tokens": 34, "cost": 13_000}
    run: CronRun = CronRun.objects.create(
        job=job, slot=NOON, **{**ended, **times, **used, **fields}
    )
    return run


@pytest.mark.django_db
def test_a_run_is_told_of_in_full(make_job: MakeJob, team: Team) -> None:
    job = make_job(name="Report", zone="Europe/Prague")
    channel = make_channel(team=team)
    for on in DeliverOn.values:
        RunDelivery.objects.create(job=job, channel=channel, on=on)
    run = make_run(job)
    tell(run, previous_output=None, now=NOON + 4 * SECOND)

    delivery = Delivery.objects.get()
    assert (delivery.channel, delivery.event) == (channel, "run.succeeded")
    assert (delivery.team, delivery.run_id, delivery.status) == (team, run.pk, "pending")
    assert delivery.body == {
        "type": "run.succeeded",
        "timestamp": "2026-03-10T12:00:04+00:00",
        "data": {
            "id": str(run.pk),
            "title": "Report: succeeded",
            "explanation": "It was due on 10 Mar 2026, 13:00 CET. "
            "far/small, 3.0 s, 1,234 tokens, $0.000013",
            "severity": "info",
            "job": {"id": str(job.pk), "name": "Report"},
            "team": "demo",
            "trigger": "schedule",
            "scheduled_at": "2026-03-10T12:00:00+00:00",
            "started_at": "2026-03-10T12:00:00+00:00",
            "finished_at": "2026-03-10T12:00:03+00:00",
            "status": "succeeded",
            "reason": "",
            "model": "far/small",
            "input_tokens": 1200,
            "output_tokens": 34,
            "cost": "0.000013000",
            "changed": True,
            "output": "Well.",
            "output_cut": False,
            "url": ANY,
        },
    }
    page = reverse("team:schedule-run-page", args=["demo", job.pk, run.pk])
    assert delivery.body["data"]["url"] == f"{settings.PALYRA_PUBLIC_URL}{page}"


@pytest.mark.django_db
def test_of_a_failure_what_is_known_is_said(make_job: MakeJob) -> None:
    job = make_job()
    RunDelivery.objects.create(job=job, channel=make_channel(), on=DeliverOn.FAILURE)
    nothing = dict.fromkeys(("started_at", "input_tokens", "cost"))
    run = make_run(
        job, status="blocked_by_budget", reason="No money.", output="", model="", **nothing
    )
    tell(run, previous_output="Well.", now=NOON)
    delivery = Delivery.objects.get()
    data = delivery.body["data"]
    assert delivery.event == "run.blocked_by_budget"
    assert data["explanation"] == "No money. It was due on 10 Mar 2026, 12:00 UTC."
    assert (data["cost"], data["changed"], data["severity"]) == (None, None, "warning")


@pytest.mark.django_db
@pytest.mark.parametrize(("previous", "told"), [("Well.", 0), ("Badly.", 1), ("", 1), (None, 1)])
def test_a_change_is_of_the_output(make_job: MakeJob, previous: str | None, told: int) -> None:
    job = make_job()
    RunDelivery.objects.create(job=job, channel=make_channel(), on=DeliverOn.CHANGE)
    tell(make_run(job), previous_output=previous, now=NOON)
    assert Delivery.objects.count() == told


@pytest.mark.django_db
def test_a_long_output_is_cut_and_said_to_be(make_job: MakeJob) -> None:
    job = make_job()
    RunDelivery.objects.create(job=job, channel=make_channel(), on=DeliverOn.SUCCESS)
    tell(make_run(job, output="x" * (LONGEST_OUTPUT + 1)), previous_output=None, now=NOON)
    data = Delivery.objects.get().body["data"]
    assert (len(data["output"]), data["output_cut"]) == (LONGEST_OUTPUT, True)


@pytest.mark.django_db
def test_channels_that_cannot_be_used_are_passed_over(make_job: MakeJob, team: Team) -> None:
    job = make_job()
    mine = make_channel(team=team)
    others = make_channel(team=make_team()), make_channel(enabled=False)
    for channel in (mine, *others, make_channel(purpose="alerts")):
        RunDelivery.objects.create(job=job, channel=channel, on=DeliverOn.ALWAYS)
    tell(make_run(job), previous_output=None, now=NOON)
    assert [one.channel for one in Delivery.objects.all()] == [mine]


@pytest.mark.django_db
def test_a_run_ends_whatever_becomes_of_telling(
    make_job: MakeJob, caplog: pytest.LogCaptureFixture
) -> None:
    job = make_job()
    RunDelivery.objects.create(job=job, channel=make_channel(), on=DeliverOn.ALWAYS)
    run = make_run(job)
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE governance_delivery RENAME TO elsewhere")
        tell(run, previous_output=None, now=NOON)
        cursor.execute("ALTER TABLE elsewhere RENAME TO governance_delivery")
    assert f"Run {run.pk} has ended" in caplog.text
    # The transaction in which it ends goes on.
    CronRun.objects.filter(pk=run.pk).update(reason="Ended.")
    assert not Delivery.objects.exists()


# Where one transaction writes at a time, nothing is deleted meanwhile.
if connection.vendor == "postgresql":

    @pytest.mark.django_db
    def test_a_channel_deleted_meanwhile_does_not_fail_the_run(
        make_job: MakeJob, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        job = make_job()
        wish = RunDelivery.objects.create(job=job, channel=make_channel(), on=DeliverOn.ALWAYS)
        wishes = list(deliveries._wishes(make_run(job, trigger="manual")))
        wish.channel.delete()
        monkeypatch.setattr(deliveries, "_wishes", lambda _: wishes)
        tell(make_run(job), previous_output=None, now=NOON)
        assert "could not be told of" in caplog.text
        connection.check_constraints()


@pytest.mark.django_db
def test_a_team_may_use_its_own_channels_and_everyones(team: Team) -> None:
    own, everyones = make_channel(team=team), make_channel()
    foreign = make_channel(team=make_team(), name="The other team's")
    alerts = make_channel(team=team, purpose="alerts")
    assert set(channels_for(team)) == {own, everyones}
    assert delivery_faults(team, [(own, "change"), (own, "failure"), (everyones, "always")]) == []
    found = delivery_faults(team, [(foreign, "never"), (own, "change"), (own, "change")])
    assert delivery_faults(team, [(alerts, "always")])
    assert [one.split(".")[0] for one in found] == [
        f"Channel {foreign.pk} is not one that the team may use",
        "Give one of success, failure, change, always, not 'never'",
        "Give each channel once for the same runs",
    ]
    assert "at most" in delivery_faults(team, [(own, "change")] * (MOST_WISHES + 1))[0]
