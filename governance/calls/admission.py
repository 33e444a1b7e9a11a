"""Holding for a call: at the first option that has a place, before anything is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from django.utils import timezone

from governance.budgets import Admission, Demand
from governance.calls import counting
from governance.calls.planning import CallPlan, Spending, expiry
from governance.calls.refusing import refused
from governance.errors import CallError, CallGone, ProviderFailed, ProviderUnavailable
from governance.leases import BUSY, demand_for
from governance.ledger import AdmissionRequest, Admitted, Shorter, Unmade, never_sent
from governance.models import TaskClass
from governance.routing import Option, cheaper
from providers.failures import FailureClass
from providers.invocation import Attempt, Plan
from providers.registry import CredentialEntry

if TYPE_CHECKING:
    from governance.runtime import Runtime

# Seconds a call waits for a place at its provider, by what it is for.
PATIENCE = {
    TaskClass.PRIMARY_INTERACTIVE: 0.75,
    TaskClass.BACKGROUND_AUTOMATION: 0.2,
    TaskClass.AUXILIARY_SUMMARY: 0.15,
    TaskClass.AUXILIARY_RECALL: 0.15,
    TaskClass.AUXILIARY_CLASSIFICATION: 0.1,
    TaskClass.AUXILIARY_EXTRACTION: 0.15,
    TaskClass.AUXILIARY_VISION: 0.2,
}


@dataclass(frozen=True, slots=True)
class Held:
    """A call that may begin: what the budgets said, and what to try.

    Its `plan` goes on from here: it asks for less output than the one it was held for, where
    budgets pay for no more.
    """

    plan: CallPlan
    admission: Admission
    invocation: Plan


@dataclass(frozen=True, slots=True)
class _Usable:
    """An option whose provider can be called now, with one of the credentials."""

    option: Option
    credentials: tuple[CredentialEntry | None, ...]


async def hold(plan: CallPlan, runtime: Runtime) -> Held:
    """Hold for the call at its first option that can be called, has a place, and is paid for.

    What budgets say of the model chosen is final, but for those that would rather have a cheaper
    one; a stand-in that they refuse is passed over. Raises `BudgetBlocked`, `UnpricedModel` or
    `ProviderUnavailable`; each is in the ledger. A call that had waited for approval may raise
    `CallGone`, and waits on where no provider has a place for it.
    """
    usable, skipped = _usable(plan, runtime)
    for index in range(len(usable)):
        plan, usable, admitted = await _asked(plan, usable, index, runtime, degrades=True)
        if admitted.admission.may_degrade and usable[index].option is plan.route.chosen:
            degraded = await _degraded(plan, admitted.admission, runtime)
            if degraded is not None:
                return degraded
            plan, usable, admitted = await _asked(plan, usable, index, runtime, degrades=False)
        option = usable[index].option
        if admitted.busy:
            skipped.append(_skipped(option, BUSY))
            continue
        refusing = admitted.admission.blocking
        if refusing is not None:
            if option is plan.route.chosen:
                raise await refused(plan, admitted.admission)
            skipped.append(_skipped(option, refusing.explanation))
            continue
        return _held(plan, usable[index:], admitted, skipped)
    raise _unmade(plan, skipped, runtime)


async def _degraded(plan: CallPlan, refused: Admission, runtime: Runtime) -> Held | None:
    """The call held at the dearest of the cheaper models that the budgets pay for, whole."""
    because = refused.refusals[0].explanation
    for option in cheaper(plan.route):
        instead = plan.instead(option, because)
        usable, _ = _usable(instead, runtime)
        if not usable or usable[0].option is not option:
            continue
        admitted = await _submitted(_standing_in(instead, usable[0]), runtime)
        if admitted.countable:
            instead, usable = await _counted(instead, usable, option)
            admitted = await _submitted(_standing_in(instead, usable[0]), runtime)
        if not admitted.busy and admitted.admission.blocking is None:
            return _held(instead, usable, admitted, [])
    return None


async def _asked(
    plan: CallPlan, usable: list[_Usable], index: int, runtime: Runtime, *, degrades: bool
) -> tuple[CallPlan, list[_Usable], Admitted]:
    """The ledger's answer to the option at `index`; where budgets may pay for what the input is and
    not for its bound, after counting it, with the call and its options as they are then."""
    admitted = await _admitted(plan, usable[index], runtime, degrades=degrades)
    if admitted.countable:
        plan, usable = await _counted(plan, usable, usable[index].option)
        admitted = await _admitted(plan, usable[index], runtime, degrades=degrades)
    return plan, usable, admitted


async def _counted(
    plan: CallPlan, usable: Sequence[_Usable], option: Option
) -> tuple[CallPlan, list[_Usable]]:
    """The call with its input counted, and the same options of it."""
    plan = await asyncio.to_thread(counting.counted, plan, option)
    return plan, [replace(one, option=plan.option_at(one.option.model)) for one in usable]


def _held(
    plan: CallPlan, usable: Sequence[_Usable], admitted: Admitted, skipped: Sequence[Attempt]
) -> Held:
    """The call as it goes on from the first of `usable`, where it is held."""
    first = usable[0]
    if admitted.output_cap is not None:
        plan = plan.with_cap(first.option, admitted.output_cap)
    rest = tuple(plan.option_at(one.option.model).request() for one in usable)
    invocation = Plan(rest, _chosen(first, admitted), tuple(skipped))
    return Held(plan.said(admitted.admission), admitted.admission, invocation)


async def hold_for_nothing(plan: CallPlan, model: str, runtime: Runtime) -> Admission:
    """Enter a call that is answered from what was kept: budgets of requests count it, others do
    not, and no provider is asked. Raises `BudgetBlocked`."""
    spending = Spending(plan.route.chosen)
    provider, _, name = model.partition("/")
    nothing = {
        "estimate_lower": 0,
        "estimate_expected": 0,
        "estimate_upper": 0,
        "token_bound": 0,
        "output_bound": 0,
    }
    tokens = {"expected_input_tokens": 0, "expected_output_tokens": 0}
    request = AdmissionRequest(
        call_id=plan.call_id,
        subject=plan.subject(spending.option),
        admitted_at=plan.begun_at,
        expires_at=expiry(spending.option, timezone.now()),
        demand=Demand(cost=0, input_tokens=0, output_tokens=0),
        expected={"cost": 0, "tokens": 0, "input_tokens": 0, "output_tokens": 0, "requests": 1},
        row=plan.columns()
        | spending.columns()
        | nothing
        | tokens
        | {"cached": True, "provider": provider, "model": name, "price_id": None},
        approvals=plan.request.approvals,
        waits_for_approval=plan.request.may_wait,
    )
    admitted = await _submitted(request, runtime)
    if admitted.admission.blocking is not None:
        raise await refused(plan, admitted.admission)
    return admitted.admission


def _usable(plan: CallPlan, runtime: Runtime) -> tuple[list[_Usable], list[Attempt]]:
    """The options in order that can be called now, and those before any of them that cannot."""
    usable: list[_Usable] = []
    skipped: list[Attempt] = []
    now = timezone.now()
    for option in plan.route.options:
        # Only whoever comes first has its turn here: a fallback has its own when it is tried.
        credentials, why_not = runtime.providers.breakers.usable(
            option.model.provider, now, turn=not usable
        )
        if credentials:
            usable.append(_Usable(option, credentials))
        elif not usable:
            skipped.append(_skipped(option, why_not))
    return usable, skipped


async def _admitted(
    plan: CallPlan, candidate: _Usable, runtime: Runtime, *, degrades: bool
) -> Admitted:
    """The ledger's answer; where the provider is busy, after waiting for a place."""
    request = replace(_request(plan, candidate, timezone.now()), degrades=degrades)
    admitted = await _submitted(request, runtime)
    if not admitted.busy:
        return admitted
    patience = _patience(plan)
    until = asyncio.get_running_loop().time() + patience
    request = _waiting_for_place(request, timedelta(seconds=patience))
    provider_id = candidate.option.model.provider.id
    line = runtime.lease_line.turn(provider_id, until=until, background=plan.in_background)
    async with line as turn:
        while turn.came and admitted.busy and turn.time_left > 0:
            # At once for the first time: from here on nobody in the background comes before it.
            admitted = await _submitted(request, runtime)
            if admitted.busy:
                await turn.room()
    return admitted


def _patience(plan: CallPlan) -> float:
    asked = plan.request.patience
    return PATIENCE[TaskClass(plan.request.task_class)] if asked is None else asked


def _waiting_for_place(request: AdmissionRequest, patience: timedelta) -> AdmissionRequest:
    """The request of one that may begin as much later."""
    if request.lease is None:
        return request
    lease = replace(request.lease, waits_until=timezone.now() + patience)
    return replace(request, lease=lease, expires_at=request.expires_at + patience)


async def _submitted(request: AdmissionRequest, runtime: Runtime) -> Admitted:
    """Have the ledger decide; a caller that goes away meanwhile leaves no hold behind."""
    pending = runtime.ledger.submit(request)
    try:
        admitted: Admitted = await asyncio.wrap_future(pending)
    except asyncio.CancelledError:
        released = never_sent(request.call_id, timezone.now(), owner=runtime.process_id)
        # Too late to withdraw, the hold may be committed all the same; it is released after that.
        if not pending.cancelled():
            pending.add_done_callback(lambda _: runtime.ledger.submit(released))
        raise
    if admitted.gone:
        raise CallGone("This call no longer waits: it was begun, denied or given up meanwhile.")
    return admitted


def _request(plan: CallPlan, candidate: _Usable, now: datetime) -> AdmissionRequest:
    """What the ledger is asked, and what of it may be given up: a shorter answer is one still,
    shorter embeddings or half a transcript are not."""
    option, least = candidate.option, plan.asked.least_output
    request = _as_asked(plan, option, candidate, now)
    tightest = partial(counting.tightest, plan, option)
    if least is None:
        return replace(request, tightest=tightest)

    def demand(cap: int) -> Demand:
        return Spending(replace(option, cap=cap)).demand

    def at_cap(cap: int) -> AdmissionRequest:
        shorter = plan.with_cap(option, cap)
        return _as_asked(shorter, shorter.option_at(option.model), candidate, now)

    shorter = Shorter(
        floor=max(plan.output_floor, least),
        most=option.output_cap - 1,
        demand=demand,
        at_cap=at_cap,
    )
    return replace(request, shorter=shorter, tightest=tightest)


def _standing_in(plan: CallPlan, candidate: _Usable) -> AdmissionRequest:
    """The whole call, in place of one at the model that was chosen."""
    request = _as_asked(plan, candidate.option, candidate, timezone.now())
    tightest = partial(counting.tightest, plan, candidate.option, whole=True)
    return replace(request, stands_in=True, tightest=tightest)


def _as_asked(
    plan: CallPlan, option: Option, candidate: _Usable, now: datetime
) -> AdmissionRequest:
    spending = Spending(option)
    lease = demand_for(option.model.provider, candidate.credentials, background=plan.in_background)
    return AdmissionRequest(
        call_id=plan.call_id,
        subject=plan.subject(option),
        admitted_at=plan.begun_at,
        expires_at=expiry(option, now),
        demand=spending.demand,
        expected=spending.expected,
        row=plan.columns() | spending.columns(),
        lease=lease if lease.keys else None,
        stands_in=option is not plan.route.chosen,
        approvals=plan.request.approvals,
        waits_for_approval=plan.request.may_wait,
        waited=plan.request.waiting is not None,
    )


def _chosen(candidate: _Usable, admitted: Admitted) -> CredentialEntry | None:
    if admitted.credential_id is None:
        return candidate.credentials[0]
    return next(
        one for one in candidate.credentials if one is not None and one.id == admitted.credential_id
    )


def _skipped(option: Option, why: str) -> Attempt:
    return Attempt(
        provider=option.model.provider.name,
        model=option.model.name,
        outcome="skipped",
        message=why,
    )


def _unmade(plan: CallPlan, skipped: list[Attempt], runtime: Runtime) -> CallError:
    """Record that no provider could take the call; nothing was sent, and nothing is charged."""
    reasons = " ".join(f"{one.provider}/{one.model}: {one.message}" for one in skipped)
    message = f"No provider can take this call now, so nothing was sent. {reasons}"
    passing = any(_recovers(option) for option in plan.route.options)
    failure_class = FailureClass.TRANSIENT_UPSTREAM if passing else FailureClass.AUTH_INVALID
    if plan.request.waiting is None:
        _record_unmade(plan, skipped, runtime, failure_class=failure_class, error=message)
    detail = {"failure_class": failure_class, "provider": plan.route.decision.provider}
    kind, wait = (ProviderUnavailable, 1.0) if passing else (ProviderFailed, None)
    error = kind(message, call_id=plan.call_id, detail=detail, retry_after=wait)
    return error.of_call(model=plan.route.chosen.name, cost=0, tightest=None)


def _record_unmade(
    plan: CallPlan, skipped: list[Attempt], runtime: Runtime, *, failure_class: str, error: str
) -> None:
    busy = bool(skipped) and all(one.message == BUSY for one in skipped)
    columns = plan.columns() | Spending(plan.route.chosen).columns()
    columns["decision"] |= {"action": "defer"} if busy else {}
    runtime.ledger.submit(
        Unmade(
            call_id=plan.call_id,
            team_id=plan.request.caller.team_id,
            admitted_at=plan.begun_at,
            failure_class=failure_class,
            error=error,
            row=columns,
            attempts=[one.as_json() for one in skipped],
        )
    )


def _recovers(option: Option) -> bool:
    """Whether waiting helps: not where every credential is missing or cannot be read."""
    credentials = option.model.provider.credentials
    return not credentials or any(not one.fault for one in credentials)
