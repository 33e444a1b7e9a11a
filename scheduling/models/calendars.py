"""Named lists of dates on which scheduled prompts do not run."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q

from governance.models import Team
from scheduling.wakeups import JOBS_CHANGED, announce

MAX_CALENDAR_DATES = 2000


class ExclusionCalendar(models.Model):
    """Dates, such as holidays, that a job may leave out; each is a day in the job's zone."""

    name = models.CharField(max_length=100)
    team = models.ForeignKey(
        Team,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="calendars",
        help_text="Whose it is; every team may use it if empty.",
    )
    dates = models.JSONField(default=list, blank=True, help_text="Days as 2026-12-25, in order.")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        verbose_name = "exclusion calendar"
        constraints = [
            models.UniqueConstraint(
                fields=["team", "name"],
                name="calendar_name_once_per_team",
                violation_error_message="The team already has a calendar of that name.",
            ),
            models.UniqueConstraint(
                fields=["name"],
                condition=Q(team__isnull=True),
                name="calendar_name_once_for_everyone",
                violation_error_message="There is a calendar of that name for everyone already.",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        super().save(*args, **kwargs)
        announce(JOBS_CHANGED)

    def clean(self) -> None:
        """Put the dates in order, once each. Raises `ValidationError` with every fault."""
        super().clean()
        if not isinstance(self.dates, list):
            raise ValidationError({"dates": "Give a list of days, such as 2026-12-25."})
        faults = [
            f"{text!r} is no day such as 2026-12-25." for text in self.dates if not day_of(text)
        ]
        if len(self.dates) > MAX_CALENDAR_DATES:
            faults.append(f"Give at most {MAX_CALENDAR_DATES:,} days.")
        if faults:
            raise ValidationError({"dates": faults[:20]})
        self.dates = sorted({str(day_of(text)) for text in self.dates})

    @property
    def days(self) -> frozenset[date]:
        """The days as dates."""
        return frozenset(day for text in self.dates if (day := day_of(text)))


def day_of(text: object) -> date | None:
    """The day that is written as 2026-12-25; None if it is written otherwise, or is none."""
    try:
        day = date.fromisoformat(str(text))
    except ValueError:
        return None
    return day if day.isoformat() == str(text) else None
