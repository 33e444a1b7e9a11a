"""A thousand random expressions in five zones, around clock changes, against a second cron."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from scheduling import schedule as schedules
from scheduling.cron import CronFault, parse
from scheduling.schedule import Kind, between
from tests.scheduling.oracle import BOUNDS, fires, instant

EXPRESSIONS = 1000
WINDOW = timedelta(hours=30)
# A list that is cut off here says nothing of what comes behind.
MOST_COMPARED = 40
# Each begins some hours before a clock change, a leap day, a year's end or a day that was not.
PLACES = {
    "Europe/Prague": ("2026-03-28 20:00", "2026-10-24 21:00", "2028-02-28 19:00"),
    "America/New_York": ("2026-03-08 02:00", "2026-11-01 01:00", "2026-12-31 20:00"),
    "Australia/Lord_Howe": ("2026-10-03 11:00", "2026-04-04 10:00", "2027-12-31 01:00"),
    "Africa/Casablanca": ("2026-02-14 22:00", "2026-03-21 22:00", "2027-02-06 23:00"),
    "Pacific/Apia": ("2011-12-30 05:00", "2011-09-24 09:00", "2012-03-31 09:00"),
}
ODDS_OF_A_STAR = (0.1, 0.2, 0.6, 0.7, 0.6)


def _random_field(random: Random, place: int) -> str:
    if random.random() < ODDS_OF_A_STAR[place]:
        return "*"
    return ",".join(
        _random_part(random, *BOUNDS[place]) for _ in range(random.choice((1, 1, 2, 3)))
    )


def _random_part(random: Random, first: int, last: int) -> str:
    low, high = sorted(random.sample(range(first, last + 1), 2))
    step = random.randint(1, high - low)
    return random.choice((str(low), f"{low}-{high}", f"{low}-{high}/{step}", f"*/{step}"))


def _random_expressions(random: Random, count: int) -> list[str]:
    found: list[str] = []
    while len(found) < count:
        expression = " ".join(_random_field(random, place) for place in range(5))
        try:
            parse(expression)
        except CronFault:
            continue
        found.append(expression)
    return found


@pytest.mark.parametrize(("zone", "places"), PLACES.items())
def test_a_thousand_random_expressions_fire_as_a_second_cron_has_them(
    zone: str, places: tuple[str, ...]
) -> None:
    random, compared = Random(zone), 0
    for expression in _random_expressions(random, EXPRESSIONS):
        schedule = schedules.parse(
            kind=Kind.CRON,
            cron=expression,
            zone=zone,
            anchor_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
        start = instant(random.choice(places))
        # Where in the window does not matter to the other cron, which has walked all of it.
        after = start + timedelta(minutes=random.randrange(7 * 60))
        fired = fires(expression, zone, start, start + WINDOW)
        expected = [time for time in fired if time > after][:MOST_COMPARED]

        found = between(schedule, after, start + WINDOW, MOST_COMPARED)

        assert found == expected, (expression, zone, after)
        compared += len(found)
    assert compared > 3 * EXPRESSIONS
