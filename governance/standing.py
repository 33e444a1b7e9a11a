"""Where budgets stand now: what screens and the API show of policies and their windows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from governance.amounts import amount_text
from governance.models import BudgetPolicy, BudgetScope, BudgetWindow, Team
from governance.windows import period

__all__ = ["Standing", "amount_text", "standings"]
WHOLE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One policy's window for one scope value, in the metric's units.

    `window` is None while nothing was counted on it yet. `hard_limit` has `raised_by` in it.
    """

    policy: BudgetPolicy
    team: Team | None
    window: BudgetWindow | None
    starts_at: datetime
    resets_at: datetime | None

    @property
    def consumed(self) -> int:
        """What settled calls used."""
        return self.window.consumed if self.window else 0

    @property
    def held(self) -> int:
        """What calls in flight may still use."""
        return self.window.held if self.window else 0

    @property
    def raised_by(self) -> int:
        """What approvals added until the window resets."""
        return self.window.raised_by if self.window else 0

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


def standings(*, now: datetime, team: Team | None = None) -> list[Standing]:
    """How every enabled policy stands, the tightest first; two or three queries.

    With `team`, what counts that team's calls: its own windows and everyone's. Without, the windows
    of all teams; a policy for each team then shows the teams that have begun to use it.
    """
    policies = BudgetPolicy.objects.filter(enabled=True).select_related("team")
    if team is not None:
        policies = policies.filter(Q(team=team) | Q(team__isnull=True))
    rows = list(policies)
    windows = _current_windows(rows, now, team)
    teams = {str(one.pk): one for one in _teams(windows, team)}
    found = [
        standing for policy in rows for standing in _of_policy(policy, windows, teams, team, now)
    ]
    return sorted(found, key=lambda one: (-one.percent, one.policy.name, str(one.team or "")))


def _current_windows(
    policies: Iterable[BudgetPolicy], now: datetime, team: Team | None
) -> list[BudgetWindow]:
    wanted = Q(pk__in=[])
    for policy in policies:
        current = period(policy.interval, policy.zone, now)
        wanted |= Q(policy=policy, starts_at=current.starts_at)
    windows = BudgetWindow.objects.filter(wanted)
    if team is not None:
        windows = windows.filter(scope_value__in=["", str(team.pk)])
    return list(windows)


def _teams(windows: Iterable[BudgetWindow], team: Team | None) -> list[Team]:
    if team is not None:
        return [team]
    ids = {int(window.scope_value) for window in windows if window.scope_value}
    return list(Team.objects.filter(pk__in=ids))


def _of_policy(
    policy: BudgetPolicy,
    windows: Iterable[BudgetWindow],
    teams: dict[str, Team],
    team: Team | None,
    now: datetime,
) -> Iterable[Standing]:
    current = period(policy.interval, policy.zone, now)
    mine = {window.scope_value: window for window in windows if window.policy_id == policy.pk}
    if policy.scope == BudgetScope.GLOBAL:
        values = [""]
    elif team is not None or policy.team_id is not None:
        values = [str(team.pk if team else policy.team_id)]
    else:
        values = [value for value in mine if value in teams]
    for value in values:
        yield Standing(
            policy=policy,
            team=teams.get(value) or (policy.team if value else None),
            window=mine.get(value),
            starts_at=current.starts_at,
            resets_at=current.ends_at,
        )
