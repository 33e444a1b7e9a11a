"""The way of a call from its decision to its settlement."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.utils import timezone

from governance.budgets import Admission, BudgetEvaluation, tightest
from governance.calls import settlement
from governance.calls.admission import hold, hold_for_nothing
from governance.calls.conditions import conditions
from governance.calls.faults import provider_failed
from governance.calls.gate import LedgerGate
from governance.calls.keeping import Keeping
from governance.calls.planning import CallPlan, plan
from governance.calls.remembering import remember, remembers
from governance.calls.request import CallRequest
from governance.calls.stream import CallStream, KeptStream, LiveStream
from governance.errors import CallError, CallUnsettled, LedgerUnavailable
from governance.ledger import Settlement
from governance.routing import RoutingDecision
from providers import invocation
from providers.failures import Failure
from providers.invocation import Attempt, Invocation, OpenedStream
from providers.requests import JSON_TYPE, Answer, ModelRequest, answer_text
from providers.response_cache import CachedAnswer
from providers.usage import Usage

if TYPE_CHECKING:
    from governance.runtime import Runtime

UNSETTLED = (
    "The call was made, and its end could not be written to the ledger. Whether it is charged as "
    "answered shows there later; asking again would pay for it once more."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallResult:
    """An answered call. `cost` is nano-dollars, None if the model has no price.

    `body` is what the model answered in OpenAI's format, text where `content_type` is not JSON.
    `cached` says that it was kept from a call just before, `cacheable` that it may be at all.
    """

    call_id: UUID
    body: Any
    content_type: str = JSON_TYPE
    provider: str
    model: str
    usage: Usage
    cost: int | None
    decision: RoutingDecision
    evaluations: tuple[BudgetEvaluation, ...]
    attempts: int = 1
    cached: bool = False
    cacheable: bool = False

    @property
    def text(self) -> str:
        """The text of the first choice, without the NUL that PostgreSQL cannot store."""
        return answer_text(self.body).replace("\0", "")

    @property
    def tightest(self) -> BudgetEvaluation | None:
        """The budget that has the smallest part of its limit left."""
        return tightest(self.evaluations)


async def execute(request: CallRequest, *, runtime: Runtime, settled: bool = False) -> CallResult:
    """Make the call. With `settled`, return or raise only once its settlement is committed as well.

    Raises a `CallError` that says what happened, what it means and what to do.
    """
    planned = _planned(request, runtime)
    keeping = Keeping(planned, runtime)
    kept = await keeping.read()
    if kept is not None:
        return await _from_kept(planned, kept, runtime, settled=settled)
    held = await hold(planned, runtime)
    planned = held.plan
    gate, record = LedgerGate(planned, runtime), list[Attempt]()
    try:
        made = await invocation.invoke(held.invocation, runtime.providers, gate, record=record)
        # Within, because it looks into what a host said: it must not fail without a settlement.
        ended = settlement.settlement_of(planned, made)
    except BaseException as error:
        broken_off = _break_off(planned, record, runtime, error)
        if settled:
            with contextlib.suppress(LedgerUnavailable):
                await _committed(broken_off)
        raise
    answer = None if isinstance(made.outcome, Failure) else made.outcome.body
    written = _submit(planned, ended, runtime, answer)
    if settled:
        try:
            await _committed(written)
        except LedgerUnavailable:
            raise CallUnsettled(UNSETTLED, call_id=planned.call_id) from None
    if isinstance(made.outcome, Failure):
        raise _failed(planned, held.admission, made.outcome, made.request, ended.cost)
    await keeping.write(made.outcome, made.request)
    result = _result(planned, held.admission, made, made.outcome, ended)
    return replace(result, cacheable=keeping.applies)


async def _committed(written: Future[Any]) -> None:
    await asyncio.shield(asyncio.wrap_future(written))


async def open_stream(request: CallRequest, *, runtime: Runtime) -> CallStream:
    """Begin a chat whose answer comes in pieces; it is returned when the first has come.

    Raises a `CallError` if none comes. Close what is returned in any case.
    """
    planned = _planned(request, runtime, stream=True)
    keeping = Keeping(planned, runtime)
    kept = await keeping.read()
    if kept is not None:
        admission = await hold_for_nothing(planned, kept.model, runtime)
        _submit(planned, settlement.cached_settlement(planned), runtime, kept.answer.body)
        return KeptStream(planned, admission, kept)
    held = await hold(planned, runtime)
    planned = held.plan
    gate, record = LedgerGate(planned, runtime), list[Attempt]()
    try:
        opened = await invocation.open_stream(
            held.invocation, runtime.providers, gate, record=record
        )
    except BaseException as error:
        _break_off(planned, record, runtime, error)
        raise
    if isinstance(opened, OpenedStream):
        return LiveStream(
            planned,
            held.admission,
            opened,
            keeping,
            runtime,
            remembered=remembers(planned, runtime),
        )
    ended = settlement.settlement_of(planned, opened)
    _submit(planned, ended, runtime)
    assert isinstance(opened.outcome, Failure)
    raise _failed(planned, held.admission, opened.outcome, opened.request, ended.cost)


def _failed(
    planned: CallPlan,
    admission: Admission,
    failure: Failure,
    request: ModelRequest,
    cost: int | None,
) -> CallError:
    return provider_failed(planned, failure, request).of_call(
        model=request.model.qualified_name, cost=cost, tightest=tightest(admission.evaluations)
    )


def _planned(request: CallRequest, runtime: Runtime, *, stream: bool = False) -> CallPlan:
    """The call decided as things stand now."""
    now, snapshot = timezone.now(), runtime.snapshot
    return plan(
        request,
        snapshot,
        now,
        stream=stream,
        conditions=conditions(request, runtime, snapshot, now),
    )


async def _from_kept(
    planned: CallPlan, kept: CachedAnswer, runtime: Runtime, *, settled: bool
) -> CallResult:
    """Answer with what is kept; it is entered and settled like any other call, for nothing."""
    admission = await hold_for_nothing(planned, kept.model, runtime)
    ended = settlement.cached_settlement(planned)
    written = _submit(planned, ended, runtime, kept.answer.body)
    if settled:
        await _committed(written)
    provider, _, model = kept.model.partition("/")
    return CallResult(
        call_id=planned.call_id,
        body=kept.answer.body,
        content_type=kept.answer.content_type,
        provider=provider,
        model=model,
        usage=ended.usage,
        cost=0,
        decision=planned.route.decision,
        evaluations=admission.evaluations,
        attempts=0,
        cached=True,
        cacheable=True,
    )


def _result(
    planned: CallPlan, admission: Admission, made: Invocation, answer: Answer, ended: Settlement
) -> CallResult:
    return CallResult(
        call_id=planned.call_id,
        body=answer.body,
        content_type=answer.content_type,
        provider=made.request.model.provider.name,
        model=made.request.model.name,
        usage=ended.usage,
        cost=ended.cost,
        decision=planned.route.decision,
        evaluations=admission.evaluations,
        attempts=sum(one.outcome != "skipped" for one in made.attempts),
    )


def _break_off(
    planned: CallPlan, record: list[Attempt], runtime: Runtime, error: BaseException
) -> Future[Any]:
    """A cancelled call and a fault of our own end alike: what was sent may be billed."""
    cancelled = isinstance(error, asyncio.CancelledError)
    return _submit(planned, settlement.broken_off(planned, record, cancelled=cancelled), runtime)


def _submit(
    planned: CallPlan, ended: Settlement, runtime: Runtime, answer: Any = None
) -> Future[Any]:
    written = runtime.settle(ended, planned.limited_providers)
    remember(planned, runtime, written, lambda: answer)
    return written
