"""The one way a model call is made: decided, held, made, settled.

The ledger's row and its holds are committed before the first byte goes to a provider, and every way
out of a call, an answer, a failure, a cancellation or a crash, ends in exactly one settlement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
from django.utils import timezone

from governance import chat_request, routing
from governance.amounts import amount_json
from governance.budgets import UNKNOWN, Admission, BudgetEvaluation, Demand
from governance.chat_request import BYTES_PER_TOKEN, ParsedChat
from governance.errors import (
    BudgetBlocked,
    CallError,
    ProviderFailed,
    ProviderRefused,
    UnpricedModel,
)
from governance.ledger import AdmissionRequest, Settlement, never_sent
from governance.models import CallStatus, TaskClass
from governance.pricing import cost
from governance.routing import Route, RoutingDecision
from governance.snapshot import Snapshot
from providers.failures import Failure
from providers.identifiers import new_id
from providers.invocation import Attempt, Invocation, invoke
from providers.requests import Answer, ChatRequest, answer_text
from providers.usage import Usage

if TYPE_CHECKING:
    from governance.runtime import Runtime

# How long after the provider's own time limit a call can still be at work.
EXPIRY_MARGIN = timedelta(seconds=60)
NOTHING_USED = Usage(reported=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: a team, through a surface, and the key, person or run it is for."""

    team_id: int
    surface: str
    api_key_id: int | None = None
    user_id: int | None = None
    job_id: UUID | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """A call to be made; `body` is a chat completion request in OpenAI's format."""

    caller: Caller
    body: Mapping[str, Any]
    task_class: str = TaskClass.PRIMARY_INTERACTIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """An answered call. `cost` is nano-dollars, None if the model has no price."""

    call_id: UUID
    body: dict[str, Any]
    provider: str
    model: str
    usage: Usage
    cost: int | None
    decision: RoutingDecision
    evaluations: tuple[BudgetEvaluation, ...]

    @property
    def text(self) -> str:
        """The text of the first choice, without the NUL that PostgreSQL cannot store."""
        return answer_text(self.body).replace("\0", "")

    @property
    def tightest(self) -> BudgetEvaluation | None:
        """The budget that has the smallest part of its limit left."""
        limited = [said for said in self.evaluations if said.limit]
        return min(limited, key=BudgetEvaluation.share_left, default=None)


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything decided of one call before it is held."""

    call_id: UUID
    chat: ParsedChat
    route: Route
    request: AdmissionRequest

    @property
    def expected_usage(self) -> Usage:
        """What is charged where nobody says what was used."""
        return Usage(
            uncached_input=self.chat.expected_input,
            output=self.chat.expected_output(self.route.output_cap),
            reported=False,
        )


async def execute(request: CallRequest, *, runtime: Runtime, settled: bool = False) -> CallResult:
    """Make the call. With `settled`, return only once its settlement is committed as well.

    Raises a `CallError` that says what happened, what it means and what to do.
    """
    plan = _plan(request, runtime.snapshot, timezone.now())
    admission = await _admit(plan, runtime)
    try:
        invocation = await _invoke(plan, runtime)
    except BaseException as error:
        # A cancelled call and a fault of our own end alike: what was sent may be billed.
        cancelled = isinstance(error, asyncio.CancelledError)
        runtime.ledger.submit(_broken_off(plan, cancelled=cancelled))
        raise
    settlement = _settlement(plan, invocation)
    written = runtime.ledger.submit(settlement)
    if settled:
        await asyncio.shield(asyncio.wrap_future(written))
    outcome = invocation.outcome
    if isinstance(outcome, Failure):
        raise _provider_failed(plan, outcome)
    return CallResult(
        call_id=plan.call_id,
        body=outcome.body,
        provider=plan.route.model.provider.name,
        model=plan.route.model.name,
        usage=settlement.usage,
        cost=settlement.cost,
        decision=plan.route.decision,
        evaluations=admission.evaluations,
    )


def explain(request: CallRequest, snapshot: Snapshot, now: datetime) -> RoutingDecision:
    """What would be decided of the call, without making it. Raises as `execute` does."""
    return _plan(request, snapshot, now).route.decision


def _plan(request: CallRequest, snapshot: Snapshot, now: datetime) -> _Plan:
    chat = chat_request.parse(request.body)
    route = routing.decide(
        chat,
        registry=snapshot.registry,
        prices=snapshot.prices,
        task_class=request.task_class,
        now=now,
    )
    call_id = new_id()
    return _Plan(call_id, chat, route, _admission_request(call_id, request, chat, route, now))


def _admission_request(
    call_id: UUID, request: CallRequest, chat: ParsedChat, route: Route, now: datetime
) -> AdmissionRequest:
    estimated = route.decision.estimate
    token_bound = chat.input_bound + route.output_cap * chat.choices
    expected_output = chat.expected_output(route.output_cap)
    caller = request.caller
    return AdmissionRequest(
        call_id=call_id,
        team_id=caller.team_id,
        admitted_at=now,
        expires_at=now + timedelta(seconds=route.model.provider.total_timeout) + EXPIRY_MARGIN,
        demand=Demand(cost=estimated.upper if estimated else None, tokens=token_bound),
        expected={
            "cost": estimated.expected if estimated else 0,
            "tokens": chat.expected_input + expected_output,
            "requests": 1,
        },
        row={
            "api_key_id": caller.api_key_id,
            "user_id": caller.user_id,
            "job_id": caller.job_id,
            "run_id": caller.run_id,
            "surface": caller.surface,
            "task_class": request.task_class,
            "requested_model": chat.model[:200],
            "provider": route.model.provider.name,
            "model": route.model.name,
            "decision": route.decision.as_json(),
            "price_id": route.price.id if route.price else None,
            "estimate_lower": estimated.lower if estimated else None,
            "estimate_expected": estimated.expected if estimated else None,
            "estimate_upper": estimated.upper if estimated else None,
            "token_bound": token_bound,
            "expected_input_tokens": chat.expected_input,
            "expected_output_tokens": expected_output,
        },
    )


async def _admit(plan: _Plan, runtime: Runtime) -> Admission:
    """Hold for the call, durably. Raises `BudgetBlocked` or `UnpricedModel` if that is refused."""
    pending = runtime.ledger.submit(plan.request)
    try:
        admitted = await asyncio.wrap_future(pending)
    except asyncio.CancelledError:
        released = never_sent(plan.call_id, timezone.now())
        # Too late to withdraw, the hold may be committed all the same; it is released after that.
        if not pending.cancelled():
            pending.add_done_callback(lambda _: runtime.ledger.submit(released))
        raise
    admission: Admission = admitted.admission
    if admission.blocking is not None:
        raise _blocked(plan.call_id, admission.blocking)
    return admission


async def _invoke(plan: _Plan, runtime: Runtime) -> Invocation:
    return await invoke(
        ChatRequest(model=plan.route.model, body=plan.chat.body, output_cap=plan.route.output_cap),
        runtime.transport,
    )


def _settlement(plan: _Plan, invocation: Invocation) -> Settlement:
    outcome = invocation.outcome
    usage = _usage(plan, outcome)
    failed = isinstance(outcome, Failure)
    return Settlement(
        call_id=plan.call_id,
        status=CallStatus.FAILED if failed else CallStatus.SUCCEEDED,
        settled_at=timezone.now(),
        usage=usage,
        cost=_cost(plan, usage, outcome),
        failure_class=outcome.failure_class if isinstance(outcome, Failure) else "",
        error=outcome.message if isinstance(outcome, Failure) else "",
        latency_ms=sum(attempt.latency_ms for attempt in invocation.attempts),
        attempts=[attempt.as_json() for attempt in invocation.attempts],
    )


def _usage(plan: _Plan, outcome: Answer | Failure) -> Usage:
    """What was used, as far as anyone says so; unknown is not zero."""
    if isinstance(outcome, Failure):
        return plan.expected_usage if outcome.may_be_billed else NOTHING_USED
    if outcome.usage is not None:
        return outcome.usage
    # Everything generated counts: every choice, tool calls and reasoning as much as text.
    answered = len(orjson.dumps([choice["message"] for choice in outcome.body["choices"]]))
    return Usage(
        uncached_input=plan.chat.expected_input,
        output=max(1, -(-answered // BYTES_PER_TOKEN)),
        reported=False,
    )


def _cost(plan: _Plan, usage: Usage, outcome: Answer | Failure) -> int | None:
    if isinstance(outcome, Failure) and not outcome.may_be_billed:
        return 0
    return cost(plan.route.price, usage) if plan.route.price else None


def _broken_off(plan: _Plan, *, cancelled: bool) -> Settlement:
    usage = plan.expected_usage
    return Settlement(
        call_id=plan.call_id,
        status=CallStatus.CANCELLED if cancelled else CallStatus.FAILED,
        settled_at=timezone.now(),
        usage=usage,
        cost=cost(plan.route.price, usage) if plan.route.price else None,
        attempts=[_attempt_broken_off(plan)],
        error="The call was cancelled while the provider was at work; the expected cost is charged."
        if cancelled
        else "Palyra failed while the provider was at work; the expected cost is charged.",
    )


def _attempt_broken_off(plan: _Plan) -> dict[str, Any]:
    took = timezone.now() - plan.request.admitted_at
    return Attempt(
        provider=plan.route.model.provider.name,
        model=plan.route.model.name,
        outcome="broken_off",
        message="No answer was waited for.",
        latency_ms=round(took.total_seconds() * 1000),
    ).as_json()


def _blocked(call_id: UUID, said: BudgetEvaluation) -> CallError:
    kind = UnpricedModel if said.outcome == UNKNOWN else BudgetBlocked
    return kind(
        said.explanation,
        call_id=call_id,
        detail={
            "policy": said.policy,
            "scope": said.scope,
            "metric": said.metric,
            "limit": amount_json(said.metric, said.limit),
            "consumed": amount_json(said.metric, said.consumed),
            "held": amount_json(said.metric, said.held),
            "requested": amount_json(said.metric, said.requested),
            "resets_at": said.resets_at.isoformat() if said.resets_at else None,
        },
    )


def _provider_failed(plan: _Plan, failure: Failure) -> CallError:
    kind = ProviderRefused if failure.callers_fault else ProviderFailed
    return kind(
        f"{plan.route.decision.actual} gave no answer. {failure.message}",
        call_id=plan.call_id,
        detail={
            "failure_class": failure.failure_class,
            "provider": plan.route.model.provider.name,
            "upstream_status": failure.http_status,
        },
    )
