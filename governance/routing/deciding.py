"""The decision itself: what is asked for, what may be used, what is best, and what is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from heapq import nsmallest

from governance import complexity
from governance.parsed_request import ParsedRequest
from governance.pricing import PriceEntry, effective
from governance.routing.conditions import NO_CONDITIONS, Conditions
from governance.routing.decision import MOST_CANDIDATES, Candidate, Compared, RoutingDecision
from governance.routing.exclusions import BUDGET, PASSING, Exclusion, allows, exclusion
from governance.routing.modes import ENFORCED, SUGGEST, Mode
from governance.routing.names import baseline_of, named_models
from governance.routing.options import Option
from governance.routing.rules import recommend
from governance.routing.words import (
    CLAMPED,
    COUNTED,
    DEGRADED,
    Choice,
    clamping,
    counting,
    degrading,
    explain,
    reason_codes,
)
from providers import candidates
from providers.registry import ModelEntry, Registry

# How many models a call is tried at that budgets refuse at the one chosen.
MOST_CHEAPER = 6


@dataclass(frozen=True, slots=True)
class Route:
    """A decision with what making the call takes: the model chosen, then its fallbacks in order.

    `compared` is the other choice, where its cost is to be recorded, and `eligible` are all models
    that may take the call.
    """

    decision: RoutingDecision
    options: tuple[Option, ...]
    compared: Option | None = None
    eligible: tuple[Option, ...] = ()

    @property
    def chosen(self) -> Option:
        """The model chosen."""
        return self.options[0]


def clamped(route: Route, held: Option, cap: int) -> Route:
    """The same route with at most `cap` output tokens for each choice, which is what the budgets
    pay for at `held`, one of its options; the decision says so."""
    options = tuple(replace(one, cap=cap) for one in route.options)
    decision = replace(
        route.decision,
        output_cap=min(route.decision.output_cap, cap),
        estimate=options[0].estimate,
        reason_codes=(*route.decision.reason_codes, CLAMPED),
        explanation=(
            *route.decision.explanation,
            clamping(held, cap, replace(held, cap=cap).estimate),
        ),
    )
    return replace(route, decision=decision, options=options)


def counted(route: Route, bounds: Mapping[int, int], asked: Option) -> Route:
    """The same route with `bounds`, by model, in place of the bounds on the input, for budgets do
    not pay for that at `asked`, one of the models; the decision says so."""
    new = {
        one.model.id: replace(one, counted=bounds.get(one.model.id))
        for one in (*route.eligible, *route.options)
    }
    options = tuple(new[one.model.id] for one in route.options)
    decision = replace(
        route.decision,
        estimate=options[0].estimate,
        reason_codes=(*route.decision.reason_codes, COUNTED),
        explanation=(*route.decision.explanation, counting(new[asked.model.id])),
    )
    eligible = tuple(new[one.model.id] for one in route.eligible)
    return replace(route, decision=decision, options=options, eligible=eligible)


def cheaper(route: Route) -> tuple[Option, ...]:
    """The models that may take the call for less than the one chosen, those that cost nearly as
    much first; few enough to try them all, with the cheapest of them in any case."""
    top = route.chosen.estimate
    priced = [(one.estimate.upper, one) for one in route.eligible if one.estimate is not None]
    less = [one for one in priced if top is None or one[0] < top.upper]
    ordered = [one for _, one in sorted(less, key=lambda one: (-one[0], one[1].name))]
    return tuple(dict.fromkeys([*ordered[: MOST_CHEAPER - 1], *ordered[-1:]]))


def degraded(route: Route, option: Option, because: str) -> Route:
    """The same route with the cheaper `option` in place of the model chosen, `because` the budgets
    say so; the decision says it. No fallback may cost more than that."""
    most = option.estimate
    fallbacks = tuple(
        one
        for one in route.options[1:]
        if one is not option and one.estimate and most and one.estimate.upper <= most.upper
    )
    credentials = option.model.provider.credentials
    decision = replace(
        route.decision,
        actual=option.name,
        provider=option.model.provider.name,
        model=option.model.name,
        action="degrade",
        output_cap=option.output_cap,
        estimate=most,
        reason_codes=(*route.decision.reason_codes, DEGRADED),
        explanation=(*route.decision.explanation, degrading(route.chosen, option, because)),
        health="",
        credential=credentials[0].name if len(credentials) == 1 else "",
        fallbacks=tuple(one.name for one in fallbacks),
    )
    return replace(route, decision=decision, options=(option, *fallbacks))


def decide(
    asked: ParsedRequest,
    *,
    registry: Registry,
    prices: Mapping[int, Sequence[PriceEntry]],
    task_class: str,
    now: datetime,
    mode_for: Callable[[ModelEntry], Mode],
    allowed: Sequence[str] = (),
    conditions: Conditions = NO_CONDITIONS,
    most_candidates: int = MOST_CANDIDATES,
) -> Route:
    """Choose the model for `asked`. Raises `UnknownModel` if nothing answers to its name, and
    `ModelNotAllowed` if something does that `allowed`, the team's patterns, leave out.

    `mode_for` tells the mode of a call that would go to a model without routing.
    """
    options = {
        model.id: Option(model, asked, effective(prices.get(model.id, ()), now))
        for model in registry.models
        if model.role == asked.role
    }
    permitted = {key for key, one in options.items() if allows(allowed, one.model)}
    named = named_models(asked, registry, permitted)
    baseline = baseline_of(asked, registry, named, options, permitted)
    needs = asked.needs
    excluded = {
        key: exclusion(
            option, baseline, needs=needs, allowed=key in permitted, conditions=conditions
        )
        for key, option in options.items()
    }
    eligible = [
        option for key, option in options.items() if _may_be(option, excluded[key], baseline)
    ]
    features = asked.features
    score = None if features is None else complexity.score(features)
    best = recommend(baseline, eligible, task_class=task_class, score=score)
    mode = mode_for(baseline.model)
    chosen = best.option if mode.name == ENFORCED else baseline
    # The chosen model comes first.
    ordered = candidates.order(chosen.model, registry, needs, named=named)
    default = registry.default(asked.role)
    choice = Choice(
        asked=asked,
        baseline=baseline,
        best=best,
        chosen=chosen,
        mode=mode,
        score=score,
        against=excluded[baseline.model.id],
        default=default.qualified_name if default else None,
    )
    in_order = tuple(
        options[model.id] for model in candidates.eligible(ordered) if model.id in permitted
    )
    compared = _compared(choice)
    decision = _decision(
        choice,
        task_class=task_class,
        health=conditions.unhealthy.get(chosen.model.provider.id, ""),
        compared=compared,
        considered=_considered(options, excluded, choice, most_candidates),
        fallbacks=tuple(option.name for option in in_order[1:]),
    )
    return Route(decision, in_order, compared, tuple(eligible))


def _may_be(option: Option, against: Exclusion | None, baseline: Option) -> bool:
    """Whether it may be recommended. What keeps the baseline only for now does not count: whether
    and where the call goes on is failover's matter, which an operator may have turned off."""
    return against is None or (option is baseline and against.code in PASSING)


def _compared(choice: Choice) -> Option | None:
    if choice.mode.name == SUGGEST:
        return None
    return choice.baseline if choice.mode.name == ENFORCED else choice.best.option


def _considered(
    options: Mapping[int, Option],
    excluded: Mapping[int, Exclusion | None],
    choice: Choice,
    most: int,
) -> tuple[Candidate, ...]:
    """The best of all models, and those that the decision names whatever their place."""

    def place(option: Option) -> tuple[bool, bool, bool, int, str]:
        return excluded[option.model.id] is not None, *option.preference()

    best = nsmallest(most, options.values(), key=place)
    for one in (choice.best.option, choice.chosen):
        if one not in best:
            best.append(one)
    return tuple(_candidate(option, excluded[option.model.id]) for option in best)


def _candidate(option: Option, against: Exclusion | None) -> Candidate:
    estimated = option.estimate
    return Candidate(
        model=option.name,
        eligible=against is None,
        reason="It fits." if against is None else against.reason,
        estimate_upper=estimated.upper if estimated else None,
    )


def _decision(
    choice: Choice,
    *,
    task_class: str,
    health: str,
    compared: Option | None,
    considered: tuple[Candidate, ...],
    fallbacks: tuple[str, ...],
) -> RoutingDecision:
    chosen = choice.chosen
    credentials = chosen.model.provider.credentials
    return RoutingDecision(
        mode=choice.mode.name,
        mode_source=choice.mode.source,
        task_class=task_class,
        requested=choice.asked.model,
        default=choice.default,
        recommended=choice.best.option.name,
        actual=chosen.name,
        provider=chosen.model.provider.name,
        model=chosen.model.name,
        action=_action(choice, fallbacks),
        output_cap=chosen.output_cap,
        reason_codes=reason_codes(choice),
        explanation=tuple(explain(choice)),
        candidates=considered,
        estimate=chosen.estimate,
        score=choice.score,
        health=health,
        credential=credentials[0].name if len(credentials) == 1 else "",
        compared=None if compared is None else _shown(compared),
        fallbacks=fallbacks,
    )


def _action(choice: Choice, fallbacks: tuple[str, ...]) -> str:
    """What is done: the call proceeds as chosen, goes on at a fallback because its model cannot
    take it just now, or goes to a model that the budgets still pay for."""
    code = choice.against.code if choice.against else ""
    if choice.chosen is choice.baseline:
        return "failover" if code in PASSING and fallbacks else "proceed"
    return "degrade" if code == BUDGET else "proceed"


def _shown(option: Option) -> Compared:
    return Compared(
        model=option.name,
        price_id=option.price.id if option.price else None,
        expected=option.expected_cost if option.price else None,
    )
