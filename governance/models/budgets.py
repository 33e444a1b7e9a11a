"""What may be spent: policies, their windows, and requests for more."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from governance.models.modes import RoutingMode
from governance.models.teams import Team
from governance.zones import validate_zone
from providers.versioned import Versioned


class BudgetScope(models.TextChoices):
    """Whose calls a policy counts together."""

    GLOBAL = "global", "Everyone together"
    TEAM = "team", "Team"
    USER = "user", "Person"
    SESSION = "session", "Session"
    API_KEY = "api_key", "API key"
    JOB = "job", "Scheduled job"
    PROVIDER = "provider", "Provider"
    MODEL = "model", "Model"


class BudgetMetric(models.TextChoices):
    """What a policy counts."""

    COST = "cost", "Cost"
    TOKENS = "tokens", "Tokens"
    INPUT_TOKENS = "input_tokens", "Input tokens"
    OUTPUT_TOKENS = "output_tokens", "Output tokens"
    REQUESTS = "requests", "Requests"


class BudgetInterval(models.TextChoices):
    """How long a window lasts: by the calendar in the policy's zone, or rolling.

    A run is one firing of a scheduled job with all its calls; any other call is a run of its own.
    """

    RUN = "run", "Run"
    MINUTE = "minute", "Minute"
    HOUR = "hour", "Hour"
    DAY = "day", "Day"
    WEEK = "week", "Week"
    MONTH = "month", "Month"
    QUARTER = "quarter", "Quarter"
    YEAR = "year", "Year"
    TOTAL = "total", "Total"


# Those that have a length to roll by.
ROLLING_INTERVALS = tuple(
    one for one in BudgetInterval if one not in (BudgetInterval.RUN, BudgetInterval.TOTAL)
)


class BudgetAction(models.TextChoices):
    """What becomes of a call that a hard limit has no room for."""

    ALERT = "alert", "Let it pass, and alert"
    DEGRADE = "degrade", "Use a cheaper model that fits, else block"
    BLOCK = "block", "Block"
    REQUIRE_APPROVAL = "approval", "Require approval"


DEFAULT_THRESHOLDS = (50, 75, 90, 100)


def default_thresholds() -> list[int]:
    """The percentages of the limit at which a new policy alerts."""
    return list(DEFAULT_THRESHOLDS)


LARGEST_THRESHOLD = 1000


def thresholds_fault(thresholds: Any) -> str | None:
    """Why a policy cannot alert at these percentages, or None."""
    if not isinstance(thresholds, list) or not all(type(one) is int for one in thresholds):
        return "Give whole percentages, such as 50, 75 and 90."
    if not all(1 <= one <= LARGEST_THRESHOLD for one in thresholds):
        return f"Give percentages from 1 to {LARGEST_THRESHOLD}."
    if len(set(thresholds)) < len(thresholds):
        return "Give each percentage once."
    return None


COUNTED_ALREADY = "This cannot be changed once calls were counted; make a new policy instead."


# What a policy counts, and from when to when.
IDENTITY = ("scope", "team_id", "value", "metric", "interval", "rolling", "zone")


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
        help_text="Whose calls are counted. Leave empty for every team's; with scope “team”, each "
        "then has a window of its own.",
    )
    value = models.CharField(
        max_length=255,
        blank=True,
        default="",
        db_default="",
        help_text="The one person, session, key, job, provider or model that is counted. Leave "
        "empty to give each a window of its own.",
    )
    metric = models.CharField(max_length=16, choices=BudgetMetric, default=BudgetMetric.COST)
    interval = models.CharField(max_length=16, choices=BudgetInterval, default=BudgetInterval.MONTH)
    rolling = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Count the last hour, day and so on, not the calendar's.",
    )
    zone = models.CharField("time zone", max_length=64, default="UTC", validators=[validate_zone])
    soft_limit = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0, "A limit cannot be negative.")]
    )
    hard_limit = models.BigIntegerField(
        null=True, blank=True, validators=[MinValueValidator(0, "A limit cannot be negative.")]
    )
    action = models.CharField(
        "at the hard limit",
        max_length=16,
        choices=BudgetAction,
        default=BudgetAction.BLOCK,
        db_default=BudgetAction.BLOCK,
    )
    thresholds = models.JSONField(
        "alert at",
        default=default_thresholds,
        db_default=models.Value(list(DEFAULT_THRESHOLDS), models.JSONField()),
        blank=True,
        help_text="Percentages of the limit at which an alert is raised, once a window each.",
    )
    routing_mode = models.CharField(
        max_length=16,
        choices=RoutingMode,
        blank=True,
        default="",
        db_default="",
        help_text="Overrides the routing mode of the calls it counts; empty leaves it as it is.",
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
                name="budget_policy_global_names_nobody",
                condition=~Q(scope=BudgetScope.GLOBAL) | Q(team__isnull=True, value=""),
            ),
            models.CheckConstraint(
                name="budget_policy_team_scope_names_by_team",
                condition=~Q(scope=BudgetScope.TEAM) | Q(value=""),
            ),
            models.CheckConstraint(
                name="budget_policy_rolls_by_a_length",
                condition=Q(rolling=False) | ~Q(interval__in=["run", "total"]),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *arguments: Any, **options: Any) -> None:
        before = BudgetPolicy.objects.filter(pk=self.pk).first() if self.pk else None
        if before is not None and self._differs_in(before):
            # What was counted until now was counted by other rules: from here on it is by these.
            self.created_at = timezone.now()
            if options.get("update_fields") is not None:
                options["update_fields"] = {*options["update_fields"], "created_at"}
        super().save(*arguments, **options)

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
        if self.scope == BudgetScope.GLOBAL and self.team_id:
            faults["team"] = "A policy for everyone together names no team."
        if self.scope in (BudgetScope.GLOBAL, BudgetScope.TEAM) and self.value:
            faults["value"] = "This scope names nobody here."
        if self.scope == BudgetScope.SESSION and self.value and not self.team_id:
            faults["team"] = "Say whose session it is: each team names its own."
        if self.rolling and self.interval not in ROLLING_INTERVALS:
            faults["rolling"] = "A run, and all time, cannot roll."
        fault = thresholds_fault(self.thresholds)
        if fault:
            faults["thresholds"] = fault
        else:
            self.thresholds = sorted(self.thresholds)
        faults.update(self._identity_faults())
        if faults:
            raise ValidationError(faults)

    def _identity_faults(self) -> dict[str, str]:
        """What a policy counts cannot change once it has counted: its windows would lie."""
        before = BudgetPolicy.objects.filter(pk=self.pk).first() if self.pk else None
        if before is None or not before.windows.exists():
            return {}
        return {name.removesuffix("_id"): COUNTED_ALREADY for name in self._differs_in(before)}

    def _differs_in(self, before: BudgetPolicy) -> list[str]:
        """The fields that say what is counted, and are not as they were."""
        return [name for name in IDENTITY if getattr(before, name) != getattr(self, name)]

    def validate_constraints(self, exclude: Any = None) -> None:
        """`clean` has said it in better words, so the same faults are not repeated."""
        super().validate_constraints(
            exclude={
                *(exclude or ()),
                "soft_limit",
                "hard_limit",
                "team",
                "scope",
                "value",
                "rolling",
            }
        )


class BudgetWindow(models.Model):
    """One policy's counter for one scope value and one interval; of a rolling policy, for one
    bucket of it.

    `consumed + held <= hard limit + raised_by` at every instant, but for what a provider charged
    beyond what was held.
    """

    policy = models.ForeignKey(BudgetPolicy, on_delete=models.CASCADE, related_name="windows")
    scope_value = models.CharField(max_length=300, blank=True)
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
