"""Who may call: teams, their members and their keys."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator
from django.db import models

from governance.models.modes import RoutingMode
from governance.zones import validate_zone
from providers.versioned import Versioned

MOST_PATTERNS, LONGEST_PATTERN = 100, 255
LONGEST_TEXT_DAYS = 3650
RESERVED_SLUGS = {"sign-in", "sign-out"}


def validate_slug_is_free(slug: str) -> None:
    """Refuse the words that the team pages' own addresses use."""
    if slug in RESERVED_SLUGS:
        raise ValidationError("This word has another meaning here; choose another.", code="slug")


def patterns_fault(patterns: Any) -> str | None:
    """Why these cannot say which models a team may use, or None."""
    if not isinstance(patterns, list) or not all(isinstance(one, str) for one in patterns):
        return "Give a list of names such as provider/model or provider/*."
    if len(patterns) > MOST_PATTERNS or any(len(one) > LONGEST_PATTERN for one in patterns):
        return f"Give at most {MOST_PATTERNS} names of at most {LONGEST_PATTERN} characters each."
    for one in patterns:
        provider, _, model = one.partition("/")
        if not provider.strip() or not model.strip() or one != one.strip():
            return f"“{one}” is not provider/model, nor provider/* for all of one."
    if len(set(patterns)) < len(patterns):
        return "Give each name once."
    return None


class Team(Versioned):
    """A group of people and integrations that share budgets."""

    slug = models.SlugField(
        unique=True,
        validators=[validate_slug_is_free],
        help_text="Short and stable; shown in reports and addresses.",
    )
    name = models.CharField(max_length=100)
    zone = models.CharField(
        "time zone",
        max_length=64,
        default="UTC",
        validators=[validate_zone],
        help_text="An IANA name such as Europe/Prague; the team's pages show times in it.",
    )
    enabled = models.BooleanField(default=True, help_text="A disabled team's keys are refused.")
    allowed_models = models.JSONField(
        default=list,
        db_default=models.Value([], models.JSONField()),
        blank=True,
        help_text="Names such as provider/model, or provider/* for all of one; empty allows all.",
    )
    routing_mode = models.CharField(
        max_length=16,
        choices=RoutingMode,
        blank=True,
        default="",
        db_default="",
        help_text="Empty takes the installation's.",
    )
    text_days = models.PositiveIntegerField(
        "prompts and answers are kept for",
        default=0,
        db_default=0,
        validators=[MaxValueValidator(LONGEST_TEXT_DAYS)],
        help_text="Days. 0 keeps none, and deletes what was kept.",
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        fault = patterns_fault(self.allowed_models)
        if fault:
            raise ValidationError({"allowed_models": fault})


class MembershipRole(models.TextChoices):
    """What a person may do in a team."""

    MEMBER = "member", "Member"
    MANAGER = "manager", "Manager"


class Membership(models.Model):
    """A person's place in a team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships"
    )
    role = models.CharField(max_length=16, choices=MembershipRole, default=MembershipRole.MEMBER)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["team__name", "user__username"]
        constraints = [
            models.UniqueConstraint(
                "team",
                "user",
                name="membership_once",
                violation_error_message="This person is already a member of the team.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team}"


class ApiKey(Versioned):
    """An integration's key `ply_<public id>_<secret>`; of the secret only a keyed hash is kept."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100, help_text="What it is for.")
    public_id = models.CharField(max_length=24, unique=True, editable=False)
    secret_hash = models.CharField(max_length=64, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        editable=False,
    )
    created_at = models.DateTimeField(auto_now_add=True)
    routing_mode = models.CharField(
        max_length=16,
        choices=RoutingMode,
        blank=True,
        default="",
        db_default="",
        help_text="Empty takes the team's.",
    )
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.shown})"

    @property
    def shown(self) -> str:
        """The key as it may be shown: its public part and its last four characters."""
        return f"ply_{self.public_id}_…{self.last_four}"
