"""Making one run's call: what is asked, and how it ended."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils import timezone

from governance import calls
from governance.calls import Caller, CallRequest, CallResult
from governance.errors import (
    BudgetBlocked,
    CallError,
    CallUnsettled,
    CallWaits,
    LedgerUnavailable,
    ProviderUnavailable,
    RateLimited,
    UnpricedModel,
)
from governance.models import ModelCall, Surface
from governance.runtime import Runtime
from governance.zones import zone
from providers.failures import TRAITS, FailureClass
from providers.models import ModelRole
from providers.registry import Registry
from scheduling import outputs, prompts
from scheduling.dispatcher import AHEAD
from scheduling.models import CronRun, RunStatus
from scheduling.outcomes import Attempt
from scheduling.prompts import PromptContext, PromptFault
from scheduling.storable_text import storable_text

logger = logging.getLogger(__name__)
LONGEST_REASON = 500
# A run that waits for a place at its provider costs little; one that comes back later, more.
PATIENCE_SECONDS = 10.0
INVALID_OUTPUT = "invalid_output"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A claimed run, and what it asks; or why it cannot ask it."""

    run: CronRun
    request: CallRequest | None
    fault: str = ""


def prepare(run: CronRun, *, now: datetime, registry: Registry | None = None) -> Prepared:
    """Write the prompt as it is sent. Reads the database where the template looks back.

    Without a registry the model is taken for one that can be held to JSON.
    """
    job = run.job
    try:
        context = _context(run, now)
        system_prompt, prompt = (
            prompts.render(text, context) for text in (job.system_prompt, job.prompt)
        )
    except PromptFault as fault:
        return Prepared(run, None, f"The prompt could not be written: {fault}")
    if not prompt.strip():
        return Prepared(run, None, "The prompt says nothing once it is filled in.")
    held = registry is None or can_be_held(job.model, registry)
    messages = outputs.messages(
        system_prompt,
        prompt,
        output_format=job.output_format,
        schema=job.output_schema,
        held=held,
    )
    run.asked = prompt
    return Prepared(run, _request(run, messages, held=held))


def can_be_held(model: str, registry: Registry) -> bool:
    """Whether all that may be asked first by that name can be held to JSON, by the registry."""
    default = registry.default()
    asked = registry.find(model) or ((default,) if default else registry.models)
    return all(one.json_mode for one in asked if one.role == ModelRole.CHAT)


def caller_of(run: CronRun) -> Caller:
    """Who asks, as budgets and the ledger see it."""
    job = run.job
    return Caller(
        team_id=job.team_id,
        surface=Surface.SCHEDULE,
        user_id=job.created_by_id,
        job_id=job.pk,
        run_id=run.pk,
    )


def _context(run: CronRun, now: datetime) -> PromptContext:
    job, where = run.job, zone(run.job.zone)
    looks_back = "previous" in job.system_prompt + job.prompt
    output, at = _previous(run) if looks_back else (None, None)
    return PromptContext(
        now=now.astimezone(where),
        scheduled_at=run.slot.astimezone(where),
        job_name=job.name,
        team_name=job.team.name,
        previous_output=output,
        previous_at=at.astimezone(where) if at else None,
        parameters={**job.parameters, **run.parameters},
    )


def _previous(run: CronRun) -> tuple[str | None, datetime | None]:
    """The output of the job's latest run that has one, and when it ended."""
    earlier = CronRun.objects.filter(job=run.job_id, status=RunStatus.SUCCEEDED)
    found = earlier.order_by("-slot", "-id").values_list("output", "finished_at").first()
    return found or (None, None)


def _request(run: CronRun, messages: list[dict[str, str]], *, held: bool) -> CallRequest:
    job = run.job
    body: dict[str, Any] = {"model": job.model, "messages": messages}
    if job.max_output_tokens is not None:
        body["max_tokens"] = job.max_output_tokens
    wanted = outputs.response_format(job.output_format, job.output_schema)
    if wanted is not None and held:
        body["response_format"] = wanted
    return CallRequest(
        caller=caller_of(run),
        body=body,
        task_class=job.task_class,
        routing_mode=job.routing_mode or None,
        respond_async=True,
        call_id=run.call_id,
        patience=PATIENCE_SECONDS,
    )


async def make(prepared: Prepared, runtime: Runtime) -> Attempt:
    """Make the call, and say how it ended; nothing is raised, not even where it is cancelled."""
    run, request = prepared.run, prepared.request
    seconds = run.job.max_runtime_seconds
    try:
        await asyncio.sleep(_until_start(run, timezone.now()))
        if request is None:
            return Attempt(status=RunStatus.FAILED, reason=_shortened(prepared.fault))
        async with asyncio.timeout(seconds):
            # Settled first, so that the ledger has the cost by the time the run shows it.
            result = await calls.execute(request, runtime=runtime, settled=True)
        # A long answer takes a moment to check, and other runs go on meanwhile.
        return await asyncio.to_thread(answered, run, result.text, _columns(result))
    except asyncio.CancelledError:
        return Attempt(status=RunStatus.CANCELLED)
    except CallError as error:
        return attempt_of(error)
    except TimeoutError:
        return _failed(
            f"The call took longer than {seconds:,} s and was given up.",
            FailureClass.PROVIDER_TIMEOUT,
        )
    except Exception:
        logger.exception("Run %s failed by a fault of Palyra's", run.pk)
        return _failed(f"Palyra failed while making the call; its log names run {run.pk}.")


def _until_start(run: CronRun, now: datetime) -> float:
    """Seconds until a run that was dispatched ahead of its time is to start."""
    if run.started_at is None:
        return 0.0
    return max(0.0, min(AHEAD, run.started_at - now).total_seconds())


def answered(run: CronRun, text: str, columns: dict[str, Any]) -> Attempt:
    """The end of a run that the model answered with `text`: it must be what the job wants."""
    job = run.job
    try:
        output = outputs.check(text, output_format=job.output_format, schema=job.output_schema)
    except outputs.OutputFault as fault:
        return Attempt(
            status=RunStatus.FAILED,
            reason=_shortened(f"The answer is not what the job asks for: {fault}"),
            failure_class=INVALID_OUTPUT,
            passes=True,
            columns={**columns, "output": storable_text(text)},
        )
    return Attempt(status=RunStatus.SUCCEEDED, columns={**columns, "output": output})


def attempt_of(error: CallError) -> Attempt:
    """How a run ended whose call gave no answer."""
    columns = {"model": error.model[:200]} if error.model else {}
    reason = _shortened(error.message)
    if isinstance(error, CallUnsettled):
        return Attempt(status=RunStatus.UNCONFIRMED, reason=reason, columns=columns)
    if isinstance(error, CallWaits):
        return Attempt(status=RunStatus.WAITING_FOR_APPROVAL, reason=reason, columns=columns)
    refused = isinstance(error, BudgetBlocked | UnpricedModel)
    # Where nothing was sent, and only a place or a moment is lacking, it comes back by itself.
    deferred = isinstance(error, RateLimited | ProviderUnavailable | LedgerUnavailable)
    failure_class = str(error.detail.get("failure_class", ""))
    return Attempt(
        status=RunStatus.BLOCKED_BY_BUDGET if refused else RunStatus.FAILED,
        reason=reason,
        failure_class=failure_class[:32],
        passes=passes(failure_class),
        deferred=deferred,
        retry_after=error.retry_after,
        columns={**columns, "cost": error.cost},
    )


def passes(failure_class: str) -> bool:
    """Whether a failure of that class may have passed a moment later."""
    known = failure_class in set(FailureClass)
    return known and TRAITS[FailureClass(failure_class)].retryable


def _failed(reason: str, failure_class: str = "") -> Attempt:
    return Attempt(
        status=RunStatus.FAILED,
        reason=reason,
        failure_class=failure_class,
        passes=passes(failure_class),
    )


def _columns(result: CallResult) -> dict[str, Any]:
    return {
        "call_id": result.call_id,
        "model": f"{result.provider}/{result.model}"[:200],
        "explanation": _shortened(" ".join(result.decision.explanation)),
        "input_tokens": result.usage.input,
        "output_tokens": result.usage.output,
        "cost": result.cost,
    }


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def charged(call_id: UUID | None) -> dict[str, Any]:
    """What the ledger says of a call without an answer: some are billed all the same."""
    call = ModelCall.objects.filter(pk=call_id).first() if call_id else None
    if call is None:
        return {}
    return {"model": f"{call.provider}/{call.model}"[:200], "cost": call.cost}
