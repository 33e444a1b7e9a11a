"""What a budget policy would come to if it held now: where it would stand, in figures and words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from zoneinfo import ZoneInfo

from governance import scope_names
from governance.amounts import amount_text
from governance.listing import listed
from governance.models import BudgetInterval, BudgetPolicy, BudgetScope, Team
from governance.policy_usage import MOST_SESSIONS, Used, span_of, used_by_value
from governance.snapshot import load_overrides, policy_entry
from governance.standing import WHOLE, Standing
from governance.usage.pace import at_the_end, reaches
from governance.window_figures import Figures, figures
from governance.windows import Period
from providers.display import moment_text

AT_THE_LIMIT = {
    "alert": "Past {limit} calls still go through, and an alert is raised.",
    "degrade": "Past {limit} a cheaper model that fits is used; where none does, calls are "
    "blocked.",
    "block": "Calls are blocked at {limit}.",
    "approval": "Past {limit} calls need approval.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPreview:
    """Where a policy would stand now, the tightest window first; `says` is about that one."""

    standings: tuple[Standing, ...]
    says: tuple[str, ...]
    note: str = ""

    @property
    def tightest(self) -> Standing | None:
        """The window that has the least left; None where it cannot be told."""
        return self.standings[0] if self.standings else None


def preview(policy: BudgetPolicy, *, now: datetime) -> PolicyPreview:
    """Where `policy`, stored or only written, would stand at `now`. Changes nothing; at most twelve
    queries, whatever the ledger has."""
    if policy.interval == BudgetInterval.RUN:
        limits = tuple(limit_sentences(policy, _limit(policy, 0)))
        return PolicyPreview(
            standings=(), says=limits, note="Each run begins with nothing used of it."
        )
    found = foreseen(policy, now)
    return PolicyPreview(
        standings=found,
        says=tuple(sentences(found[0], now)) if found else (),
        note=_note(policy, found),
    )


def foreseen(policy: BudgetPolicy, now: datetime) -> tuple[Standing, ...]:
    """How the policy would stand for each scope value that has used some of it, and for whom it
    names; the tightest first."""
    used = used_by_value(policy, now)
    raised = _raised(policy, now)
    values = {*used, *_named_values(policy)}
    names = scope_names.names((policy.scope, value) for value in values)
    span = span_of(policy, now)
    found = (
        replace(
            _standing(policy, value, used.get(value, Used()), names, span),
            raised_by=raised.get(value, 0),
        )
        for value in values
    )
    return tuple(sorted(found, key=lambda one: (-one.percent, one.whose)))


def _named_values(policy: BudgetPolicy) -> list[str]:
    if policy.scope == BudgetScope.GLOBAL:
        return [""]
    if policy.scope == BudgetScope.TEAM and policy.team_id is not None:
        return [str(policy.team_id)]
    return [policy.value] if policy.value else []


def _raised(policy: BudgetPolicy, now: datetime) -> Mapping[str, int]:
    """What approvals have added to the stored policy's windows of now."""
    if policy.pk is None:
        return {}
    windows = figures([policy], now, None).get(policy.pk, {})
    entry = policy_entry(policy, load_overrides().get(policy.pk, ()))
    values = {*windows, *(one.scope_value for one in entry.overrides)}
    return {
        value: windows.get(value, Figures()).raised_by + entry.raised_by(value, now)
        for value in values
    }


def _standing(
    policy: BudgetPolicy,
    value: str,
    used: Used,
    names: scope_names.Names,
    span: Period,
) -> Standing:
    team: Team | None = names.team_of(policy.scope, value) or policy.team
    return Standing(
        policy=policy,
        team=team,
        scope_value=value,
        whose=names.whose(policy.scope, value),
        starts_at=span.starts_at,
        resets_at=None if policy.rolling else span.ends_at,
        consumed=used.consumed,
        held=used.held,
    )


def _note(policy: BudgetPolicy, found: tuple[Standing, ...]) -> str:
    if not found:
        kind = scope_names.EVERY_ONE[BudgetScope(policy.scope)].removeprefix("each ")
        return f"No {kind} has used anything that it would count yet."
    notes = []
    if len(found) > 1:
        over = sum(one.state == "hard_limit" for one in found)
        notes.append(f"The tightest of {len(found)}" + (f"; {over} at the limit." if over else "."))
    if policy.scope == BudgetScope.SESSION and len(found) == MOST_SESSIONS:
        notes.append(f"Only the {MOST_SESSIONS} sessions that used most are looked at.")
    return " ".join(notes)


def sentences(standing: Standing, now: datetime) -> list[str]:
    """What somebody who sets this limit should know, in order: what stands, what stops, when it
    resets, when it runs out, and which alerts follow at once. Pure."""
    policy = standing.policy
    return [
        *_exceeded(standing),
        *limit_sentences(policy, _limit(policy, standing.raised_by)),
        _resetting(standing),
        *_pace(standing, now),
        *_thresholds(standing),
    ]


def _limit(policy: BudgetPolicy, raised_by: int) -> int | None:
    return None if policy.hard_limit is None else policy.hard_limit + raised_by


def _exceeded(standing: Standing) -> list[str]:
    if standing.state == "hard_limit":
        said = "Already exceeded: " if standing.percent > WHOLE else "Already used up: "
        return [f"{said}{standing.text(standing.consumed + standing.held)} are spoken for."]
    if standing.state == "soft_limit":
        return ["Already past the soft limit: each call is warned of."]
    return []


def limit_sentences(policy: BudgetPolicy, limit: int | None) -> list[str]:
    """What happens at the limits; `limit` is the hard one with what approvals added."""
    said = []
    if limit is not None:
        shown = amount_text(policy.metric, limit)
        said.append(AT_THE_LIMIT[policy.action].format(limit=shown))
    if policy.soft_limit is not None:
        soft = amount_text(policy.metric, policy.soft_limit)
        only = " It never stops a call." if limit is None else ""
        said.append(f"It warns from {soft}.{only}")
    return said


def _resetting(standing: Standing) -> str:
    if standing.policy.rolling:
        return "It rolls: what was used leaves the count bit by bit, and nothing resets at once."
    if standing.resets_at is None:
        return "It never resets."
    return f"Resets {moment_text(standing.resets_at, ZoneInfo(standing.policy.zone))}."


def _pace(standing: Standing, now: datetime) -> list[str]:
    """When it runs out at the pace so far, or what it comes to by its end."""
    used, until = standing.consumed + standing.held, standing.resets_at
    if until is None or not used or not standing.limit or used >= standing.limit:
        return []
    expected = at_the_end(used, standing.starts_at, until, now)
    if expected is None:
        return ["It is too early in the window to say when it runs out."]
    runs_out = reaches(standing.limit, used, standing.starts_at, until, now)
    if runs_out is not None:
        return [
            f"At this pace it runs out {moment_text(runs_out, ZoneInfo(standing.policy.zone))}."
        ]
    percent = expected * WHOLE // standing.limit
    return [f"At this pace it comes to {standing.text(expected)} by then, {percent} %."]


def _thresholds(standing: Standing) -> list[str]:
    used = standing.consumed + standing.held
    reached = [
        one
        for one in sorted(standing.policy.thresholds)
        if used and used * WHOLE >= standing.limit * one
    ]
    if not reached:
        return []
    many = "an alert is raised" if len(reached) == 1 else "an alert is raised for each"
    return [f"{listed(reached)} % of it {'is' if len(reached) == 1 else 'are'} reached: {many}."]
