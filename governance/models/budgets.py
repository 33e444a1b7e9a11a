"""What may be spent: policies, their windows, and requests for more."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from governance.models.teams import Team
from governance.zones import validate_zone
from providers.identifiers import new_id
from providers.versioned import Versioned


class BudgetScope(models.TextChoices):
    """Whose calls a policy counts together."""

    GLOBAL = "global", "Everyone together"
    TEAM = "team", "Team"


class BudgetMetric(models.TextChoices):
    """What a policy counts."""

    COST = "cost", "Cost"
    TOKENS = "tokens", "Tokens"
    REQUESTS = "requests", "Requests"


class BudgetInterval(models.TextChoices):
    """How long a window lasts, by the calendar in the policy's zone."""

    DAY = "day", "Day"
    MONTH = "month", "Month"
    TOTAL = "total", "Total"


COUNTED_ALREADY = "This cannot be changed once calls were counted; make a new policy instead."


class BudgetPolicy(Versioned):
    """A limit: scope × metric × interval. Limits are nano-dollars, tokens or requests."""

    name = models.CharField(max_length=100, unique=True)
    scope = models.CharField(max_length=16, choices=BudgetScope, default=BudgetScope.TEAM)
    team = models.ForeignKey(
        Team,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="policies",
        help_text="Leave empty to give each team a window of its own.",
    )
    metric = models.CharField(max_length=16, choices=BudgetMetric, default=BudgetMetric.COST)
    interval = models.CharField(max_length=16, choices=BudgetInterval, default=BudgetInterval.MONTH)
    zone = models.CharField("time zone", max_length=64, default="UTC", validators=[validate_zone])
    soft_limit = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0, "A limit cannot be negative.")]
    )
    hard_limit = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0, "A limit cannot be negative.")]
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "budget policies"
        constraints = [
            models.CheckConstraint(
                name="budget_policy_limits_not_negative",
                condition=(Q(soft_limit__isnull=True) | Q(soft_limit__gte=0))
                & (Q(hard_limit__isnull=True) | Q(hard_limit__gte=0)),
            ),
            models.CheckConstraint(
                name="budget_policy_soft_not_above_hard",
                condition=Q(soft_limit__isnull=True)
                | Q(hard_limit__isnull=True)
                | Q(soft_limit__lte=F("hard_limit")),
            ),
            models.CheckConstraint(
                name="budget_policy_has_a_limit",
                condition=Q(soft_limit__isnull=False) | Q(hard_limit__isnull=False),
            ),
            models.CheckConstraint(
                name="budget_policy_team_only_in_team_scope",
                condition=Q(team__isnull=True) | Q(scope=BudgetScope.TEAM),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        faults: dict[str, Any] = {}
        if self.soft_limit is None and self.hard_limit is None:
            faults["hard_limit"] = "Give a hard limit, a soft limit, or both."
        if (
            self.soft_limit is not None
            and self.hard_limit is not None
            and self.soft_limit > self.hard_limit
        ):
            faults["soft_limit"] = "The soft limit must not be above the hard limit."
        if self.team_id and self.scope != BudgetScope.TEAM:
            faults["team"] = "Only a policy of scope “team” names a team."
        faults.update(self._identity_faults())
        if faults:
            raise ValidationError(faults)

    def _identity_faults(self) -> dict[str, str]:
        """What a policy counts cannot change once it has counted: its windows would lie."""
        before = BudgetPolicy.objects.filter(pk=self.pk).first() if self.pk else None
        if before is None or not before.windows.exists():
            return {}
        return {
            name.removesuffix("_id"): COUNTED_ALREADY
            for name in ("scope", "team_id", "metric", "interval", "zone")
            if getattr(before, name) != getattr(self, name)
        }

    def validate_constraints(self, exclude: Any = None) -> None:
        """`clean` has said it in better words, so the same faults are not repeated."""
        super().validate_constraints(
            exclude={*(exclude or ()), "soft_limit", "hard_limit", "team", "scope"}
        )


class BudgetWindow(models.Model):
    """One policy's counter for one scope value and one interval.

    `consumed + held <= hard limit + raised_by` at every instant, but for what a provider charged
    beyond what was held.
    """

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.CASCADE, related_name="windows")
    scope_value = models.CharField(max_length=64, blank=True)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    consumed = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    raised_by = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["-starts_at", "policy__name", "scope_value"]
        constraints = [
            models.UniqueConstraint(
                fields=["policy", "scope_value", "starts_at"], name="budget_window_once"
            ),
            models.CheckConstraint(
                name="budget_window_counts_not_negative",
                condition=Q(consumed__gte=0) & Q(held__gte=0) & Q(raised_by__gte=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.policy} from {self.starts_at:%Y-%m-%d}"


class ApprovalStatus(models.TextChoices):
    """Where a request for more stands."""

    PENDING = "pending", "Pending"
    APPROVED = "approved", "Approved"
    DENIED = "denied", "Denied"


class Approval(models.Model):
    """A request for more budget until the window resets, and what was decided of it, once."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="approvals")
    policy = models.ForeignKey(BudgetPolicy, on_delete=models.CASCADE, related_name="approvals")
    amount = models.BigIntegerField(validators=[MinValueValidator(1, "Ask for more than nothing.")])
    reason = models.CharField(max_length=500)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    requested_at = models.DateTimeField(default=timezone.now, editable=False)
    status = models.CharField(max_length=16, choices=ApprovalStatus, default=ApprovalStatus.PENDING)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True)
    comment = models.CharField(max_length=500, blank=True)
    window = models.ForeignKey(
        BudgetWindow, on_delete=models.SET_NULL, null=True, related_name="approvals"
    )

    class Meta:
        ordering = ["-requested_at"]
        permissions = [("decide_approval", "Can approve or deny requests for more budget")]
        constraints = [
            models.UniqueConstraint(
                fields=["team", "policy"],
                condition=Q(status="pending"),
                name="approval_one_pending",
                violation_error_message="The team has already asked for more of this budget.",
            ),
            models.CheckConstraint(name="approval_amount_positive", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="approval_not_decided_by_requester",
                condition=Q(decided_by__isnull=True) | ~Q(decided_by=F("requested_by")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.team}: more of {self.policy}"
