"""What operators do to scheduled prompts in the audit trail."""

from __future__ import annotations

import pytest
from django.utils import timezone

from governance.acting import acting, operator
from governance.models import AuditEntry, Channel
from scheduling import audit_notes, calendars, jobs
from scheduling.models import CronJob, CronRun
from tests.scheduling.conftest import MakeJob

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(make_job: MakeJob) -> CronRun:
    job = make_job(parameters={"topic": "news"})
    now = timezone.now()
    return CronRun.objects.create(job=job, slot=now, trigger="manual", queued_at=now)


def _of(job: CronJob) -> list[tuple[str, dict[str, object], str]]:
    found = AuditEntry.objects.filter(object_id=str(job.pk), surface="command line")
    return [(one.action, one.changes, one.reason) for one in found.order_by("at", "id")]


def test_what_somebody_does_is_entered_under_the_job(run: CronRun) -> None:
    with acting(operator):
        audit_notes.ran_now(run)
        run.parameters = {"topic": "art"}
        audit_notes.ran_now(run)
        audit_notes.cancelled(run, reason="A slip.")
        audit_notes.reviewed(run.job, decision="run_once", missed=3, queued=1)
    named = str(run.pk)
    assert _of(run.job) == [
        ("run now", {"run": [None, named]}, ""),
        ("run now", {"run": [None, named], "parameters": [None, {"topic": "art"}]}, ""),
        ("run cancelled", {"run": [named, None]}, "A slip."),
        (
            "missed times reviewed",
            {"decision": [None, "run_once"], "missed": [3, 0], "queued": [0, 1]},
            "",
        ),
    ]


def test_what_the_system_does_is_nobodys_deed(run: CronRun) -> None:
    before = AuditEntry.objects.count()
    audit_notes.cancelled(run, reason="In favour of the next one.")
    assert AuditEntry.objects.count() == before


def test_the_days_a_job_leaves_out_are_noted(run: CronRun) -> None:
    holidays = calendars.create(team=None, name="Holidays", dates=[])
    with acting(operator):
        jobs.update_job(run.job, now=timezone.now(), calendars=[holidays])
    assert _of(run.job) == [("changed", {"calendars": [[], ["Holidays"]]}, "")]


def test_whom_a_job_tells_is_in_its_teams_trail(run: CronRun) -> None:
    channel = Channel.objects.create(name="Ops", kind="email", recipients=["o@example.com"])
    with acting(operator):
        for wished in ([(channel, "failure")], []):
            jobs.update_job(run.job, now=timezone.now(), deliveries=wished)
    entries = AuditEntry.objects.filter(object_type="scheduling.rundelivery").order_by("at", "id")
    assert list(entries.values_list("action", "team_id")) == [
        ("added", run.job.team_id),
        ("deleted", run.job.team_id),
    ]
