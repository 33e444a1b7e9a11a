"""Budget policies as calls see them: whose calls each counts, and in which windows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from governance.windows import BEGINNING, Period, bucket, period, rolling_periods

# Between a scope's value and the run that a window of a run is for.
OF_RUN = "|"
# How long a policy's own commit may take after the moment it says that it counts from.
COMMIT_MARGIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose call it is and where it goes: everything a policy's scope may ask about."""

    team_id: int
    call_id: UUID
    provider: str = ""
    model: str = ""
    api_key_id: int | None = None
    user_id: int | None = None
    session: str = ""
    job_id: UUID | None = None
    run_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Override:
    """What an approval adds to every window of a scope value until it expires."""

    scope_value: str
    amount: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A budget policy as calls see it.

    `team_id` is None where every team's calls are counted. `value` names the one person, session,
    key, job, provider or model that is counted, and is empty where each has a window of its own.
    It has counted every call since `counts_since`; of those before, the ledger alone knows.
    """

    id: int
    name: str
    scope: str
    team_id: int | None
    metric: str
    interval: str
    zone: str
    soft_limit: int | None
    hard_limit: int | None
    enabled: bool = True
    value: str = ""
    rolling: bool = False
    action: str = "block"
    thresholds: tuple[int, ...] = ()
    routing_mode: str = ""
    counts_since: datetime = BEGINNING
    overrides: tuple[Override, ...] = ()

    def counts(self, subject: Subject) -> bool:
        """Whether this policy counts that call."""
        if self.team_id is not None and self.team_id != subject.team_id:
            return False
        value = scope_value(self.scope, subject)
        return value is not None and self.value in ("", value)

    def window(self, subject: Subject, at: datetime) -> WindowKey:
        """The window that counts that call, made `at`. Only for a call that it counts."""
        return self.window_of(self._value(subject), at)

    def window_of(self, scope_value: str, at: datetime) -> WindowKey:
        """The window in which calls of that scope value are counted that are made `at`."""
        counted = bucket(self.interval, at) if self.rolling else self._calendar(at)
        return WindowKey(self.id, scope_value, counted)

    def windows(self, subject: Subject, at: datetime, now: datetime) -> tuple[WindowKey, ...]:
        """Every window that says how much of this policy is used, for that call made `at`, as it is
        `now`: one by the calendar, all buckets of a rolling one."""
        if not self.rolling:
            return (self.window(subject, at),)
        own = self.window(subject, at)
        counted = rolling_periods(self.interval, max(at, now))
        keys = tuple(WindowKey(self.id, own.scope_value, one) for one in counted)
        # A call that goes on after its bucket has left is still counted on it.
        return keys if own in keys else (own, *keys)

    def must_open(self, key: WindowKey) -> bool:
        """Whether a window that is not there may have calls in it that were never counted."""
        return key.period.starts_at < self.counts_since + COMMIT_MARGIN

    def raised_by(self, scope_value: str, now: datetime) -> int:
        """What approvals until a date add to the limit now; a run has its scope value's."""
        if self.interval == "run":
            scope_value, _, _ = scope_value.rpartition(OF_RUN)
        return sum(
            one.amount
            for one in self.overrides
            if one.scope_value == scope_value and one.expires_at > now
        )

    def _calendar(self, at: datetime) -> Period:
        return period(self.interval, self.zone, at)

    def _value(self, subject: Subject) -> str:
        value = scope_value(self.scope, subject)
        assert value is not None
        if self.interval != "run":
            return value
        return f"{value}{OF_RUN}{subject.run_id or subject.call_id}"


def scope_value(scope: str, subject: Subject) -> str | None:
    """Which of its scope's values a call belongs to; None if to none of them.

    Sessions are named by their callers, so a session is one team's: `<team's id>:<session>`. A
    model is `provider/model`, everything else its identifier.
    """
    if scope == "global":
        return ""
    if scope == "session":
        return f"{subject.team_id}:{subject.session}" if subject.session else None
    if scope == "model":
        return f"{subject.provider}/{subject.model}" if subject.model else None
    value = {
        "team": subject.team_id,
        "user": subject.user_id,
        "api_key": subject.api_key_id,
        "job": subject.job_id,
        "provider": subject.provider or None,
    }[scope]
    return None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class WindowKey:
    """Names one window: there is at most one row for it."""

    policy_id: int
    scope_value: str
    period: Period
