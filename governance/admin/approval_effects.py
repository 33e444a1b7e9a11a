"""What deciding a request for more does, in words, and when it can be done."""

from __future__ import annotations

from django.utils import timezone

from governance import approval_words, overrides
from governance.amounts import amount_text
from governance.models import (
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetInterval,
    KeptCall,
)
from providers.admin.base import remembered


def is_pending(approval: Approval) -> bool:
    """Whether it waits to be decided."""
    return approval.status == ApprovalStatus.PENDING


def what_approving_does(approval: Approval) -> str:
    """What approving it does, to whom and for how long."""
    more, policy = asked_for(approval), approval.policy
    if approval.until == ApprovalUntil.CALL:
        does = (
            f"Lets one call take “{policy}” past its limit, by {more} at most, and nobody else. "
            f"{_which_call(approval)}{_what_longer_does(approval, more)}"
        )
    else:
        whose = approval_words.whose(approval)
        does = (
            f"Raises the limit of “{policy}” for {whose} by {more} "
            f"{approval_words.lasts(approval)}; then the limit is the policy's own again."
        )
    return f"{does} A decision cannot be taken back."


def _what_longer_does(approval: Approval, more: str) -> str:
    if approval.policy.interval == BudgetInterval.RUN:
        return ""
    return (
        f" Approved until the window resets, it raises the limit for "
        f"{approval_words.whose(approval)} by {more} instead."
    )


def raises_now(approval: Approval) -> bool:
    """Whether it was approved and raises a limit now."""
    return overrides.is_in_force(approval, timezone.now())


def what_ending_does(approval: Approval) -> str:
    """What ending it before its time does."""
    return (
        f"The limit of “{approval.policy}” for {approval_words.whose(approval)} is the policy's "
        f"own again from the next call on, {asked_for(approval)} less than now. What was used "
        "stays used, so it may be past its limit then. It cannot be taken back; more can be asked "
        "for."
    )


def _which_call(approval: Approval) -> str:
    if is_kept(approval):
        return "The call waits and is made at once, unless it needs another approval as well."
    return "Whoever was refused may repeat the call with this request's identifier, once."


def what_denying_does(approval: Approval) -> str:
    """What denying it does."""
    if approval.until == ApprovalUntil.CALL and is_kept(approval):
        return "The call that waits is not made, and whoever asks for its answer is told so."
    return "The limit stays as it is, and the team is told so with your comment."


def is_kept(approval: Approval) -> bool:
    """Whether a call waits for it, to be made once it is approved."""
    if approval.call_id is None:
        return False
    waits = KeptCall.objects.filter(pk=approval.call_id, ended_at__isnull=True)
    return bool(remembered(approval, "kept", waits.exists))


def asked_for(approval: Approval) -> str:
    """The amount asked for, in the metric of its policy."""
    return amount_text(approval.policy.metric, approval.amount)
