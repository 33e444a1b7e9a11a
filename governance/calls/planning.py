"""A call before it is held: what is asked, where it may go, and what each way may use."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from governance import routing
from governance.budgets import Admission, Demand, Subject
from governance.calls.request import Caller, CallRequest
from governance.models import TaskClass
from governance.parsed_request import ParsedRequest
from governance.routing import (
    MOST_CANDIDATES,
    NO_CONDITIONS,
    Conditions,
    Mode,
    Option,
    Route,
    clamped,
    degraded,
)
from governance.snapshot import Snapshot
from providers.identifiers import new_id
from providers.registry import AUTO, ModelEntry
from providers.requests import ModelRequest

# How long after the provider's own time limit a call can still be at work.
EXPIRY_MARGIN = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Spending:
    """What one option may use and is likely to, together with failed attempts that may be billed.

    Costs are nano-dollars, None where a model has no price.
    """

    option: Option
    billed: tuple[Option, ...] = ()

    @property
    def demand(self) -> Demand:
        """The most it may use."""
        estimate = self.option.estimate
        cost = None if estimate is None else estimate.upper + self.billed_cost
        billed_input, billed_output = self._billed_tokens
        return Demand(
            cost=cost,
            input_tokens=self.option.input_bound + billed_input,
            output_tokens=self.option.output_bound + billed_output,
        )

    @property
    def expected(self) -> dict[str, int]:
        """By metric, what is charged if nobody ever says what it used."""
        expected_input, expected_output = self.expected_tokens
        return {
            "cost": self.expected_cost,
            "tokens": expected_input + expected_output,
            "input_tokens": expected_input,
            "output_tokens": expected_output,
            "requests": 1,
        }

    @property
    def expected_cost(self) -> int:
        estimate = self.option.estimate
        return (estimate.expected if estimate else 0) + self.billed_cost

    @property
    def billed_cost(self) -> int:
        """What the billed attempts are charged."""
        return sum(one.estimate.expected if one.estimate else 0 for one in self.billed)

    @property
    def _billed_tokens(self) -> tuple[int, int]:
        """Input and output of the billed attempts."""
        every = [one.expected_tokens for one in self.billed]
        return sum(one[0] for one in every), sum(one[1] for one in every)

    @property
    def expected_tokens(self) -> tuple[int, int]:
        """Input and output."""
        every = [one.expected_tokens for one in (self.option, *self.billed)]
        return sum(one[0] for one in every), sum(one[1] for one in every)

    def columns(self) -> dict[str, Any]:
        """The columns of the call's row that say where it goes and what it may use."""
        option, estimate = self.option, self.option.estimate
        expected_input, expected_output = self.expected_tokens
        return {
            "provider": option.model.provider.name,
            "model": option.model.name,
            "price_id": option.price.id if option.price else None,
            "estimate_lower": estimate.lower if estimate else None,
            "estimate_expected": self.expected_cost if estimate else None,
            "estimate_upper": self.demand.cost,
            "token_bound": self.demand.tokens,
            "output_bound": self.demand.output_tokens,
            "expected_input_tokens": expected_input,
            "expected_output_tokens": expected_output,
        }


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Everything decided of one call before it is held.

    `output_floor` is the least output, in tokens for each choice, that is worth asking for where
    budgets do not pay for all of it.
    """

    call_id: UUID
    request: CallRequest
    asked: ParsedRequest
    route: Route
    begun_at: datetime
    streamed: bool
    output_floor: int
    _by_model: dict[int, Option] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_model = {option.model.id: option for option in self.route.options}
        object.__setattr__(self, "_by_model", by_model)

    @property
    def limited_providers(self) -> frozenset[int]:
        """The providers it may go to at which others may be waiting for its place."""
        providers = (option.model.provider for option in self.route.options)
        return frozenset(
            one.id
            for one in providers
            if one.concurrency_limit is not None or one.credential_concurrency_limit is not None
        )

    @property
    def in_background(self) -> bool:
        """Whether calls that somebody waits for go first."""
        return self.request.task_class == TaskClass.BACKGROUND_AUTOMATION

    def option_of(self, request: ModelRequest) -> Option:
        """The option that `request` was made of."""
        return self.option_at(request.model)

    def option_at(self, model: ModelEntry) -> Option:
        """The option that is that model."""
        return self._by_model[model.id]

    def option_named(self, provider: str, model: str) -> Option:
        """The option that an attempt was made at."""
        return next(
            one
            for one in self.route.options
            if (one.model.provider.name, one.model.name) == (provider, model)
        )

    def with_cap(self, option: Option, cap: int) -> CallPlan:
        """The same call with at most `cap` output tokens for each choice, wherever it goes:
        that is what the budgets pay for at `option`."""
        return replace(self, route=clamped(self.route, option, cap))

    def said(self, admission: Admission) -> CallPlan:
        """The same call, its decision saying what the budgets say of it."""
        decision = replace(self.route.decision, budget=admission.gravest)
        return replace(self, route=replace(self.route, decision=decision))

    def instead(self, option: Option, because: str) -> CallPlan:
        """The same call at the cheaper `option`, `because` the budgets say so."""
        return replace(self, route=degraded(self.route, option, because))

    def spending(self, request: ModelRequest, billed: tuple[ModelRequest, ...]) -> Spending:
        """What `request` may use, after failed attempts that may be billed."""
        return Spending(self.option_of(request), tuple(self.option_of(one) for one in billed))

    def subject(self, option: Option) -> Subject:
        """Whose call it is, where it goes to `option`."""
        return subject_of(self.request.caller, self.call_id, option.model)

    def columns(self) -> dict[str, Any]:
        """The columns of the call's row that stay as they are wherever it goes."""
        caller = self.request.caller
        return {
            "api_key_id": caller.api_key_id,
            "user_id": caller.user_id,
            "job_id": caller.job_id,
            "run_id": caller.run_id,
            "session": caller.session,
            "routing_mode": self.route.decision.mode,
            "surface": caller.surface,
            "task_class": self.request.task_class,
            "role": self.asked.role,
            "streamed": self.streamed,
            "requested_model": self.asked.model[:200],
            "decision": self.route.decision.as_json(),
        }


def plan(
    request: CallRequest,
    snapshot: Snapshot,
    now: datetime,
    *,
    stream: bool = False,
    conditions: Conditions = NO_CONDITIONS,
    most_candidates: int = MOST_CANDIDATES,
) -> CallPlan:
    """Decide the call. Raises `InvalidRequest`, `UnknownModel` or `ModelNotAllowed`."""
    asked = request.parse(stream=stream)
    call_id = request.waiting or request.call_id or new_id()
    team = snapshot.teams.get(request.caller.team_id)
    route = routing.decide(
        asked,
        registry=snapshot.registry,
        prices=snapshot.prices,
        task_class=request.task_class,
        now=now,
        mode_for=lambda model: _mode(request, asked, snapshot, call_id, model),
        allowed=team.allowed_models if team else (),
        conditions=conditions,
        most_candidates=most_candidates,
    )
    return CallPlan(call_id, request, asked, route, now, stream, snapshot.settings.output_floor)


def _mode(
    request: CallRequest,
    asked: ParsedRequest,
    snapshot: Snapshot,
    call_id: UUID,
    model: ModelEntry,
) -> Mode:
    """The routing mode of a call that would go to `model` without routing."""
    caller = request.caller
    subject = subject_of(caller, call_id, model)
    team = snapshot.teams.get(caller.team_id)
    return routing.resolve(
        policies=[
            policy.routing_mode
            for policy in snapshot.policies
            if policy.routing_mode and policy.enabled and policy.counts(subject)
        ],
        request=request.routing_mode,
        key=snapshot.key_mode(caller.api_key_id),
        team=team.routing_mode if team else "",
        auto=asked.model == AUTO,
        installation=snapshot.settings.routing_mode,
    )


def subject_of(caller: Caller, call_id: UUID, model: ModelEntry) -> Subject:
    """Whose call it is, where it goes to `model`."""
    return Subject(
        team_id=caller.team_id,
        call_id=call_id,
        provider=model.provider.name,
        model=model.name,
        api_key_id=caller.api_key_id,
        user_id=caller.user_id,
        session=caller.session,
        job_id=caller.job_id,
        run_id=caller.run_id,
    )


def expiry(option: Option, now: datetime) -> datetime:
    """When a call that goes to `option` now is surely over, retries and waiting included."""
    provider = option.model.provider
    tries = 1 + provider.max_retries
    return now + timedelta(seconds=provider.total_timeout * tries) + EXPIRY_MARGIN
