"""The same budget for other teams: copies of one policy, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.db import transaction

from governance.models import BudgetPolicy, BudgetScope, Team
from providers.versioned import bump

# What is copied besides the scope, the team and the name.
COPIED = (
    "scope",
    "value",
    "metric",
    "interval",
    "rolling",
    "zone",
    "soft_limit",
    "hard_limit",
    "action",
    "thresholds",
    "routing_mode",
    "enabled",
)
# Such a one belongs to one team, so it cannot be another's.
OF_ONE_TEAM = (BudgetScope.API_KEY, BudgetScope.JOB)
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """A team that may be given a copy, called `name`; `has` is the policy by which it has the
    same already."""

    team: Team
    name: str
    has: BudgetPolicy | None


def cannot_be_copied(policy: BudgetPolicy) -> str:
    """Why other teams cannot have the same, in words; empty if they can. Pure."""
    if policy.scope == BudgetScope.GLOBAL:
        return "It counts everyone together, so it holds for every team already."
    if policy.team_id is None:
        return "It counts every team's calls already."
    if policy.value and policy.scope in OF_ONE_TEAM:
        return f"It names one {policy.get_scope_display().lower()}, which is one team's alone."
    return ""


def recipients(policy: BudgetPolicy) -> list[Recipient]:
    """Every other enabled team, by name, and whether it has such a policy: two queries."""
    teams = [one for one in Team.objects.filter(enabled=True) if one.pk != policy.team_id]
    alike = {one.team_id: one for one in _alike(policy)}
    return [
        Recipient(team=team, name=copied_name(policy, team), has=alike.get(team.pk))
        for team in teams
    ]


def _alike(policy: BudgetPolicy) -> list[BudgetPolicy]:
    """The other teams' policies that count the same in the same windows."""
    same = {
        name: getattr(policy, name) for name in ("scope", "metric", "interval", "rolling", "zone")
    }
    rows = BudgetPolicy.objects.filter(team__isnull=False, **same).select_related("team")
    return [one for one in rows if one.value == _value(policy, one.team)]


def copied_name(policy: BudgetPolicy, team: Team) -> str:
    """What a team's copy is called: the team's name takes the place of the one that it has in it,
    else it is put behind. Pure."""
    own = policy.team.name if policy.team is not None else ""
    if own and own in policy.name:
        return policy.name.replace(own, team.name)[:LONGEST_NAME]
    return f"{policy.name[: LONGEST_NAME - len(team.name) - 3]} ({team.name})"[:LONGEST_NAME]


def _value(policy: BudgetPolicy, team: Team | None) -> str:
    """A session is named within its team; everything else is called the same for all."""
    if policy.scope == BudgetScope.SESSION and policy.value and team is not None:
        return f"{team.pk}:{policy.value.partition(':')[2]}"
    return policy.value


def copy_to(policy: BudgetPolicy, teams: Sequence[Team]) -> list[BudgetPolicy]:
    """Give each of `teams` a policy like it, in one commit.

    Raises `ValidationError` with every fault of every team, and makes none then.
    """
    fault = cannot_be_copied(policy) or ("" if teams else "Choose one team or more.")
    if fault:
        raise ValidationError(fault)
    with transaction.atomic():
        # Whoever changes a policy counts it first, so nobody gives the same in between.
        bump()
        made = _checked(policy, teams)
        for copy in made:
            copy.save()
    return made


def _checked(policy: BudgetPolicy, teams: Sequence[Team]) -> list[BudgetPolicy]:
    """The copies, to be stored. Raises `ValidationError` with every fault of every team."""
    has = {one.team_id: one for one in _alike(policy)}
    made, faults = [], []
    for team in teams:
        copy = _copy(policy, team)
        if team.pk in has:
            faults.append(f"{team}: it has such a policy already, “{has[team.pk]}”.")
            continue
        faults += [f"{team}: {text}" for text in _faults(copy)]
        made.append(copy)
    faults += _twice(made)
    if faults:
        raise ValidationError(faults)
    return made


def _copy(policy: BudgetPolicy, team: Team) -> BudgetPolicy:
    values = {name: getattr(policy, name) for name in COPIED}
    values |= {"value": _value(policy, team), "thresholds": list(policy.thresholds)}
    return BudgetPolicy(name=copied_name(policy, team), team=team, **values)


def _faults(copy: BudgetPolicy) -> list[str]:
    try:
        copy.full_clean()
    except ValidationError as error:
        return list(error.messages)
    return []


def _twice(copies: Iterable[BudgetPolicy]) -> list[str]:
    """Teams may be called alike, their policies may not."""
    seen: set[str] = set()
    faults = []
    for copy in copies:
        if copy.name in seen:
            faults.append(f"{copy.team}: two copies would be called “{copy.name}”.")
        seen.add(copy.name)
    return faults
