"""Requests for more of a budget, and calls that wait for one to be decided."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import F, Q
from django.utils import timezone

from governance.models.budgets import BudgetPolicy, BudgetWindow
from governance.models.teams import ApiKey, Team
from providers.identifiers import new_id
from providers.versioned import bump


class ApprovalStatus(models.TextChoices):
    """Where a request for more stands."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    DENIED = "denied", "Denied"


class ApprovalUntil(models.TextChoices):
    """How long what is approved raises the limit."""

    CALL = "call", "This call only"
    RESET = "reset", "Until the window resets"
    DATE = "date", "Until a date"


class Approval(models.Model):
    """A request for more of a budget, and what was decided of it, once.

    For one call, it raises the limit by what that call takes, for as long as it takes it. Until the
    window resets, it is part of the window's `raised_by`. Until a date, it raises every window of
    its policy and scope value while it lasts: only then is it part of the snapshot, so that calls
    which ask for themselves make no process read anew. Bulk writes of such are counted, and all are
    put into the audit trail, by whoever makes them.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="approvals")
    policy = models.ForeignKey(BudgetPolicy, on_delete=models.CASCADE, related_name="approvals")
    amount = models.BigIntegerField(validators=[MinValueValidator(1, "Ask for more than nothing.")])
    scope_value = models.CharField(
        max_length=300, blank=True, default="", db_default="", editable=False
    )
    until = models.CharField(
        max_length=16,
        choices=ApprovalUntil,
        default=ApprovalUntil.RESET,
        db_default=ApprovalUntil.RESET,
    )
    expires_at = models.DateTimeField(
        null=True, blank=True, help_text="When it ends, if it lasts until a date."
    )
    call_id = models.UUIDField(
        null=True, blank=True, editable=False, help_text="The call that was blocked, if one was."
    )
    api_key = models.ForeignKey(
        ApiKey, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        null=True,
        related_name="+",
        help_text="Nobody, where a call made with a key asked.",
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=16, choices=ApprovalStatus, default=ApprovalStatus.PENDING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    comment = models.CharField(max_length=500, blank=True)
    ended_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        help_text="Who ended before its time what was approved.",
    )
    ended_at = models.DateTimeField(null=True, editable=False)
    window = models.ForeignKey(
        BudgetWindow, on_delete=models.SET_NULL, null=True, related_name="approvals"
    )

    class Meta:
        ordering = ["-requested_at"]
        permissions = [("decide_approval", "Can approve or deny requests for more budget")]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "policy", "scope_value"],
                condition=Q(status="pending") & ~Q(until="call"),
                name="approval_one_pending",
                violation_error_message="The team has already asked for more of this budget.",
            ),
            models.CheckConstraint(name="approval_amount_positive", condition=Q(amount__gt=0)),
            models.UniqueConstraint(
                fields=["call_id", "policy"],
                condition=Q(status="pending", until="call"),
                name="approval_one_pending_per_call",
            ),
            models.CheckConstraint(
                name="approval_until_a_date_has_one",
                condition=~Q(until="date") | Q(expires_at__isnull=False),
            ),
            models.CheckConstraint(
                name="approval_for_a_call_names_it",
                condition=~Q(until="call") | Q(call_id__isnull=False),
            ),
            models.CheckConstraint(
                name="approval_not_decided_by_requester",
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team}: more of {self.policy}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        with transaction.atomic():
            self._count()
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        with transaction.atomic():
            self._count()
            return super().delete(*args, **kwargs)

    @property
    def in_snapshot(self) -> bool:
        """Whether processes keep it in memory."""
        return self.until == ApprovalUntil.DATE and self.status == ApprovalStatus.APPROVED

    def _count(self) -> None:
        if self.in_snapshot:
            bump()


class KeptCall(models.Model):
    """A call that waits for approval, was asked for with `Prefer: respond-async`, and is made once
    it is approved. Its row in the ledger has the same id.

    The request is forgotten when the call has ended; the answer is kept until `expires_at`.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    request = models.JSONField(help_text="The call as it was asked for.", null=True)
    answer = models.JSONField(null=True)
    error = models.JSONField(null=True, help_text="As the endpoint would have answered.")
    queued_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return str(self.id)
