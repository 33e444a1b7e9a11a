"""The days of a calendar: written in one form, and in no other."""

from __future__ import annotations

from datetime import date

import pytest
from django.core.exceptions import ValidationError

from scheduling.forms.fields import DatesField
from scheduling.models import ExclusionCalendar, day_of

OTHERWISE = [
    "2026-W01-1",
    "20260101",
    "2026-1-1",
    "2026-02-30",
    "\u0662026-01-01",
    "2026-01-01T00:00",
]


@pytest.mark.parametrize("text", OTHERWISE)
def test_a_day_that_is_written_otherwise_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="is no day such as 2026-12-25"):
        ExclusionCalendar(name="Holidays", dates=["2026-12-25", text]).clean()
    with pytest.raises(ValidationError, match=r"Line 2: .* is no day such as 2026-12-25"):
        DatesField().clean(f"2026-12-25\n{text}")


def test_days_are_put_in_order() -> None:
    calendar = ExclusionCalendar(name="Holidays", dates=["2026-12-25", "2026-01-01", "2026-12-25"])
    calendar.clean()

    assert (
        calendar.dates
        == DatesField().clean(" 2026-12-25\n\n2026-01-01")
        == [
            "2026-01-01",
            "2026-12-25",
        ]
    )
    assert day_of("2026-12-25") == date(2026, 12, 25)
