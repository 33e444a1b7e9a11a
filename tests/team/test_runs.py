"""Runs on the team pages: shown in full, cancelled, tried, and missed times decided on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from governance.alerts.deliveries import NO_SERVER, new_delivery
from governance.models import Approval, Channel
from providers.identifiers import new_id
from scheduling import handling, jobs
from scheduling.models import CronJob, CronRun, RunStatus
from tests.support.factories import make_policy
from tests.team.rows import make_run


def _page(run: CronRun, page: str = "schedule-run-page") -> str:
    return reverse(f"team:{page}", args=["blue", run.job_id, run.pk])


def _of(job: CronJob, page: str) -> str:
    return reverse(f"team:{page}", args=["blue", job.pk])


@pytest.fixture
def missed(job: CronJob, now: datetime) -> list[CronRun]:
    return [
        make_run(
            job,
            slot=now - timedelta(days=ago),
            status=RunStatus.MISSED,
            needs_review=True,
            started_at=None,
            output="",
        )
        for ago in (1, 2, 3)
    ]


def test_a_runs_page_tells_its_story(
    member: Client, job: CronJob, now: datetime, django_assert_max_num_queries: Any
) -> None:
    began = now - timedelta(minutes=5)
    run = make_run(
        job,
        slot=began - timedelta(seconds=30),
        due_at=began - timedelta(seconds=10),
        started_at=began,
        finished_at=began + timedelta(seconds=90),
        slow=True,
        attempt=2,
        deferrals=3,
        explanation="The cheapest that fits.",
        asked="Sort the refunds.",
        parameters={"queue": "refunds"},
        attempts=[
            {
                "number": 1,
                "started_at": began.isoformat(),
                "finished_at": None,
                "status": "failed",
                "reason": "The provider answered 503.",
                "failure_class": "overloaded",
                "model": "small",
                "cost": 5_000_000,
                "call_id": None,
            }
        ],
    )
    channel = Channel.objects.create(name="Ops", kind="email", recipients=["o@example.com"])
    body = {"data": {"title": "Digest: succeeded"}}
    new_delivery(channel, "run.succeeded", body, now, team_id=job.team_id, run_id=run.pk).save()
    with django_assert_max_num_queries(10):
        page = member.get(_page(run)).content.decode()
    for words in (
        "30 s",
        "1 min 30 s",
        "Slower than expected",
        "put off 3 times",
        "The cheapest that fits.",
        "Sort the refunds.",
        "&quot;queue&quot;: &quot;refunds&quot;",
        "The provider answered 503.",
        "$0.005",
        "Ops",
        "Pending",
    ):
        assert words in page, words
    assert "Cancel" not in page


def test_what_tells_of_a_run_says_why_it_was_not_taken_and_is_sent_again(
    member: Client, job: CronJob, now: datetime
) -> None:
    run, other = make_run(job), make_run(job, slot=now - timedelta(hours=9))
    channel = Channel.objects.create(name="Ops", kind="webhook", url="https://secret.example.com")
    body = {"data": {"title": "Digest: failed"}}
    told = new_delivery(channel, "run.failed", body, now, team_id=job.team_id, run_id=run.pk)
    tried = {"at": now.isoformat(), "status": None, "milliseconds": 5, "fault": ""}
    told.tries, told.log = 1, [{**tried, "fault": "secret.example.com is away."}]
    told.save()

    shown = member.get(_page(run)).content.decode()
    assert "It could not be reached. It is tried again by itself." in shown
    assert "secret.example.com" not in shown
    assert "Send again" not in shown

    Channel.objects.update(enabled=False)
    assert "tried again once that is enabled" in member.get(_page(run)).content.decode()
    Channel.objects.update(enabled=True)
    told.log = [{**tried, "fault": NO_SERVER}]
    told.save()
    assert "No mail server is set up" in member.get(_page(run)).content.decode()

    told.tries, told.status, told.log = 7, "failed", [{**tried, "status": 500}]
    told.save()
    shown = member.get(_page(run)).content.decode()
    assert "It answered 500. It was given up after 7 tries." in shown
    assert "Send again" in shown

    again = "schedule-run-tell-again"
    where = reverse(f"team:{again}", args=["blue", job.pk, other.pk, told.pk])
    assert member.post(where).status_code == 404
    where = reverse(f"team:{again}", args=["blue", job.pk, run.pk, told.pk])
    done = member.post(where, follow=True).content.decode()
    assert "It is on its way to “Ops” again." in done
    told.refresh_from_db()
    assert (told.status, told.tries) == ("pending", 0)
    assert "on its way already" in member.post(where, follow=True).content.decode()


def test_a_run_that_ended_is_run_again_with_its_parameters(member: Client, job: CronJob) -> None:
    run = make_run(job, status=RunStatus.FAILED, parameters={"queue": "refunds"})
    again = _page(run, "schedule-run-again")
    assert again in member.get(_page(run)).content.decode()

    shown = member.post(again, follow=True)
    queued = CronRun.objects.get(trigger="manual")
    assert queued.parameters == {"queue": "refunds"}
    assert shown.redirect_chain[-1][0] == _page(queued)
    assert "It is queued to run now." in shown.content.decode()

    # One that has not ended is not run beside itself, and one in review is for who decides.
    assert "again/" not in member.get(_page(queued)).content.decode()
    said = member.post(_page(queued, "schedule-run-again"), follow=True).content.decode()
    assert "It has not ended yet." in said
    CronRun.objects.filter(pk=run.pk).update(status=RunStatus.MISSED, needs_review=True)
    assert "again/" not in member.get(_page(run)).content.decode()
    assert CronRun.objects.count() == 2


def test_a_run_that_waits_leads_to_its_requests(
    member: Client, job: CronJob, now: datetime
) -> None:
    call_id = new_id()
    run = make_run(job, status=RunStatus.WAITING_FOR_APPROVAL, call_id=call_id, finished_at=None)
    policy = make_policy(name="Blue monthly", team=job.team)
    Approval.objects.create(
        team=job.team,
        policy=policy,
        amount=1,
        until="call",
        call_id=call_id,
        reason="A run of “Digest”.",
        requested_at=now,
    )
    page = member.get(_page(run)).content.decode()
    assert "“Blue monthly”" in page
    assert reverse("team:requests", args=["blue"]) in page


def test_a_queued_run_is_cancelled_with_a_reason(
    member: Client, job: CronJob, now: datetime
) -> None:
    run = handling.run_now(job, now=now)
    assert _page(run, "schedule-run-cancel") in member.get(_of(job, "schedule")).content.decode()
    asked = member.get(_page(run, "schedule-run-cancel")).content.decode()
    assert "It does not begin, and nothing is spent." in asked
    member.post(_page(run, "schedule-run-cancel"), {"reason": "A slip."})
    run.refresh_from_db()
    assert (run.status, run.reason) == (RunStatus.CANCELLED, "A slip.")
    again = member.post(_page(run, "schedule-run-cancel"), follow=True)
    assert "It has ended already." in again.content.decode()


@pytest.mark.usefixtures("missed")
@pytest.mark.parametrize(
    ("decision", "queued", "said"),
    [
        ("skip", 0, "The missed times are left out."),
        ("run_once", 1, "One run makes up for the missed times"),
        ("replay_all", 3, "3 runs are queued"),
    ],
)
def test_missed_times_are_decided_on(
    member: Client, job: CronJob, decision: str, queued: int, said: str
) -> None:
    listed = member.get(reverse("team:schedules", args=["blue"])).content.decode()
    assert "3 missed times to review" in listed
    assert "3 missed times to review" in member.get(_of(job, "schedule")).content.decode()
    response = member.post(_of(job, "schedule-review"), {"decision": decision}, follow=True)
    page = response.content.decode()
    assert said in page
    assert "missed times to review" not in page
    assert CronRun.objects.filter(status=RunStatus.QUEUED).count() == queued
    assert not CronRun.objects.filter(needs_review=True).exists()


@pytest.mark.usefixtures("missed")
def test_no_decision_decides_nothing(member: Client, job: CronJob) -> None:
    response = member.post(_of(job, "schedule-review"), {"decision": "maybe"}, follow=True)
    assert "Decide on one of" in response.content.decode()
    assert CronRun.objects.filter(needs_review=True).count() == 3


def test_a_schedule_is_tried_without_spending_and_then_run(
    member: Client, job: CronJob, now: datetime
) -> None:
    changes: dict[str, Any] = {
        "prompt": "On {{ parameters.topic }}.",
        "parameters": {"topic": "news"},
    }
    jobs.update_job(job, now=now, **changes)
    where = _of(job, "schedule-try")
    assert "&quot;topic&quot;: &quot;news&quot;" in member.get(where).content.decode()
    sent = {"parameters": '{"topic": "sport"}', "action": "rehearse"}
    page = member.post(where, sent).content.decode()
    assert "On sport." in page
    assert "A rehearsed answer" in page
    assert not CronRun.objects.exists()
    member.post(where, {**sent, "action": "run"})
    assert CronRun.objects.get().parameters == {"topic": "sport"}


def test_parameters_at_fault_run_nothing(member: Client, job: CronJob) -> None:
    where = _of(job, "schedule-try")
    for text in ("[1]", "{", '{"two words": 1}'):
        response = member.post(where, {"parameters": text, "action": "run"})
        assert "parameters" in response.context["form"].errors
    assert not CronRun.objects.exists()
