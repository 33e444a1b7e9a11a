"""Requests for more budget, and deciding them once.

What is approved until the window resets raises that window; until a date, every window of its scope
value while it lasts; for one call, the window of that call by what it takes. Then the limit is the
policy's own again.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F, Q, QuerySet

from governance import kept_calls, policy_values, scope_names
from governance.audit.watching import watching
from governance.ledger import open_window
from governance.models import (
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetInterval,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    Team,
)
from governance.snapshot import policy_entry
from governance.storable import is_storable
from providers.versioned import bump

OWN = "This is your own request, or your key's; somebody else has to decide it."
DECIDE_PERMISSION = "governance.decide_approval"
# A window's limit with everything it was raised by must stay within a database integer.
LARGEST_LIMIT = 2**63 - 1


class ApprovalAlreadyDecided(Exception):
    """Somebody has decided this request already; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


class ApprovalNotAllowed(Exception):
    """This person may not decide this request, or its budget can no longer be raised."""


def policies_for(team: Team) -> QuerySet[BudgetPolicy]:
    """The enabled policies with a hard limit that count `team`'s calls: those it may ask about."""
    policies: QuerySet[BudgetPolicy] = BudgetPolicy.objects.filter(
        Q(team=team) | Q(team__isnull=True), enabled=True, hard_limit__isnull=False
    )
    return policies


def request_more(
    *,
    team: Team,
    policy: BudgetPolicy,
    requested_by: Any,
    amount: int,
    reason: str,
    now: datetime,
    scope_value: str | None = None,
    until: str = ApprovalUntil.RESET,
    expires_at: datetime | None = None,
) -> Approval:
    """Ask for `amount` more of `policy` (nano-dollars, tokens or requests), until it resets or
    until a date, `expires_at`.

    `scope_value` names whose budget it is where the policy has one for each person, session and so
    on; left out, it is the policy's own, the team's or everyone's. One request for a team, policy
    and scope value can be pending at a time. Raises `ValidationError` with every fault, and stores
    nothing then.
    """
    if scope_value is None:
        scope_value = policy.value or (str(team.pk) if policy.scope == BudgetScope.TEAM else "")
    approval = Approval(
        team=team,
        policy=policy,
        scope_value=scope_value,
        requested_by=requested_by,
        requested_at=now,
        amount=amount,
        reason=reason.strip(),
        until=until,
        expires_at=expires_at if until == ApprovalUntil.DATE else None,
    )
    with transaction.atomic():
        # Two requests at once would not see one another: the team's row lets one pass at a time,
        # without holding up calls, which only need it to go on existing.
        Team.objects.select_for_update(no_key=True).get(pk=team.pk)
        faults = _faults(approval)
        if faults:
            raise ValidationError(faults)
        approval.save()
    return approval


def _faults(approval: Approval) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    try:
        # The constraint says of a second request what is said below in better words.
        approval.full_clean(
            exclude=["decided_by", "decided_at", "window"], validate_constraints=False
        )
    except ValidationError as error:
        faults = dict(error.message_dict)
    fault = _policy_fault(approval.team, approval.policy) or _value_fault(approval)
    if fault is None and _pending(approval).exists():
        fault = (
            f"A request for more of “{approval.policy}” is already waiting to be decided. "
            "Ask again once it is."
        )
    if fault is not None:
        faults.setdefault("policy", []).append(fault)
    until_fault = _until_fault(approval)
    if until_fault is not None:
        field, message = until_fault
        faults.setdefault(field, []).append(message)
    return faults


def _value_fault(approval: Approval) -> str | None:
    """Why the scope value is not one of this policy's that the team may ask about."""
    policy, value = approval.policy, approval.scope_value
    if policy.value and value != policy.value:
        return f"“{policy}” does not count that."
    if not value:
        return None if policy.scope == BudgetScope.GLOBAL else "Say whose budget it is."
    asking = approval.requested_by_id
    mine = scope_names.of_team(approval.team, asking, {policy.scope})
    if not mine.may_see(policy, value):
        return "That budget is not the team's."
    return None if policy.value else _unknown(approval.team, policy.scope, value)


def _unknown(team: Team, scope: str, value: str) -> str | None:
    """Why the value, which may come from anywhere, is none that the scope has."""
    if not is_storable(value):
        return "That is nobody's budget."
    if scope == BudgetScope.TEAM:
        return None if value == str(team.pk) else "That budget is not the team's."
    if scope == BudgetScope.SESSION and value == f"{team.pk}:":
        return "Say which session's budget it is, as <team>:<session>."
    # What two teams share is named without either of them.
    of = None if scope in scope_names.SHARED else team
    try:
        stored = policy_values.read_value(scope, of, value)
    except ValueError as error:
        return str(error)
    # A budget's page says by which value it is counted; a name would be another one.
    return (
        None if stored == value else f"Name whose budget it is by what it is counted by: {stored}"
    )


def _until_fault(approval: Approval) -> tuple[str, str] | None:
    """Why it cannot last as long as is asked, at the field at fault."""
    if approval.until == ApprovalUntil.CALL:
        return "until", "Only a call that is blocked asks for itself alone."
    if approval.until == ApprovalUntil.DATE:
        ends = approval.expires_at
        if ends is None or ends <= approval.requested_at:
            return "expires_at", "Say until when, a time to come."
    elif approval.policy.interval == BudgetInterval.RUN:
        return "until", "Each run has a budget of its own; ask until a date."
    return None


def _policy_fault(team: Team, policy: BudgetPolicy) -> str | None:
    if policy.team_id not in (None, team.pk):
        return "This budget does not count the team's calls."
    if not policy.enabled:
        return f"“{policy}” is switched off, so it stops nothing; there is no need to raise it."
    if policy.hard_limit is None:
        return f"“{policy}” only warns and never stops a call; there is no limit to raise."
    return None


def _pending(approval: Approval) -> QuerySet[Approval]:
    return Approval.objects.filter(
        team=approval.team,
        policy=approval.policy,
        scope_value=approval.scope_value,
        status=ApprovalStatus.PENDING,
    ).exclude(until=ApprovalUntil.CALL)


def decide(
    *,
    approval_id: UUID,
    decided_by: User,
    approve: bool,
    comment: str,
    now: datetime,
    until: str = "",
) -> Approval:
    """Approve or deny a request, once. Approving one that lasts until the window resets raises the
    window of now; a call that waits for it goes on.

    A request for one call may be approved `until` the window resets instead: then it raises the
    window for everyone whom it counts, by what that call asked for.

    Raises `ApprovalNotAllowed` for one's own request, without the permission
    `governance.decide_approval`, or when the budget can no longer be raised;
    `ApprovalAlreadyDecided` if somebody was faster; `ValidationError` if the comment is too long;
    `Approval.DoesNotExist` for an unknown request. Nothing is changed by a decision that raises.
    """
    with transaction.atomic():
        approval = Approval.objects.select_related("team", "policy", "requested_by", "api_key").get(
            pk=approval_id
        )
        _refuse_unless_allowed(approval, decided_by)
        if approve and until:
            _refuse_unless_it_may_last(approval, until)
            approval.until = until
        approval.status = ApprovalStatus.APPROVED if approve else ApprovalStatus.DENIED
        approval.decided_by = decided_by
        approval.decided_at = now
        approval.comment = comment.strip()
        approval.clean_fields(exclude=["reason", "amount", "window", "requested_by", "api_key"])
        if approval.in_snapshot:
            # Before anything is locked, as `bump` asks for.
            bump()
        columns = {"status": approval.status, "decided_by": decided_by, "decided_at": now}
        columns |= {"comment": approval.comment, "until": approval.until}
        decided = _write_once(approval, columns)
        if not decided:
            raise ApprovalAlreadyDecided
        if approve:
            _let(approval, now)
        kept_calls.decided(approval)
    return approval


def _write_once(approval: Approval, columns: dict[str, Any]) -> bool:
    """Write the decision. Only the first finds the request pending; the database says which."""
    pending = Approval.objects.filter(pk=approval.pk, status=ApprovalStatus.PENDING)
    with watching(pending, columns):
        return bool(pending.update(**columns))


def is_own(approval: Approval, person: Any) -> bool:
    """Whether it is that person's request: made by them, or by a call with a key they made."""
    if approval.requested_by_id is not None:
        return bool(approval.requested_by_id == person.pk)
    return approval.api_key is not None and approval.api_key.created_by_id == person.pk


def _refuse_unless_allowed(approval: Approval, decided_by: User) -> None:
    if not decided_by.has_perm(DECIDE_PERMISSION):
        raise ApprovalNotAllowed("You do not have the permission to decide requests for budget.")
    if is_own(approval, decided_by):
        raise ApprovalNotAllowed(OWN)


def _refuse_unless_it_may_last(approval: Approval, until: str) -> None:
    if until == approval.until:
        return
    if approval.until != ApprovalUntil.CALL or until != ApprovalUntil.RESET:
        raise ApprovalNotAllowed(
            "Only a request for one call can be approved for longer than it asked, and only until "
            "the window resets."
        )
    if approval.policy.interval == BudgetInterval.RUN:
        raise ApprovalNotAllowed(
            "Each run has a budget of its own, which nothing resets: approve it for the call only."
        )


def _let(approval: Approval, now: datetime) -> None:
    """Have the limit give way, as far as that is not the call's own matter or the date's."""
    # The policy is locked so that it cannot be switched off, or its limit removed, meanwhile.
    row = BudgetPolicy.objects.select_for_update(no_key=True).get(pk=approval.policy_id)
    # A call that waits is made all the same where its budget stops nothing any more.
    fault = None if approval.until == ApprovalUntil.CALL else _policy_fault(approval.team, row)
    if fault is None and approval.expires_at is not None and approval.expires_at <= now:
        fault = "The date until which it was asked for is past."
    if fault is not None:
        raise ApprovalNotAllowed(f"{fault} Deny the request instead.")
    if approval.until == ApprovalUntil.RESET:
        approval.window = _raise_current_window(approval, row, now)
        approval.save(update_fields=["window"])


def _raise_current_window(approval: Approval, row: BudgetPolicy, now: datetime) -> BudgetWindow:
    policy = policy_entry(row)
    window = open_window(policy, policy.window_of(_scope_value(approval), now))
    raised = BudgetWindow.objects.filter(
        pk=window.pk, raised_by__lte=LARGEST_LIMIT - (row.hard_limit or 0) - approval.amount
    ).update(raised_by=F("raised_by") + approval.amount)
    if not raised:
        raise ApprovalNotAllowed(
            f"“{row}” cannot be raised by so much: its limit would be larger than can be stored."
        )
    window.refresh_from_db()
    return window


def _scope_value(approval: Approval) -> str:
    """Whose budget was asked for. Requests of before there was a choice name nobody: theirs is the
    team's."""
    if approval.scope_value or approval.policy.scope == BudgetScope.GLOBAL:
        return str(approval.scope_value)
    return str(approval.team_id)
