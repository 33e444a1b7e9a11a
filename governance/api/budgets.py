"""Budget policies, and where budgets stand, in the JSON API."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictBool, StrictInt

from governance.amounts import amount_json
from governance.api.conventions import ActorRequest, Amount, counted
from governance.models import (
    DEFAULT_THRESHOLDS,
    BudgetAction,
    BudgetInterval,
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
    RoutingMode,
    Team,
)
from governance.policy_values import read_value, written_value
from governance.policy_words import names_of, summary
from governance.scope_names import Names
from governance.standing import Standing, standings
from providers.api.conventions import KEPT, Change, Input, Moment, described, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()

Scope = Annotated[str, described(BudgetScope.values)]
Metric = Annotated[str, described(BudgetMetric.values)]
Interval = Annotated[str, described(BudgetInterval.values)]
Action = Annotated[str, described(BudgetAction.values)]
Mode = Annotated[str, described(["", *RoutingMode.values])]
PERCENTAGES = "Percentages of the limit at which an alert is raised, once a window each."
# Stand in for a limit that cannot be read, while the other rules are checked: they break none.
UNREAD = {"soft_limit": 0, "hard_limit": 2**63 - 1}


WHICH = (
    "The one that is counted: a user name, a session of the team, a key's id, a scheduled job's "
    "id, a provider, or provider/model. Empty gives each a window of its own."
)


class PolicyIn(Input):
    """A new policy: a limit on what is used in an interval."""

    name: str
    scope: Scope = BudgetScope.TEAM.value
    team: str | None = Field(
        None, description="A team's slug: whose calls are counted. All teams' if left out."
    )
    value: str = Field("", description=WHICH)
    metric: Metric = BudgetMetric.COST.value
    interval: Interval = BudgetInterval.MONTH.value
    rolling: StrictBool = Field(False, description="Count the last hour, day and so on.")
    zone: str = Field("UTC", description="The zone whose calendar the interval follows.")
    soft_limit: Amount | None = Field(None, description="Where it begins to warn.")
    hard_limit: Amount | None = Field(None, description="What no call may pass.")
    action: Action = BudgetAction.BLOCK.value
    thresholds: list[StrictInt] = Field(list(DEFAULT_THRESHOLDS), description=PERCENTAGES)
    routing_mode: Mode = Field("", description="Overrides that of the calls it counts.")
    enabled: StrictBool = True


class PolicyChange(Change):
    """What to change of a policy. What it counts is fixed once it has counted; its metric always
    is: make another for that."""

    name: str = KEPT
    scope: Scope = KEPT
    team: str | None = Field(KEPT, description="A team's slug; null for all teams.")
    value: str = Field(KEPT, description=WHICH)
    interval: Interval = KEPT
    rolling: StrictBool = KEPT
    zone: str = KEPT
    soft_limit: Amount | None = Field(KEPT, description="null takes it away.")
    hard_limit: Amount | None = Field(KEPT, description="null takes it away.")
    action: Action = KEPT
    thresholds: list[StrictInt] = Field(KEPT, description=PERCENTAGES)
    routing_mode: Mode = KEPT
    enabled: StrictBool = KEPT


class PolicyOut(Schema):
    """A limit. Amounts are US dollars for cost, otherwise whole numbers."""

    id: str
    name: str
    summary: str = Field(description="The policy in words.")
    scope: Scope
    team: str | None = Field(description="Whose calls are counted; null for all teams'.")
    value: str = Field(description="The identifier of the one that is counted; empty for each.")
    metric: Metric
    interval: Interval
    rolling: bool
    zone: str
    soft_limit: str | None
    hard_limit: str | None
    action: Action
    thresholds: list[int] = Field(description=PERCENTAGES)
    routing_mode: Mode
    enabled: bool

    @classmethod
    def of(cls, policy: BudgetPolicy, known: Names) -> PolicyOut:
        same = ("name", "scope", "value", "metric", "interval", "rolling", "zone", "action")
        return cls(
            id=str(policy.pk),
            summary=summary(policy, known),
            team=policy.team.slug if policy.team else None,
            soft_limit=amount_json(policy.metric, policy.soft_limit),
            hard_limit=amount_json(policy.metric, policy.hard_limit),
            thresholds=policy.thresholds,
            routing_mode=policy.routing_mode,
            enabled=policy.enabled,
            **{name: getattr(policy, name) for name in same},
        )


class StandingOut(Schema):
    """Where a policy stands in its present interval."""

    policy: PolicyOut
    team: str | None = Field(description="The one team whose calls are counted, if it is one.")
    scope_value: str = Field(description="The identifier of whose calls are counted.")
    whose: str = Field(description="Whose calls are counted, in words.")
    limit: str | None = Field(description="The hard limit, with what it was raised by.")
    consumed: str = Field(description="What settled calls used.")
    held: str = Field(description="What calls under way may still use.")
    remaining: str = Field(description="What the limit leaves, or the soft one if that is all.")
    raised_by: str = Field(description="What approvals added until it resets.")
    percent: int
    state: str = Field(description="ok, soft_limit or hard_limit: which limit is reached.")
    starts_at: Moment
    resets_at: Moment | None = Field(description="null if it never resets.")

    @classmethod
    def of(cls, standing: Standing, known: Names) -> StandingOut:
        def shown(amount: int) -> str:
            return str(amount_json(standing.policy.metric, amount))

        return cls(
            policy=PolicyOut.of(standing.policy, known),
            team=standing.team.slug if standing.team else None,
            scope_value=standing.scope_value,
            whose=standing.whose,
            limit=None if standing.hard_limit is None else shown(standing.hard_limit),
            consumed=shown(standing.consumed),
            held=shown(standing.held),
            remaining=shown(standing.remaining),
            raised_by=shown(standing.raised_by),
            percent=standing.percent,
            state=standing.state,
            starts_at=standing.starts_at,
            resets_at=standing.resets_at,
        )


class StandingList(Schema):
    """Every budget, the tightest first."""

    items: list[StandingOut]


class StandingQuery(Schema):
    """Whose budgets."""

    team: str | None = Field(None, description="A team's slug; all of yours if left out.")


@router.get(
    "/policies",
    response=Page[PolicyOut],
    operation_id="list_policies",
    summary="List budget policies",
)
def list_policies(request: ActorRequest, page: Query[PageQuery]) -> Page[PolicyOut]:
    """Every policy, by name. Needs the permission `governance.view_budgetpolicy`."""
    request.auth.require("governance.view_budgetpolicy")
    rows, following = read_page(BudgetPolicy.objects.select_related("team"), page, by="name")
    known = names_of(rows)
    return Page[PolicyOut](items=[PolicyOut.of(row, known) for row in rows], next_cursor=following)


@router.get(
    "/policies/{int:policy_id}",
    response=PolicyOut,
    operation_id="get_policy",
    summary="Show a budget policy",
    openapi_extra=refusals({404: "There is no policy of that identifier."}),
)
def get_policy(request: ActorRequest, policy_id: int) -> PolicyOut:
    """Needs the permission `governance.view_budgetpolicy`."""
    request.auth.require("governance.view_budgetpolicy")
    return _shown(find(BudgetPolicy.objects.select_related("team"), pk=policy_id))


@router.post(
    "/policies",
    response={201: PolicyOut},
    operation_id="add_policy",
    summary="Add a budget policy",
)
def add_policy(request: ActorRequest, body: PolicyIn) -> Status[PolicyOut]:
    """Needs the permission `governance.add_budgetpolicy`."""
    request.auth.require("governance.add_budgetpolicy")
    values = {name: getattr(body, name) for name in PolicyIn.model_fields}
    return Status(201, _shown(_saved(BudgetPolicy(metric=values.pop("metric")), values)))


@router.patch(
    "/policies/{int:policy_id}",
    response=PolicyOut,
    operation_id="change_policy",
    summary="Change a budget policy",
    openapi_extra=refusals({404: "There is no policy of that identifier."}),
)
def change_policy(request: ActorRequest, policy_id: int, body: PolicyChange) -> PolicyOut:
    """Holds at once for every call that begins. Needs `governance.change_budgetpolicy`."""
    request.auth.require("governance.change_budgetpolicy")
    with transaction.atomic():
        policy = find(BudgetPolicy.objects.select_for_update(), pk=policy_id)
        return _shown(_saved(policy, body.given()))


def _shown(policy: BudgetPolicy) -> PolicyOut:
    return PolicyOut.of(policy, names_of([policy]))


def _saved(policy: BudgetPolicy, values: dict[str, Any]) -> BudgetPolicy:
    """Change `policy` by `values`. Raises `ValidationError` with every fault; stores none then."""
    faults: dict[str, list[str]] = {}
    was = (policy.scope, policy.team_id, policy.value)
    written = values.pop("value", None)
    if written is None and policy.value and not {"scope", "team"}.isdisjoint(values):
        written = written_value(policy)
    for field, value in values.items():
        try:
            setattr(policy, field, _read(policy.metric, field, value))
        except ValueError as error:
            faults[field] = [str(error)]
            setattr(policy, field, UNREAD.get(field))
    if written is not None and (policy.scope, policy.team_id, written) != was:
        try:
            policy.value = read_value(policy.scope, policy.team, written)
        except ValueError as error:
            faults["value"] = [str(error)]
    try:
        policy.full_clean(exclude=faults)
    except ValidationError as error:
        faults |= {
            field: messages for field, messages in error.message_dict.items() if field not in faults
        }
    if faults:
        raise ValidationError(faults)
    policy.save()
    return policy


def _read(metric: str, field: str, value: Any) -> Any:
    if value is None:
        return None
    if field in UNREAD:
        return counted(metric, value)
    if field == "team":
        team = Team.objects.filter(slug=value).first()
        if team is None:
            raise ValueError("There is no team of this slug.")
        return team
    return value


@router.get(
    "/budgets",
    response=StandingList,
    operation_id="list_budgets",
    summary="Show where budgets stand",
    openapi_extra=refusals({404: "There is no such team, or you do not act for it."}),
)
def list_budgets(request: ActorRequest, query: Query[StandingQuery]) -> StandingList:
    """What counts the calls of your teams: consumed, held and left of each limit, and when it
    resets. With the permission `governance.view_budgetwindow`, every team's."""
    found = _standings(request, query.team, timezone.now())
    known = names_of(standing.policy for standing in found)
    return StandingList(items=[StandingOut.of(standing, known) for standing in found])


def _standings(request: ActorRequest, slug: str | None, now: datetime) -> list[Standing]:
    permission = "governance.view_budgetwindow"
    if slug is None and request.auth.may(permission):
        return standings(now=now)
    actor = request.auth
    teams = actor.teams(permission) if slug is None else [actor.team(slug, permission)]
    # A policy for everyone together counts each of the teams; it is shown once.
    found = {
        (standing.policy.pk, standing.scope_value): standing
        for team in teams
        for standing in standings(
            now=now, team=team, person_id=actor.person.pk if actor.person else None
        )
    }
    return sorted(found.values(), key=lambda one: (-one.percent, one.policy.name))
