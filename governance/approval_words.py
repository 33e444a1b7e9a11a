"""What people are told of a request for more budget: whose budget, for how long, who asked."""

from __future__ import annotations

from collections.abc import Iterable

from governance import scope_names
from governance.budgets import OF_RUN
from governance.models import Approval, ApprovalUntil, BudgetInterval, BudgetPolicy, BudgetScope
from providers.display import moment_text

A_KEY = "Nobody (a call made with a key)"


def with_whose(found: Iterable[Approval]) -> list[tuple[Approval, str]]:
    """Each request, and in words whose budget it is about; a bounded number of queries."""
    requests = list(found)
    names = scope_names.names((one.policy.scope, scope_value(one)) for one in requests)
    return [(one, names.whose(one.policy.scope, scope_value(one))) for one in requests]


def whose(approval: Approval) -> str:
    """In words, whose budget a request is about."""
    ((_, words),) = with_whose([approval])
    return words


def scope_value(approval: Approval) -> str:
    """Whose budget was asked for. Requests of before there was a choice name nobody: theirs is the
    team's. Of a run's own budget, whose run it is."""
    policy, value = approval.policy, str(approval.scope_value)
    if not value and policy.scope != BudgetScope.GLOBAL:
        return str(approval.team_id)
    return without_run(policy, value)


def without_run(policy: BudgetPolicy, value: str) -> str:
    """A window's scope value without the run that it may be for."""
    of_run = policy.interval == BudgetInterval.RUN and OF_RUN in value
    return value.rpartition(OF_RUN)[0] if of_run else value


def lasts(approval: Approval) -> str:
    """How long what is approved lasts, in words; a date in the zone of the page."""
    if approval.until == ApprovalUntil.CALL:
        return "for this call only"
    if approval.until == ApprovalUntil.DATE and approval.expires_at is not None:
        return f"until {moment_text(approval.expires_at)}"
    return "until it resets"


def requester(approval: Approval) -> str:
    """Who asked."""
    person = approval.requested_by
    if person is not None:
        return str(person.get_full_name() or person.get_username())
    return A_KEY
