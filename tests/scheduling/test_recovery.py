"""Runs that nobody is looking after are sent again or closed, and it is said why."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import ProcessHeartbeat
from scheduling import messages, tasks
from scheduling.dispatcher import dispatch
from scheduling.models import CronRun, RunStatus
from scheduling.recovery import DELIVERY_PATIENCE, LONGEST_RUN, confess_broken_off, send_lost_again
from tests.scheduling.conftest import MakeJob

LATER = DELIVERY_PATIENCE + timedelta(seconds=1)


def queue_one(make_job: MakeJob) -> CronRun:
    due = timezone.now()
    make_job(due=due)
    dispatch(due)
    return CronRun.objects.get(slot=due)


def test_a_run_in_no_message_is_sent_again_with_the_same_token(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    OrmQ.objects.all().delete()

    assert send_lost_again(run.queued_at + LATER) == 1

    assert OrmQ.objects.get().task["args"] == ([(str(run.id), str(run.token))],)
    # Now there is a message, so nothing more is sent however often it is looked at.
    assert send_lost_again(run.queued_at + LATER) == 0
    assert OrmQ.objects.count() == 1


def test_a_run_whose_message_still_waits_is_not_lost(make_job: MakeJob) -> None:
    run = queue_one(make_job)

    assert send_lost_again(run.queued_at + LATER) == 0
    assert OrmQ.objects.count() == 1


def test_a_run_whose_message_was_delivered_and_not_begun_is_sent_again(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    OrmQ.objects.update(lock=timezone.now() + timedelta(hours=1))

    assert send_lost_again(run.queued_at + LATER) == 1
    assert OrmQ.objects.count() == 2


def test_a_run_queued_just_now_is_given_time(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    OrmQ.objects.all().delete()

    assert send_lost_again(run.queued_at + DELIVERY_PATIENCE) == 0


def test_a_queue_too_long_to_read_is_left_to_be_worked_off(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queue_one(make_job)
    OrmQ.objects.all().delete()
    monkeypatch.setattr(messages, "MOST_MESSAGES_READ", 0)
    messages.send([CronRun(job=run.job)])

    assert messages.undelivered() is None
    assert send_lost_again(run.queued_at + LATER) == 0


def test_messages_of_others_are_passed_over(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    OrmQ.objects.create(key="palyra", payload="garbage", lock=timezone.now())
    OrmQ.objects.create(key="elsewhere", payload="garbage", lock=timezone.now())

    assert messages.undelivered() == {run.id}


def test_a_run_whose_process_is_gone_is_unconfirmed(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    tasks.claim([(str(run.id), str(run.token))], owner=uuid4())
    now = timezone.now()

    assert confess_broken_off(now) == 1

    run.refresh_from_db()
    assert (run.status, run.finished_at) == (RunStatus.UNCONFIRMED, now)
    assert "The worker ended during the call" in run.reason
    assert confess_broken_off(now) == 0


def test_a_run_whose_process_lives_goes_on_but_not_for_ever(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    now = timezone.now()
    process = ProcessHeartbeat.objects.create(
        id=uuid4(), role="worker", host="here", pid=1, started_at=now, seen_at=now
    )
    tasks.claim([(str(run.id), str(run.token))], owner=process.id)

    assert confess_broken_off(now) == 0
    ProcessHeartbeat.objects.update(seen_at=now + 2 * LONGEST_RUN)
    assert confess_broken_off(now + 2 * LONGEST_RUN) == 1


def test_what_has_ended_is_left_alone(make_job: MakeJob) -> None:
    run = queue_one(make_job)
    OrmQ.objects.all().delete()
    CronRun.objects.update(status=RunStatus.SUCCEEDED)

    assert send_lost_again(run.queued_at + LATER) == 0
    assert confess_broken_off(run.queued_at + LATER) == 0
