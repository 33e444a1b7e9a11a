"""One run's call: what is asked, and each way it may end, in words."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from governance import calls as governed_calls
from governance import snapshot
from governance.calls import CallRequest, CallResult
from governance.errors import (
    BudgetBlocked,
    CallError,
    CallUnsettled,
    CallWaits,
    LedgerUnavailable,
    ProviderFailed,
    ProviderUnavailable,
    RateLimited,
    UnpricedModel,
)
from governance.models import TaskClass, Team
from providers.registry import Registry
from providers.usage import Usage
from scheduling import calling, outputs
from scheduling.calling import prepare
from scheduling.dispatcher import AHEAD
from scheduling.models import CronRun, RunStatus
from scheduling.outcomes import Attempt
from tests.providers.entries import model_entry, provider_entry
from tests.scheduling.conftest import MakeRun
from tests.support.factories import make_model

OWNER = uuid4()
Answer = Callable[[CallRequest], Awaitable[CallResult]]


class Decision:
    """Stands for what routing decided."""

    explanation = ("The only model.", "It has a price.")


def answering(text: str) -> Answer:
    async def answer(request: CallRequest) -> CallResult:
        return CallResult(
            call_id=request.call_id or uuid4(),
            body={"choices": [{"message": {"content": text}}]},
            provider="fake",
            model="echo",
            usage=Usage(uncached_input=7, cache_read=3, output=5),
            cost=1234,
            decision=Decision(),  # type: ignore[arg-type]
            evaluations=(),
        )

    return answer


def refusing(error: BaseException) -> Answer:
    async def refuse(request: CallRequest) -> CallResult:
        raise error

    return refuse


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Callable[[CronRun, Answer], Attempt]:
    """Makes a claimed run's call, with an answer in place of the governed call."""

    def made(run: CronRun, answer: Answer) -> Attempt:
        async def execute(request: CallRequest, *, runtime: Any, settled: bool) -> CallResult:
            assert settled
            return await answer(request)

        monkeypatch.setattr(governed_calls, "execute", execute)
        prepared = prepare(run, now=timezone.now())
        return asyncio.run(calling.make(prepared, None))  # type: ignore[arg-type]

    return made


Made = Callable[[CronRun, Answer], Attempt]


def test_a_run_dispatched_ahead_of_its_time_waits_for_it(make_run: MakeRun, made: Made) -> None:
    run, asked_at = make_run(), []
    run.started_at = timezone.now() + 0.8 * AHEAD

    async def answer(request: CallRequest) -> CallResult:
        asked_at.append(timezone.now())
        return await answering("Good.")(request)

    assert made(run, answer).status == RunStatus.SUCCEEDED
    assert asked_at[0] >= run.started_at


def test_nor_does_a_run_that_cannot_be_asked_end_before_its_time(make_run: MakeRun) -> None:
    run = make_run()
    run.started_at = timezone.now() + 0.8 * AHEAD

    made = asyncio.run(calling.make(calling.Prepared(run, None, "No."), None))  # type: ignore[arg-type]

    assert (made.status, made.reason) == (RunStatus.FAILED, "No.")
    assert timezone.now() >= run.started_at


def test_the_job_says_what_is_asked(make_run: MakeRun) -> None:
    run = make_run(
        owner=OWNER,
        prompt="Well?",
        system_prompt="Be brief.",
        max_output_tokens=50,
        task_class=TaskClass.AUXILIARY_SUMMARY,
    )

    request = prepare(run, now=timezone.now()).request

    assert request is not None
    assert request.body == {
        "model": "auto",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Well?"},
        ],
        "max_tokens": 50,
    }
    assert (request.task_class, request.respond_async) == (TaskClass.AUXILIARY_SUMMARY, True)
    # The ledger enters it under the name that the claim gave it, and no second one.
    assert request.call_id == run.call_id
    caller = request.caller
    assert (caller.team_id, caller.surface) == (run.job.team_id, "schedule")
    assert (caller.job_id, caller.run_id) == (run.job_id, run.pk)


@pytest.mark.parametrize(
    ("own", "mode", "source"),
    [
        ("", "dry_run", "team"),
        ("suggest", "suggest", "request"),
        ("enforced", "enforced", "request"),
    ],
)
def test_a_run_is_routed_as_its_job_says_or_else_as_its_team(
    make_run: MakeRun, own: str, mode: str, source: str
) -> None:
    make_model()
    run = make_run(owner=OWNER, routing_mode=own)
    Team.objects.filter(pk=run.job.team_id).update(routing_mode="dry_run")
    request = prepare(run, now=timezone.now()).request
    assert request is not None

    decision = governed_calls.foresee(request, snapshot.load(), timezone.now()).decision

    assert (decision.mode, decision.mode_source) == (mode, source)
    assert f"The routing mode is “{mode}”" in " ".join(decision.explanation)


@pytest.mark.parametrize(
    ("model", "held"),
    [("auto", True), ("fake/able", True), ("fake/unable", False), ("nobody", True)],
)
def test_only_what_can_be_held_to_json_is_told_so_in_the_hosts_terms(
    make_run: MakeRun, model: str, held: bool
) -> None:
    fake = provider_entry(name="fake")
    able = model_entry(provider=fake, name="able", is_default=True)
    registry = Registry((able, model_entry(provider=fake, name="unable", json_mode=False)))
    schema = {"type": "object", "title": "Figures"}
    run = make_run(owner=OWNER, model=model, output_format="json", output_schema=schema)

    request = prepare(run, now=timezone.now(), registry=registry).request

    assert request is not None
    said = request.body["messages"][0]["content"]
    assert "Answer in JSON" in said
    assert ("response_format" in request.body) == held
    assert ("Figures" in said) != held
    assert run.asked == run.job.prompt


def test_a_prompt_that_says_nothing_is_not_sent(make_run: MakeRun) -> None:
    run = make_run(owner=OWNER, prompt="{% if previous.output %}Go on.{% endif %}")

    prepared = prepare(run, now=timezone.now())

    assert prepared.request is None
    assert "says nothing" in prepared.fault


def test_a_template_sees_the_times_in_the_jobs_zone_its_parameters_and_what_was_before(
    make_run: MakeRun,
) -> None:
    run = make_run(
        owner=OWNER,
        zone="Asia/Kolkata",
        prompt="{{ job }} of {{ team }} at {{ now }} for {{ parameters.city }}, "
        "{{ parameters.unit }}: {{ previous.output }}",
        parameters={"city": "Brno", "unit": "C"},
    )
    CronRun.objects.create(
        job=run.job,
        slot=run.slot - timedelta(days=1),
        status=RunStatus.SUCCEEDED,
        queued_at=run.slot,
        finished_at=run.slot,
        output="sunny",
    )
    run.parameters = {"city": "Pune"}

    prepared = prepare(run, now=datetime(2030, 5, 1, 12, tzinfo=UTC))

    assert run.asked == prepared.request.body["messages"][0]["content"]  # type: ignore[union-attr]
    assert "of Demo at 2030-05-01 17:30" in run.asked
    assert run.asked.endswith("for Pune, C: sunny")


def test_a_prompt_that_cannot_be_written_is_a_failure_in_words(
    make_run: MakeRun, made: Made
) -> None:
    run = make_run(owner=OWNER, prompt="{{ parameters.city }}", parameters={"city": "Brno"})
    run.job.parameters = {}

    attempt = made(run, answering("Never asked."))

    assert attempt.status == RunStatus.FAILED
    assert "The prompt could not be written" in attempt.reason
    assert "city" in attempt.reason
    assert not attempt.passes


def test_an_answer_is_kept_with_what_it_took_and_why_that_model(
    make_run: MakeRun, made: Made
) -> None:
    run = make_run(owner=OWNER)

    attempt = made(run, answering("Fine."))

    assert attempt == Attempt(
        status=RunStatus.SUCCEEDED,
        columns={
            "call_id": run.call_id,
            "model": "fake/echo",
            "explanation": "The only model. It has a price.",
            "input_tokens": 10,
            "output_tokens": 5,
            "cost": 1234,
            "output": "Fine.",
        },
    )


SCHEMA = {"type": "object", "required": ["mood"], "properties": {"mood": {"type": "string"}}}


@pytest.mark.parametrize(
    ("text", "status", "output"),
    [
        ('```json\n{"mood": "good"}\n```', RunStatus.SUCCEEDED, '{"mood":"good"}'),
        ('{"mood": 3}', RunStatus.FAILED, '{"mood": 3}'),
        ("It is good.", RunStatus.FAILED, "It is good."),
    ],
)
def test_an_answer_must_be_what_the_job_asks_for(
    make_run: MakeRun, made: Made, text: str, status: RunStatus, output: str
) -> None:
    run = make_run(owner=OWNER, output_format="json", output_schema=SCHEMA)

    attempt = made(run, answering(text))

    assert (attempt.status, attempt.columns["output"].replace(" ", "")) == (
        status,
        output.replace(" ", ""),
    )
    # A model may do better the next time, and this time is paid for all the same.
    assert attempt.passes == (status == RunStatus.FAILED)
    assert attempt.columns["cost"] == 1234


def provider_failure(failure_class: str) -> ProviderFailed:
    return ProviderFailed("It broke.", detail={"failure_class": failure_class})


PASSES, DEFERRED, NEITHER = (True, False), (False, True), (False, False)


@pytest.mark.parametrize(
    ("error", "status", "again"),
    [
        (BudgetBlocked("March is spent."), RunStatus.BLOCKED_BY_BUDGET, NEITHER),
        (UnpricedModel("No price."), RunStatus.BLOCKED_BY_BUDGET, NEITHER),
        (RateLimited("Ten a minute."), RunStatus.BLOCKED_BY_BUDGET, DEFERRED),
        (CallUnsettled("Who knows."), RunStatus.UNCONFIRMED, NEITHER),
        (CallWaits("Kept."), RunStatus.WAITING_FOR_APPROVAL, NEITHER),
        (ProviderUnavailable("No place."), RunStatus.FAILED, DEFERRED),
        (LedgerUnavailable("Not now."), RunStatus.FAILED, DEFERRED),
        (provider_failure("transient_upstream"), RunStatus.FAILED, PASSES),
        (provider_failure("rate_limited"), RunStatus.FAILED, PASSES),
        (provider_failure("auth_invalid"), RunStatus.FAILED, NEITHER),
        (provider_failure("context_window_exceeded"), RunStatus.FAILED, NEITHER),
        (ProviderFailed("It broke."), RunStatus.FAILED, NEITHER),
    ],
)
def test_a_refusal_is_told_in_its_own_words_and_says_whether_it_passes(
    make_run: MakeRun,
    made: Made,
    error: CallError,
    status: RunStatus,
    again: tuple[bool, bool],
) -> None:
    error.retry_after = 7

    attempt = made(make_run(owner=OWNER), refusing(error))

    assert (attempt.status, attempt.reason) == (status, error.message)
    assert (attempt.passes, attempt.deferred) == again
    lasts = {RunStatus.WAITING_FOR_APPROVAL, RunStatus.UNCONFIRMED}
    assert attempt.retry_after == (None if status in lasts else 7)
    assert attempt.failure_class == error.detail.get("failure_class", "")


def test_a_long_reason_is_cut(make_run: MakeRun, made: Made) -> None:
    attempt = made(make_run(owner=OWNER), refusing(CallError("x" * 600)))

    assert attempt.reason == "x" * 499 + "…"


def test_an_unforeseen_error_is_a_plain_sentence_and_a_line_in_the_log(
    make_run: MakeRun, made: Made, caplog: pytest.LogCaptureFixture
) -> None:
    run = make_run(owner=OWNER)

    with caplog.at_level(logging.ERROR, logger="scheduling.calling"):
        attempt = made(run, refusing(ZeroDivisionError("division by zero")))

    assert attempt.status == RunStatus.FAILED
    assert attempt.reason == f"Palyra failed while making the call; its log names run {run.pk}."
    assert str(run.pk) in caplog.text
    assert "division by zero" in caplog.text


def test_an_answer_is_checked_beside_other_work_and_an_error_there_is_told_too(
    make_run: MakeRun, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(owner=OWNER)
    threads: list[int] = []

    def check(*_: Any, **given: Any) -> str:
        threads.append(threading.get_ident())
        raise ZeroDivisionError

    monkeypatch.setattr(outputs, "check", check)
    attempt = made(run, answering("It is good."))

    assert attempt.status == RunStatus.FAILED
    assert attempt.reason == f"Palyra failed while making the call; its log names run {run.pk}."
    assert threads
    assert threading.get_ident() not in threads


async def never(request: CallRequest) -> CallResult:
    await asyncio.Event().wait()
    raise AssertionError


def test_a_call_that_takes_too_long_is_given_up(make_run: MakeRun, made: Made) -> None:
    run = make_run(owner=OWNER)
    run.job.max_runtime_seconds = 0

    attempt = made(run, never)

    assert (attempt.status, attempt.failure_class) == (RunStatus.FAILED, "provider_timeout")
    assert attempt.reason == "The call took longer than 0 s and was given up."


def test_a_call_that_is_broken_off_is_cancelled(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = prepare(make_run(owner=OWNER), now=timezone.now())
    begun = asyncio.Event()

    async def execute(request: CallRequest, **given: Any) -> CallResult:
        begun.set()
        return await never(request)

    async def begin_and_cancel() -> Attempt:
        task = asyncio.create_task(calling.make(prepared, None))  # type: ignore[arg-type]
        await begun.wait()
        task.cancel()
        return await task

    monkeypatch.setattr(governed_calls, "execute", execute)

    assert asyncio.run(begin_and_cancel()) == Attempt(status=RunStatus.CANCELLED)
