"""How far away times are, in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from palyra_site.templatetags.team_display import clock_text, relative_text

NOW = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (-4, "just now"),
        (-5, "5 seconds ago"),
        (89, "in 89 seconds"),
        (90, "in 2 minutes"),
        (-3600, "60 minutes ago"),
        (2 * 3600, "in 2 hours"),
        (-36 * 3600, "2 days ago"),
        (30 * 86400, "in 30 days"),
    ],
)
def test_a_time_is_told_from_now(seconds: int, words: str) -> None:
    assert relative_text(NOW + timedelta(seconds=seconds), NOW) == words


@pytest.mark.parametrize(
    ("moment", "zone", "words"),
    [
        (NOW, "UTC", "Thu 31 Dec, 23:30"),
        (NOW + timedelta(seconds=7), "UTC", "Thu 31 Dec, 23:30:07"),
        # In Prague it is next year already, and so is now.
        (NOW, "Europe/Prague", "Fri 1 Jan, 00:30"),
        (NOW + timedelta(hours=1), "UTC", "Fri 1 Jan 2027, 00:30"),
    ],
)
def test_a_clock_shows_what_is_needed(moment: datetime, zone: str, words: str) -> None:
    assert clock_text(moment, NOW, zone) == words


def test_without_a_zone_a_clock_shows_the_pages_own() -> None:
    with timezone.override("Asia/Tokyo"):
        assert clock_text(NOW, NOW) == "Fri 1 Jan, 08:30"
