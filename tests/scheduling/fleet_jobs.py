"""Two hundred jobs of all kinds for the simulated fleet, and an oracle of their scheduled times."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import takewhile
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from governance.models import Team
from scheduling import jobs
from scheduling.models import CronJob, ExclusionCalendar, MisfirePolicy, OverlapPolicy
from tests.scheduling.oracle import fires

# Clocks change on Lord Howe on the 3rd, in Prague on the 25th and in New York on the 1st.
START = datetime(2026, 10, 3, tzinfo=UTC)
# A statement takes PostgreSQL several times as long: there it is a week, with the change on Lord
# Howe.
DAYS = 30 if connection.vendor == "sqlite" else 7
END = START + timedelta(days=DAYS)
# Beyond the end, to know which time comes next.
HORIZON = END + timedelta(days=1)
HOUR = 3600
ZONES = (
    "UTC",
    "Europe/Prague",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kolkata",
)
SELDOM = 0.2
COUNTS = {"daily": 72, "interval": 30, "weekly": 60, "once": 30, "dense": 8}


def make_jobs(team: Team, random: Random) -> list[CronJob]:
    """The jobs, stored as of `START`."""
    calendars = [
        ExclusionCalendar.objects.create(team=team, name=f"List {number}", dates=dates)
        for number, dates in enumerate(_lists_of_days(random))
    ]
    made, left_out = [], {}
    for kind, count in COUNTS.items():
        for number in range(count):
            job = CronJob(team=team, name=f"{kind} {number}", anchor_at=START)
            for field, value in (_common(random) | _timing(kind, random)).items():
                setattr(job, field, value)
            job.clean_fields()
            few = random.sample(calendars, random.randint(1, len(calendars)))
            left_out[job.pk] = few if random.random() < SELDOM else []
            jobs.assign_schedule(job, now=START, calendars=left_out[job.pk])
            made.append(job)
    CronJob.objects.bulk_create(made)
    for job in made:
        job.calendars.add(*left_out[job.pk])
    return made


def _lists_of_days(random: Random) -> list[list[str]]:
    days = [str((START + timedelta(days=number)).date()) for number in range(32)]
    return [sorted(random.sample(days, count)) for count in (2, 4, 8)]


def _timing(kind: str, random: Random) -> dict[str, Any]:
    zone = random.choice(ZONES)
    # Few different times a day, so that several jobs are due at once.
    minute, hours = random.choice(("0", "0", "30")), random.choice(("2", "2", "14", "2,14"))
    begin = START + timedelta(hours=random.randrange(28 * 24))
    every = random.choice((6, 12, 24, 24, 30, 48)) * HOUR
    timings: dict[str, dict[str, Any]] = {
        "daily": {"cron": f"{minute} {hours} * * {random.choice(('*', '*', '1-5', '*/2'))}"},
        "weekly": {"cron": f"0 9 {random.choice(('*', '1,15', '*/7'))} * {random.randrange(7)}"},
        "interval": {"every_seconds": every},
        "once": {"at": begin + timedelta(minutes=random.randrange(120))},
        "dense": {
            **random.choice(
                ({"cron": "*/3 * * * *"}, {"every_seconds": 150}, {"cron": "*/5 * * * *"})
            ),
            "starts_at": begin,
            "ends_at": begin + timedelta(hours=random.randint(1, 2)),
        },
    }
    chosen = timings[kind]
    named = "cron" if "cron" in chosen else "every" if "every_seconds" in chosen else "at"
    limits: dict[str, Any] = {}
    if kind in {"daily", "interval"} and random.random() < SELDOM:
        limits = {"starts_at": begin} if random.random() < 0.5 else {"ends_at": begin}
    return {"schedule_kind": named, "zone": zone, **limits, **chosen}


def _common(random: Random) -> dict[str, Any]:
    def seldom(value: Any, odds: float = SELDOM) -> Any:
        return value if random.random() < odds else None

    return {
        "prompt": "How are the figures?",
        "jitter_seconds": seldom(random.choice((60, 600, HOUR)), 0.07) or 0,
        "max_runs": seldom(random.randint(1, 20)),
        "overlap": random.choice(OverlapPolicy.values),
        "max_parallel": random.randint(2, 3),
        "misfire": random.choice(MisfirePolicy.values),
        "catch_up_limit": random.randint(1, 5),
        "catch_up_hours": random.choice((1, 6, 24, 48)),
        "max_attempts": random.choice((1, 1, 2, 3, 6)),
        "backoff_seconds": random.choice((1, 10, 60)),
        "retry_unconfirmed": random.random() < 0.3,
        "max_runtime_seconds": random.choice((600, HOUR)),
        "expected_seconds": seldom(30),
        "pause_after_failures": seldom(random.randint(1, 3)),
    }


def slots_of(job: CronJob) -> list[datetime]:
    """Every time the job is scheduled for, after `START` and up to `HORIZON`."""
    left_out = {date.fromisoformat(day) for one in job.calendars.all() for day in one.dates}
    where = ZoneInfo(job.zone)
    return [
        slot
        for slot in _unlimited(job)
        if (job.starts_at is None or slot >= job.starts_at)
        and (job.ends_at is None or slot <= job.ends_at)
        and slot.astimezone(where).date() not in left_out
    ]


def _unlimited(job: CronJob) -> list[datetime]:
    if job.cron:
        return fires(job.cron, job.zone, START, HORIZON)
    if job.at is not None:
        return [job.at]
    interval = timedelta(seconds=job.every_seconds or 0)
    grid = (START + interval * number for number in range(1, 10**6))
    return list(takewhile(lambda slot: slot <= HORIZON, grid))
