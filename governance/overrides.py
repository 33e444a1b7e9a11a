"""What approvals add to limits now, and ending that before its time."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Greatest

from governance.approvals import DECIDE_PERMISSION, ApprovalNotAllowed
from governance.audit.watching import watching
from governance.models import Approval, ApprovalStatus, ApprovalUntil, BudgetPolicy, BudgetWindow
from governance.windows import Period, leaves_at
from providers.versioned import bump


class OverrideIsOver(Exception):
    """It no longer raises anything; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(str(self.__doc__))


def in_force(policies: Iterable[BudgetPolicy], now: datetime) -> list[Approval]:
    """What was approved until a date or a window's end and still raises a limit of `policies`, what
    was decided last first: one query. What is for one call alone raises nobody's limit."""
    rows = _unended().filter(policy__in=list(policies)).order_by("-decided_at")
    return [row for row in rows if is_in_force(row, now)]


def is_in_force(approval: Approval, now: datetime) -> bool:
    """Whether it raises a limit now."""
    if approval.status != ApprovalStatus.APPROVED or approval.ended_at is not None:
        return False
    if approval.until == ApprovalUntil.DATE:
        return approval.expires_at is not None and approval.expires_at > now
    if approval.until == ApprovalUntil.CALL or approval.window is None:
        return False
    ends = ends_at(approval)
    return ends is None or ends > now


def ends_at(approval: Approval) -> datetime | None:
    """When it ends by itself; None if it never does."""
    if approval.until == ApprovalUntil.DATE or approval.window is None:
        return approval.expires_at
    window, policy = approval.window, approval.policy
    if not policy.rolling or window.ends_at is None:
        return window.ends_at
    return leaves_at(policy.interval, Period(window.starts_at, window.ends_at))


def end(*, approval_id: UUID, by: User, now: datetime) -> Approval:
    """End what was approved: the limit is the policy's own again, from the next call on. What was
    used of it stays used, so a window may then be past its limit.

    Raises `ApprovalNotAllowed` without the permission to decide requests, and `OverrideIsOver` if
    it raises nothing any more, or somebody was faster.
    """
    if not by.has_perm(DECIDE_PERMISSION):
        raise ApprovalNotAllowed("You do not have the permission to decide requests for budget.")
    with transaction.atomic():
        found = Approval.objects.select_related("policy", "window", "team")
        approval = found.get(pk=approval_id)
        if not is_in_force(approval, now):
            raise OverrideIsOver
        if approval.in_snapshot:
            # Before anything is locked, as `bump` asks for.
            bump()
        _write(approval, by, now)
        if approval.until == ApprovalUntil.RESET and approval.window_id is not None:
            lower = Greatest(F("raised_by") - approval.amount, 0)
            BudgetWindow.objects.filter(pk=approval.window_id).update(raised_by=lower)
    return approval


def _write(approval: Approval, by: User, now: datetime) -> None:
    columns = {"ended_by": by, "ended_at": now}
    if approval.until == ApprovalUntil.DATE:
        # A process of the version before knows it by its date alone.
        columns["expires_at"] = now
    row = Approval.objects.filter(
        pk=approval.pk, ended_at=None, status=ApprovalStatus.APPROVED, until=approval.until
    )
    with watching(row, columns):
        if not row.update(**columns):
            raise OverrideIsOver
    for name, value in columns.items():
        setattr(approval, name, value)


def _unended() -> QuerySet[Approval]:
    lasting = Q(until=ApprovalUntil.DATE) | Q(until=ApprovalUntil.RESET, window__isnull=False)
    return Approval.objects.filter(
        lasting, status=ApprovalStatus.APPROVED, ended_at=None
    ).select_related("policy", "window", "team", "requested_by", "decided_by")
