"""How attempts are written, and what follows for the run, the job and the line."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from django.utils import timezone
from django_q.models import OrmQ

from governance.models import Channel, ChannelKind, Delivery
from scheduling import handling, messages
from scheduling.endings import Ended, finish
from scheduling.models import CronJob, CronRun, RunStatus
from scheduling.outcomes import Attempt
from tests.scheduling.conftest import MakeRun

OWNER = uuid4()


def later(seconds: float = 1) -> datetime:
    return timezone.now() + timedelta(seconds=seconds)


def ended(run: CronRun, status: RunStatus = RunStatus.FAILED, **given: Any) -> Ended:
    return Ended(run, Attempt(status=status, **given))


def test_an_end_is_written_with_all_that_is_known(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER), later()
    run.asked = "Well?"

    assert finish([ended(run, RunStatus.SUCCEEDED, columns={"output": "Fine.", "cost": 5})], now)

    stored = CronRun.objects.get()
    assert (stored.status, stored.output, stored.cost) == (RunStatus.SUCCEEDED, "Fine.", 5)
    assert (stored.finished_at, stored.asked, stored.attempt) == (now, "Well?", 1)


def test_a_failure_that_may_pass_is_tried_again_in_the_same_place(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER, max_attempts=2, backoff_seconds=10), later()

    finish([ended(run, passes=True, reason="It broke.", failure_class="transient_upstream")], now)

    stored = CronRun.objects.get()
    assert (stored.status, stored.lane, stored.sent_at) == (RunStatus.QUEUED, 0, None)
    assert stored.due_at is not None
    assert timedelta(seconds=5) <= stored.due_at - now <= timedelta(seconds=10)
    # Whoever had it has lost it.
    assert stored.token != run.token or stored.owner is None
    (told,) = stored.attempts
    assert (told["number"], told["status"], told["reason"]) == (1, "failed", "It broke.")
    assert told["failure_class"] == "transient_upstream"


def test_the_last_attempt_is_the_end(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, max_attempts=2)
    CronRun.objects.update(attempt=2)

    finish([ended(run, passes=True)], later())

    assert CronRun.objects.get().status == RunStatus.FAILED


def test_a_call_without_a_place_is_put_off_and_is_no_attempt(make_run: MakeRun) -> None:
    run, now = make_run(owner=OWNER), later()

    finish([ended(run, deferred=True, reason="No place.")], now)

    stored = CronRun.objects.get()
    assert (stored.status, stored.attempt, stored.deferrals) == (RunStatus.QUEUED, 0, 1)
    assert stored.attempts == []
    assert stored.due_at is not None
    assert timedelta(seconds=0.5) <= stored.due_at - now <= timedelta(seconds=1)


def test_a_run_that_was_cancelled_is_not_tried_again(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, max_attempts=5)
    handling.cancel(run, now=later(), reason="Enough.")

    finish([ended(run, passes=True, reason="It broke.")], later())

    assert CronRun.objects.get().status == RunStatus.FAILED


def test_a_cancelled_run_keeps_the_reason_it_was_cancelled_for(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER)
    handling.cancel(run, now=later(), reason="Enough.")

    finish([ended(run, RunStatus.CANCELLED)], later())

    stored = CronRun.objects.get()
    assert (stored.status, stored.reason) == (RunStatus.CANCELLED, "Enough.")


def test_a_run_closed_meanwhile_stays_closed(
    make_run: MakeRun, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(owner=OWNER)
    CronRun.objects.update(status=RunStatus.UNCONFIRMED)

    assert finish([ended(run, RunStatus.SUCCEEDED, columns={"output": "Late"})], later()) == 0

    assert CronRun.objects.get().output == ""
    assert "after it had been closed" in caplog.text


def test_who_lost_a_run_cannot_end_it(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER)
    CronRun.objects.update(token=uuid4())

    assert finish([ended(run)], later()) == 0
    assert CronRun.objects.get().status == RunStatus.RUNNING


def test_the_next_in_line_has_the_place_at_once(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, overlap="queue_one")
    waiting = handling.run_now(run.job, now=later())
    assert (waiting.status, waiting.lane) == (RunStatus.QUEUED, None)
    OrmQ.objects.all().delete()

    finish([ended(run, RunStatus.SUCCEEDED)], later(2))

    waiting.refresh_from_db()
    assert waiting.lane == 0
    assert [message.task["args"] for message in OrmQ.objects.all()] == [(1,)]


def test_failures_in_a_row_pause_the_job_and_a_success_begins_anew(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, pause_after_failures=2)
    job = run.job

    def once_more() -> CronRun:
        CronRun.objects.filter(pk=run.pk).update(status=RunStatus.RUNNING)
        return CronRun.objects.select_related("job__team").get(pk=run.pk)

    for status in (RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.UNCONFIRMED):
        finish([ended(once_more(), status)], later())
        job.refresh_from_db()
        assert job.enabled
    finish([ended(once_more(), RunStatus.BLOCKED_BY_BUDGET, reason="March is spent.")], later())

    job.refresh_from_db()
    assert (job.enabled, job.next_slot, job.failures_in_a_row) == (False, None, 2)
    assert job.paused_reason == "Paused after 2 failures in a row; the last: March is spent."


def test_what_a_person_started_does_not_pause_the_job(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, trigger="manual", pause_after_failures=1)

    finish([ended(run)], later())

    job = CronJob.objects.get()
    assert (job.enabled, job.failures_in_a_row) == (True, 0)


def test_a_run_that_took_longer_than_expected_is_marked(make_run: MakeRun) -> None:
    quick, slow = (make_run(owner=OWNER, expected_seconds=seconds) for seconds in (60, 1))

    finish([ended(run, RunStatus.SUCCEEDED) for run in (quick, slow)], later(5))

    assert CronRun.objects.get(pk=slow.pk).slow
    assert not CronRun.objects.get(pk=quick.pk).slow


def test_whoever_wants_to_know_is_told(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER)
    channel = Channel.objects.create(name="here", kind=ChannelKind.CONSOLE)
    run.job.deliveries.create(channel=channel, on="failure")

    finish([ended(run, passes=False, reason="It broke.")], later())

    assert Delivery.objects.get().run_id == run.pk


@pytest.mark.parametrize(("passes", "status"), [(True, "queued"), (False, "failed")])
def test_an_end_that_the_database_took_back_is_written_once_more(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch, passes: bool, status: str
) -> None:
    end = ended(make_run(owner=OWNER, max_attempts=2), passes=passes)

    def fail(count: int) -> None:
        raise OperationalError("away")

    with monkeypatch.context() as away, pytest.raises(OperationalError):
        away.setattr(messages, "tell", fail)
        finish([end], later())
    assert CronRun.objects.get().status == RunStatus.RUNNING

    assert finish([end], later()) == 1
    assert CronRun.objects.get().status == status


@pytest.mark.parametrize("tried", [True, False], ids=["tried", "put off"])
def test_of_a_cancelled_run_that_waits_for_its_next_attempt_those_are_told_who_want_all(
    make_run: MakeRun, tried: bool
) -> None:
    run = make_run(owner=OWNER, max_attempts=2)
    channel = Channel.objects.create(name="here", kind=ChannelKind.CONSOLE)
    for on in ("always", "failure"):
        run.job.deliveries.create(channel=channel, on=on)
    other = make_run()
    other.job.deliveries.create(channel=channel, on="always")
    finish([ended(run, passes=tried, deferred=not tried)], later())

    for one in (run, run, other):
        with suppress(ValidationError):
            handling.cancel(one, now=later(), reason="Enough.")

    # What was never begun is told to nobody.
    assert CronRun.objects.filter(status=RunStatus.CANCELLED).count() == 2
    found = [(one.run_id, one.event) for one in Delivery.objects.all()]
    assert found == [(run.pk, "run.cancelled")] * tried
    if tried:
        told = Delivery.objects.get().body["data"]
        assert (told["status"], told["reason"]) == ("cancelled", "Enough.")
        assert told["finished_at"]
