"""The form of a calendar."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from governance.forms import add_faults
from governance.models import Team
from scheduling import calendars
from scheduling.forms.fields import DatesField
from scheduling.models import ExclusionCalendar


class CalendarForm(forms.Form):
    """A team's calendar: its name and its days."""

    name = forms.CharField(
        max_length=ExclusionCalendar._meta.get_field("name").max_length,
        label="Name",
        help_text="Schedules name it, as in: except on the days of “Holidays”.",
        error_messages={"required": "Give it a name."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    dates = DatesField(
        label="Days",
        help_text="One a line, such as 2026-12-25. Each is a day in the time zone of the schedule "
        "that goes by it.",
    )

    def __init__(
        self, *args: Any, team: Team, calendar: ExclusionCalendar | None = None, **kwargs: Any
    ) -> None:
        if calendar is not None:
            kwargs.setdefault("initial", {"name": calendar.name, "dates": calendar.dates})
        super().__init__(*args, **kwargs)
        self.team = team
        self.calendar = calendar

    def store(self, now: datetime) -> ExclusionCalendar | None:
        """Make or change the calendar, or None and faults beside the fields."""
        if not self.is_valid():
            return None
        try:
            if self.calendar is None:
                return calendars.create(team=self.team, **self.cleaned_data)
            return calendars.change(self.calendar, now=now, **self.cleaned_data)
        except ValidationError as error:
            add_faults(self, error)
            return None
