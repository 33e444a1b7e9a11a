"""When a prompt runs: the part of the form that has a preview."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.core.exceptions import ValidationError

from governance.forms import add_faults
from governance.models import Team
from governance.zones import zone as time_zone
from scheduling.calendars import usable_by
from scheduling.forms.fields import LocalTimeField, RowsField, number
from scheduling.models import CronJob, ExclusionCalendar, ScheduleKind
from scheduling.previews import Preview, preview

UNITS = ((1, "seconds"), (60, "minutes"), (3600, "hours"), (86400, "days"))
DEFAULT_UNIT = 60
# The form asks for a number and a unit where the job has seconds.
SHOWN_AT = {"every_seconds": "every_count"}
WHEN = ("schedule_kind", "cron", "every_count", "every_unit", "at", "zone")
BOUNDS = ("starts_at", "ends_at", "max_runs", "calendars", "jitter_seconds")


class TimingForm(forms.Form):
    """When a prompt runs, from when until when, and on which days not."""

    schedule_kind = forms.ChoiceField(
        choices=ScheduleKind.choices,
        initial=ScheduleKind.CRON,
        label="Runs",
        widget=forms.RadioSelect,
    )
    cron = forms.CharField(
        required=False,
        max_length=256,
        label="Cron expression",
        help_text="0 9 * * MON-FRI is nine o’clock on weekdays: minute, hour, day of month, "
        "month, day of week.",
        widget=forms.TextInput(
            attrs={"list": "cron-examples", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    every_count = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=100_000,
        label="Every",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    every_unit = forms.ChoiceField(
        required=False, choices=UNITS, initial=DEFAULT_UNIT, label="Unit"
    )
    at = LocalTimeField(required=False, label="Date and time", help_text="In the zone below.")
    zone = forms.CharField(
        max_length=64,
        label="Time zone",
        help_text="Type a city, for example Prague or New_York.",
        error_messages={"required": "Choose a time zone."},
        widget=forms.TextInput(
            attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    starts_at = LocalTimeField(
        required=False, label="Not before", help_text="In the zone above. Empty: at once."
    )
    ends_at = LocalTimeField(
        required=False, label="Not after", help_text="In the zone above. Empty: for ever."
    )
    max_runs = number(
        "max_runs",
        label="Runs in all",
        help_text="After so many scheduled runs it is finished. Empty: no limit.",
    )
    jitter_seconds = number(
        "jitter_seconds",
        label="Spread the beginning over",
        help_text="Seconds, at most an hour. Each scheduled time begins so much later as falls to "
        "it, always the same, so that not everything of that minute begins at once.",
    )
    calendars = RowsField(
        ExclusionCalendar.objects.none(),
        required=False,
        label="Not on the days of",
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "invalid_choice": "Choose among the calendars shown.",
            "invalid_pk_value": "Choose among the calendars shown.",
        },
    )

    def __init__(self, *args: Any, team: Team | None = None, **kwargs: Any) -> None:
        """`team` is whose calendars are offered, besides those of everyone."""
        super().__init__(*args, **kwargs)
        if team is not None and "calendars" in self.fields:
            self.offer_calendars(team)

    def offer_calendars(self, team: Team) -> None:
        """Let the team's calendars and those of everyone be chosen."""
        field: Any = self.fields["calendars"]
        field.queryset = usable_by(team)

    def clean_zone(self) -> str:
        name: str = self.cleaned_data["zone"]
        try:
            time_zone(name)
        except ValueError as error:
            raise ValidationError(str(error), code="zone") from None
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        needed = {
            ScheduleKind.CRON: ("cron", "Give a cron expression, such as 0 9 * * MON-FRI."),
            ScheduleKind.EVERY: ("every_count", "Say how often, such as every 30 minutes."),
            ScheduleKind.AT: ("at", "Say when, as a date and a time."),
        }
        kind = cleaned.get("schedule_kind")
        if kind in needed:
            field, message = needed[ScheduleKind(kind)]
            if not cleaned.get(field) and field not in self.errors:
                self.add_error(field, ValidationError(message, code="required"))
        return cleaned

    def timing(self) -> dict[str, Any]:
        """The job's schedule fields, times in no zone yet; other kinds' fields are left empty."""
        cleaned = self.cleaned_data
        kind = cleaned["schedule_kind"]
        every = cleaned["every_count"] if kind == ScheduleKind.EVERY else None
        return {
            "schedule_kind": kind,
            "cron": cleaned["cron"] if kind == ScheduleKind.CRON else "",
            "every_seconds": every * int(cleaned["every_unit"] or DEFAULT_UNIT) if every else None,
            "at": cleaned["at"] if kind == ScheduleKind.AT else None,
            "zone": cleaned["zone"],
            "starts_at": cleaned["starts_at"],
            "ends_at": cleaned["ends_at"],
            "max_runs": cleaned["max_runs"],
            "jitter_seconds": cleaned["jitter_seconds"] or 0,
            "calendars": list(cleaned["calendars"]),
        }

    def preview(self, now: datetime, job: CronJob | None = None) -> Preview | None:
        """The schedule in words and its next times, or None and faults beside the fields.

        An interval that `job` already has goes on counting from where it began, and its times keep
        their delays.
        """
        if any(name in self.errors for name in TimingForm.base_fields):
            return None
        try:
            return preview(now=now, job=job, **self.timing())
        except ValidationError as error:
            add_faults(self, error, shown_at=SHOWN_AT)
            return None


def local_times(job: CronJob, *names: str) -> dict[str, datetime | None]:
    """The job's times as clocks in its zone show them."""
    where = time_zone(job.zone)
    found = {name: getattr(job, name) for name in names}
    return {name: _shown(value, where) if value else None for name, value in found.items()}


def _shown(moment: datetime, where: ZoneInfo) -> datetime:
    try:
        return moment.astimezone(where).replace(tzinfo=None)
    except OverflowError:
        # No form takes it, but one must show it for it to be changed.
        return moment.replace(tzinfo=None)
