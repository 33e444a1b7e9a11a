"""Schedules in plain words."""

from __future__ import annotations

import pytest

from scheduling import schedule as schedules
from scheduling.schedule import Schedule
from tests.scheduling.test_schedule import EPOCH, PRAGUE, at, cron, every


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (every(1), "Every second"),
        (every(2), "Every 2 seconds"),
        (every(90), "Every 90 seconds"),
        (every(5400), "Every 90 minutes"),
        (every(86400), "Every day"),
        (every(1001), "Every 1,001 seconds"),
        (at(EPOCH, PRAGUE), "Once, on 1 January 2026 at 01:00, Europe/Prague"),
        (at(EPOCH.replace(second=5)), "Once, on 1 January 2026 at 00:00:05, UTC"),
        (cron("* * * * *"), "Every minute, UTC"),
        (cron("*/5 * * * *"), "Every 5 minutes, UTC"),
        (
            cron("*/11 8 * * *"),
            "At 08:00, 08:11, 08:22, 08:33, 08:44 and 08:55 every day, UTC",
        ),
        (
            cron("*/9 8 * * *"),
            "At 0, 9, 18, 27, 36, 45 and 54 minutes past the hour, from 08:00 to 08:54, UTC",
        ),
        (cron("0 9 * * MON-FRI", PRAGUE), "At 09:00 on weekdays, Europe/Prague"),
        (cron("0 9,17 * * *"), "At 09:00 and 17:00 every day, UTC"),
        (cron("*/15 9-17 * * 1-5"), "Every 15 minutes from 09:00 to 17:45 on weekdays, UTC"),
        (cron("0 * * * *"), "On the hour, every hour, UTC"),
        (cron("5 * * * *"), "At 5 minutes past the hour, every hour, UTC"),
        (cron("0 */2 * * *"), "On the hour, every 2 hours from 00:00, UTC"),
        (cron("* 9 * * *"), "Every minute from 09:00 to 09:59, UTC"),
        (cron("* */6 * * *"), "Every minute in every 6th hour from 00:00, UTC"),
        (
            cron("7,8,9 1,3,4 * * *"),
            "At 7 to 9 minutes past the hour, in the hours 1, 3 and 4, UTC",
        ),
        (cron("@weekly"), "At 00:00 on Sundays, UTC"),
        (cron("30 6 * 6-8 0,6"), "At 06:30 on weekends from June to August, UTC"),
        (cron("0 0 1 1 *"), "At 00:00 on the 1st of January, UTC"),
        (cron("0 0 2,3,11,22 * *"), "At 00:00 on the 2nd, 3rd, 11th and 22nd of the month, UTC"),
        (cron("0 0 1-7 * *"), "At 00:00 on the 1st to the 7th of the month, UTC"),
        (cron("0 0 13 * 5"), "At 00:00 on the 13th of the month and on Fridays, UTC"),
        (
            cron("0 0 13 1,2 5"),
            "At 00:00 on the 13th of the month and on Fridays in January and February, UTC",
        ),
        (
            cron("0 0 */2 * 1"),
            "At 00:00 on every 2nd day from the 1st of the month if it is a Monday, UTC",
        ),
        (cron("0 0 1-31 5 1"), "At 00:00 every day in May, UTC"),
    ],
)
def test_schedules_in_plain_words(schedule: Schedule, words: str) -> None:
    assert schedules.sentence(schedule) == words
