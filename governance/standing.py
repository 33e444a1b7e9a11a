"""Where budgets stand now: what screens and the API show of policies and their windows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from governance import scope_names
from governance.amounts import amount_text
from governance.budgets import OF_RUN, Policy
from governance.models import BudgetPolicy, BudgetScope, Team
from governance.snapshot import load_overrides, policy_entry
from governance.window_figures import Figures, figures, first_period
from governance.windows import bucket, leaves_at

__all__ = ["Standing", "amount_text", "named_value", "standings"]
WHOLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one policy stands for one scope value, in the metric's units; a rolling one by all its
    buckets together.

    `whose` says in words whose calls are counted; `team` is the one team they are all of, if there
    is one. `hard_limit` has `raised_by` in it, which is what approvals added. `resets_at` is when a
    rolling one has room again.
    """

    policy: BudgetPolicy
    team: Team | None
    scope_value: str
    whose: str
    starts_at: datetime
    resets_at: datetime | None
    consumed: int = 0
    held: int = 0
    raised_by: int = 0

    @property
    def soft_limit(self) -> int | None:
        """Where the policy begins to warn."""
        return self.policy.soft_limit

    @property
    def hard_limit(self) -> int | None:
        """Where the policy stops calls, approvals included."""
        limit = self.policy.hard_limit
        return None if limit is None else limit + self.raised_by

    @property
    def limit(self) -> int:
        """The limit that percentages are of: the hard one, else the soft one."""
        limit = self.hard_limit if self.hard_limit is not None else self.soft_limit
        return limit or 0

    @property
    def remaining(self) -> int:
        """What is left below `limit`; never negative."""
        return max(0, self.limit - self.consumed - self.held)

    @property
    def percent(self) -> int:
        """How much of `limit` is consumed or held, rounded down; may pass 100."""
        used = self.consumed + self.held
        if not self.limit:
            return WHOLE if used else 0
        return used * WHOLE // self.limit

    @property
    def state(self) -> str:
        """`ok`, `soft_limit` or `hard_limit`: which limit is reached."""
        used = self.consumed + self.held
        if self.hard_limit is not None and used >= self.hard_limit:
            return "hard_limit"
        if self.soft_limit is not None and used >= self.soft_limit:
            return "soft_limit"
        return "ok"

    def text(self, amount: int) -> str:
        """`amount` in the policy's metric, in words."""
        return amount_text(self.policy.metric, amount)


def standings(
    *,
    now: datetime,
    team: Team | None = None,
    person_id: int | None = None,
    most_of_each: int | None = None,
) -> list[Standing]:
    """How every enabled policy stands, the tightest first; a bounded number of queries.

    With `team`, what counts that team's calls: its own windows, everyone's, and those of the person
    `person_id`. Without, the windows of all teams; a policy for each of something then shows those
    that have begun to use it. Of each policy, at most `most_of_each`.
    """
    policies = BudgetPolicy.objects.filter(enabled=True).select_related("team")
    if team is not None:
        policies = policies.filter(Q(team=team) | Q(team__isnull=True))
    rows = list(policies)
    if not rows:
        return []
    mine = _mine(rows, team, person_id)
    found_now = figures(rows, now, mine)
    asked = [
        (policy, value)
        for policy in rows
        for value in _values(policy, found_now.get(policy.pk, {}), team, mine)
    ]
    names = scope_names.names((policy.scope, named_value(policy, value)) for policy, value in asked)
    entries = _entries(rows)
    found = sorted(
        (
            _standing(
                policy,
                value,
                found_now.get(policy.pk, {}).get(value, Figures()),
                raised_by=entries[policy.pk].raised_by(value, now),
                names=names,
                now=now,
            )
            for policy, value in asked
        ),
        key=lambda one: (-one.percent, one.policy.name, one.whose),
    )
    return found if most_of_each is None else _fullest(found, most_of_each)


def _mine(
    policies: Iterable[BudgetPolicy], team: Team | None, person_id: int | None
) -> scope_names.OfTeam | None:
    if team is None:
        return None
    shared = {one.scope for one in policies if one.team_id is None}
    return scope_names.of_team(team, person_id, shared)


def _values(
    policy: BudgetPolicy,
    used: Mapping[str, Figures],
    team: Team | None,
    mine: scope_names.OfTeam | None,
) -> Sequence[str]:
    """Whose standing is shown: those that have used it, and whom it names."""
    if policy.value and mine is not None and not mine.may_see(policy, policy.value):
        return []
    if policy.interval != "run":
        if policy.scope == BudgetScope.GLOBAL:
            return [""]
        if policy.value:
            return [policy.value]
        if policy.scope == BudgetScope.TEAM and (team is not None or policy.team_id is not None):
            return [str(team.pk if team else policy.team_id)]
    shown = [
        value for value in used if mine is None or mine.may_see(policy, named_value(policy, value))
    ]
    # A team is told of what may stop it before it has used any of it.
    return shown or ([""] if team is not None else [])


def named_value(policy: BudgetPolicy, value: str) -> str:
    """The scope's value, without the run that a window may be for."""
    return value.rpartition(OF_RUN)[0] if policy.interval == "run" else value


def _entries(policies: Iterable[BudgetPolicy]) -> dict[int, Policy]:
    overrides = load_overrides()
    return {row.pk: policy_entry(row, overrides.get(row.pk, ())) for row in policies}


def _standing(
    policy: BudgetPolicy,
    value: str,
    found: Figures,
    *,
    raised_by: int,
    names: scope_names.Names,
    now: datetime,
) -> Standing:
    named = named_value(policy, value)
    return Standing(
        policy=policy,
        team=names.team_of(policy.scope, named) or policy.team,
        scope_value=value,
        whose=names.whose(policy.scope, named),
        starts_at=first_period(policy, now).starts_at,
        resets_at=_resets_at(policy, found, now),
        consumed=found.consumed,
        held=found.held,
        raised_by=found.raised_by + raised_by,
    )


def _resets_at(policy: BudgetPolicy, found: Figures, now: datetime) -> datetime | None:
    if not policy.rolling:
        return first_period(policy, now).ends_at
    counted = bucket(policy.interval, found.used_since or now)
    return leaves_at(policy.interval, counted)


def _fullest(found: Iterable[Standing], most_of_each: int) -> list[Standing]:
    shown: list[Standing] = []
    counts: dict[int, int] = {}
    for one in found:
        counts[one.policy.pk] = counts.get(one.policy.pk, 0) + 1
        if counts[one.policy.pk] <= most_of_each:
            shown.append(one)
    return shown
