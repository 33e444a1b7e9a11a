"""What a worker does with a message: each run's call once, and its end written in words."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from governance import calls as governed_calls
from governance.calls import CallRequest, CallResult
from governance.errors import BudgetBlocked, CallError, ProviderFailed, UnpricedModel
from governance.models import CallStatus, ModelCall, TaskClass
from providers.usage import Usage
from scheduling import patience, tasks
from scheduling.dispatcher import dispatch
from scheduling.models import CronRun, RunStatus
from scheduling.tasks import execute_runs
from tests.scheduling.conftest import MakeJob

PROCESS = uuid4()


class FakeRuntime:
    """A process that makes calls, without its threads."""

    process_id = PROCESS

    def call(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await work(self)

        return asyncio.run(run())


class Calls:
    """Stands for `calls.execute`: keeps what was asked and answers as it is told to."""

    def __init__(self) -> None:
        self.asked: list[CallRequest] = []
        self.answer: Callable[[CallRequest], Awaitable[CallResult]] = answered

    async def execute(self, request: CallRequest, *, runtime: Any, settled: bool) -> CallResult:
        assert settled
        assert runtime.process_id == PROCESS
        self.asked.append(request)
        return await self.answer(request)


async def answered(request: CallRequest) -> CallResult:
    return CallResult(
        call_id=uuid4(),
        body={
            "choices": [{"message": {"content": f"To {request.body['messages'][-1]['content']}"}}]
        },
        provider="fake",
        model="echo",
        usage=Usage(uncached_input=7, cache_read=3, output=5),
        cost=1234,
        decision=None,  # type: ignore[arg-type]
        evaluations=(),
    )


def refusing(error: BaseException) -> Callable[[CallRequest], Awaitable[CallResult]]:
    async def refuse(request: CallRequest) -> CallResult:
        raise error

    return refuse


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    calls = Calls()
    monkeypatch.setattr(governed_calls, "execute", calls.execute)
    monkeypatch.setattr(tasks, "blocking_runtime", lambda role: FakeRuntime())
    return calls


@pytest.fixture
def queued(make_job: MakeJob) -> Callable[..., CronRun]:
    """Makes a job and its queued run."""

    def make(**fields: Any) -> CronRun:
        due = timezone.now()
        job = make_job(due=due, **fields)
        dispatch(due)
        return CronRun.objects.get(job=job)

    return make


Queued = Callable[..., CronRun]


def message(*runs: CronRun) -> list[tuple[str, str]]:
    return [(str(run.id), str(run.token)) for run in runs]


def test_an_answer_is_stored_with_what_it_took(queued: Queued, calls: Calls) -> None:
    run = queued(prompt="Well?", system_prompt="Be brief.", model="auto", max_output_tokens=50)

    execute_runs(message(run))

    run.refresh_from_db()
    assert (run.status, run.output, run.reason) == (RunStatus.SUCCEEDED, "To Well?", "")
    assert (run.model, run.cost, run.owner) == ("fake/echo", 1234, PROCESS)
    assert (run.input_tokens, run.output_tokens) == (10, 5)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert run.queued_at <= run.started_at <= run.finished_at
    (request,) = calls.asked
    assert request.body == {
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Well?"},
        ],
        "max_tokens": 50,
    }
    assert request.task_class == TaskClass.BACKGROUND_AUTOMATION
    caller = request.caller
    assert (caller.team_id, caller.surface) == (run.job.team_id, "schedule")
    assert (caller.job_id, caller.run_id) == (run.job_id, run.id)


def test_without_a_system_prompt_or_a_cap_none_is_sent(queued: Queued, calls: Calls) -> None:
    execute_runs(message(queued(prompt="Well?")))

    assert calls.asked[0].body == {
        "model": "auto",
        "messages": [{"role": "user", "content": "Well?"}],
    }


def test_a_message_that_comes_twice_makes_one_call(queued: Queued, calls: Calls) -> None:
    run = queued()

    execute_runs(message(run, run))
    finished_at = CronRun.objects.get().finished_at
    execute_runs(message(run))

    assert len(calls.asked) == 1
    assert CronRun.objects.get().finished_at == finished_at


def test_a_message_with_another_token_or_of_a_deleted_run_does_nothing(
    queued: Queued, calls: Calls
) -> None:
    run = queued()

    execute_runs([(str(run.id), str(uuid4())), (str(uuid4()), str(run.token))])

    assert calls.asked == []
    assert CronRun.objects.get().status == RunStatus.QUEUED


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (
            BudgetBlocked("The budget “March” has $0.01 left."),
            RunStatus.BLOCKED_BY_BUDGET,
            "The budget “March” has $0.01 left.",
        ),
        (UnpricedModel("No price."), RunStatus.BLOCKED_BY_BUDGET, "No price."),
        (ProviderFailed("It broke."), RunStatus.FAILED, "It broke."),
        (CallError("x" * 600), RunStatus.FAILED, "x" * 499 + "…"),
    ],
)
def test_a_refusal_is_told_in_its_own_words(
    queued: Queued, calls: Calls, error: CallError, status: RunStatus, reason: str
) -> None:
    run = queued()
    error.call_id = uuid4()
    calls.answer = refusing(error)

    execute_runs(message(run))

    run.refresh_from_db()
    assert (run.status, run.reason, run.call_id) == (status, reason, error.call_id)
    assert (run.output, run.cost, run.input_tokens) == ("", None, None)


def test_a_failure_that_is_billed_shows_what_the_ledger_charges(
    queued: Queued, calls: Calls
) -> None:
    run = queued()
    call = ModelCall.objects.create(
        team=run.job.team,
        run_id=run.id,
        surface="schedule",
        task_class=TaskClass.BACKGROUND_AUTOMATION,
        requested_model="auto",
        provider="fake",
        model="echo",
        status=CallStatus.FAILED,
        admitted_at=timezone.now(),
        cost=77,
    )
    calls.answer = refusing(ProviderFailed("It broke.", call_id=call.id))

    execute_runs(message(run))

    run.refresh_from_db()
    assert (run.status, run.cost, run.model) == (RunStatus.FAILED, 77, "fake/echo")


def test_an_unforeseen_error_is_a_plain_sentence_and_a_line_in_the_log(
    queued: Queued, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    run = queued()
    calls.answer = refusing(ZeroDivisionError("division by zero"))

    with caplog.at_level(logging.ERROR, logger="scheduling.tasks"):
        execute_runs(message(run))

    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert run.reason == f"Palyra failed while making the call; its log names run {run.id}."
    assert str(run.id) in caplog.text
    assert "division by zero" in caplog.text


def test_a_call_that_takes_too_long_is_given_up(
    queued: Queued, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued()
    monkeypatch.setattr(tasks, "LONGEST_CALL_SECONDS", 0)

    async def never(request: CallRequest) -> CallResult:
        await asyncio.Event().wait()
        raise AssertionError

    calls.answer = never
    execute_runs(message(run))

    run.refresh_from_db()
    assert run.status == RunStatus.FAILED
    assert "was given up" in run.reason


def test_the_runs_of_a_message_are_made_at_once(queued: Queued, calls: Calls) -> None:
    runs = [queued() for _ in range(5)]
    everybody = asyncio.Event()

    async def wait_for_the_others(request: CallRequest) -> CallResult:
        if len(calls.asked) == len(runs):
            everybody.set()
        await everybody.wait()
        return await answered(request)

    calls.answer = wait_for_the_others
    execute_runs(message(*runs))

    assert set(CronRun.objects.values_list("status", flat=True)) == {RunStatus.SUCCEEDED}


def test_a_run_that_ends_early_is_written_before_the_others_end(
    queued: Queued, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = queued(prompt="first"), queued(prompt="second")
    written = asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []
    finish = tasks.finish

    def finish_and_tell(ended: Any) -> int:
        result = finish(ended)
        if not written.is_set() and CronRun.objects.get(pk=first.pk).status == RunStatus.SUCCEEDED:
            assert CronRun.objects.get(pk=second.pk).status == RunStatus.RUNNING
            loops[0].call_soon_threadsafe(written.set)
        return result

    async def second_waits(request: CallRequest) -> CallResult:
        loops.append(asyncio.get_running_loop())
        if request.body["messages"][-1]["content"] == "second":
            await written.wait()
        return await answered(request)

    monkeypatch.setattr(tasks, "finish", finish_and_tell)
    calls.answer = second_waits
    execute_runs(message(first, second))

    assert set(CronRun.objects.values_list("status", flat=True)) == {RunStatus.SUCCEEDED}


def test_a_run_closed_meanwhile_stays_closed(
    queued: Queued, calls: Calls, caplog: pytest.LogCaptureFixture
) -> None:
    run = queued()
    (claimed,) = tasks.claim(message(run), owner=PROCESS)
    CronRun.objects.update(status=RunStatus.UNCONFIRMED)

    written = tasks.finish([tasks.Ended(claimed, RunStatus.SUCCEEDED, {"output": "Late"})])

    assert written == 0
    run.refresh_from_db()
    assert (run.status, run.output) == (RunStatus.UNCONFIRMED, "")
    assert "after it had been closed" in caplog.text


def test_another_process_cannot_end_a_run(queued: Queued, calls: Calls) -> None:
    run = queued()
    (claimed,) = tasks.claim(message(run), owner=PROCESS)
    claimed.owner = UUID(int=0)

    assert tasks.finish([tasks.Ended(claimed, RunStatus.FAILED)]) == 0


def test_an_end_is_written_although_the_database_fails_at_first(
    queued: Queued, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued()
    finish, failures = tasks.finish, [OperationalError("database is locked")] * 2
    monkeypatch.setattr(patience, "FIRST_PAUSE", 0)
    monkeypatch.setattr(connection, "close", lambda: None)

    def finish_at_last(ended: Any) -> int:
        if failures:
            raise failures.pop()
        return finish(ended)

    monkeypatch.setattr(tasks, "finish", finish_at_last)
    execute_runs(message(run))

    run.refresh_from_db()
    assert run.status == RunStatus.SUCCEEDED


def test_what_a_run_said_of_missed_times_is_kept(make_job: MakeJob, calls: Calls) -> None:
    due = timezone.now().replace(microsecond=0)
    make_job(due=due)
    dispatch(due + timedelta(days=2))
    run = CronRun.objects.get()

    execute_runs(message(run))

    run.refresh_from_db()
    assert run.status == RunStatus.SUCCEEDED
    assert "At least 1,000 scheduled times" in run.reason
