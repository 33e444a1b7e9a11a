"""Six weeks of calls: each team's own days and hours, one bad afternoon, and growth."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from governance.models import ModelCall, Surface, TaskClass
from palyra_site.demo.calls import Asked, Decided, Writer
from palyra_site.demo.scene import Scene

DAYS = 42
DAY = timedelta(days=1)
SATURDAY = 5
# Calls end so long before now: none is at work.
QUIET = timedelta(minutes=3)
# One afternoon a provider was overloaded: so many days ago, from and to, in UTC.
INCIDENT_PROVIDER, INCIDENT_DAYS_AGO = "anthropic", 9
INCIDENT = (time(13, 10), time(15, 40))


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How a team calls: on a working day so many times, growing by a share over the whole time;
    `keys` and `models` by weight, prompts of `characters`, answers of `output` tokens."""

    slug: str
    a_day: float
    growth: float
    weekend: float
    hours: tuple[int, int]
    keys: tuple[tuple[str, int], ...]
    models: tuple[tuple[str, int], ...]
    characters: tuple[int, int]
    output: tuple[int, int]
    cached: float = 0.0
    streamed: float = 0.3
    sessions: int = 0
    person: str = ""


HABITS = (
    Habit(
        slug="support",
        a_day=70,
        growth=0.5,
        weekend=0.6,
        hours=(7, 21),
        keys=(("Helpdesk widget", 7), ("Ticket triage", 3)),
        models=(("auto", 6), ("gpt-4.1-mini", 5), ("gpt-4.1", 3), ("claude-haiku-4", 2)),
        characters=(6_000, 60_000),
        output=(120, 900),
        cached=0.07,
        streamed=0.7,
        sessions=60,
        person="jonas",
    ),
    Habit(
        slug="research",
        a_day=24,
        growth=0.2,
        weekend=0.15,
        hours=(9, 19),
        keys=(("Notebook server", 1),),
        models=(("claude-sonnet-4", 5), ("gpt-4.1", 4), ("auto", 2), ("llama-3.3-70b", 3)),
        characters=(20_000, 160_000),
        output=(400, 3500),
        person="mira",
    ),
    Habit(
        slug="engineering",
        a_day=52,
        growth=1.1,
        weekend=0.1,
        hours=(8, 19),
        keys=(("Code review", 5), ("Editor plug-ins", 6)),
        models=(("claude-sonnet-4", 6), ("llama-3.3-70b", 4), ("claude-haiku-4", 3), ("auto", 2)),
        characters=(8_000, 90_000),
        output=(200, 2400),
        streamed=0.6,
        sessions=30,
        person="rosa",
    ),
    Habit(
        slug="billing",
        a_day=30,
        growth=0.0,
        weekend=0.05,
        hours=(8, 17),
        keys=(("Invoice reader", 1),),
        models=(("gpt-4.1-mini", 7), ("gpt-4.1", 2), ("auto", 2)),
        characters=(4_000, 30_000),
        output=(80, 500),
        cached=0.04,
        streamed=0.0,
        person="sam",
    ),
)


def write(writer: Writer, scene: Scene, now: datetime) -> list[ModelCall]:
    """The calls of every team until a moment before `now`, unstored, the oldest first."""
    rows = [row for habit in HABITS for row in _team(writer, scene, habit, now)]
    return sorted(rows, key=lambda row: (row.admitted_at, row.pk))


def _team(writer: Writer, scene: Scene, habit: Habit, now: datetime) -> list[ModelCall]:
    zone = ZoneInfo(scene.teams[habit.slug].zone)
    today = now.astimezone(zone).date()
    rows = []
    for ago in range(DAYS - 1, -1, -1):
        day = today - ago * DAY
        for at in _times(writer.chance, habit, day, zone, 1 - ago / DAYS):
            if at < now - QUIET:
                rows.append(_call(writer, scene, habit, at, now))
    return rows


def _times(
    chance: random.Random, habit: Habit, day: date, zone: ZoneInfo, passed: float
) -> list[datetime]:
    """When the team calls on that day: most in the middle of its hours, a few at any time."""
    share = habit.weekend if day.weekday() >= SATURDAY else chance.uniform(0.75, 1.25)
    count = round(habit.a_day * (1 + habit.growth * passed) * share / (1 + habit.growth / 2))
    first, last = habit.hours
    times = []
    for _ in range(count):
        hour = chance.uniform(0, 24)
        if chance.random() < 0.94:  # noqa: PLR2004
            hour = chance.triangular(first, last, first + (last - first) * 0.4)
        seconds = min(hour * 3600, 86_399.0)
        local = datetime.combine(day, time(), tzinfo=zone) + timedelta(seconds=seconds)
        times.append(local.astimezone(UTC).replace(microsecond=chance.randrange(1000) * 1000))
    return sorted(times)


def _call(writer: Writer, scene: Scene, habit: Habit, at: datetime, now: datetime) -> ModelCall:
    chance = writer.chance
    one = writer.decided(_asked(chance, scene, habit, at))
    return _ended(writer, habit, one, now)


def _asked(chance: random.Random, scene: Scene, habit: Habit, at: datetime) -> Asked:
    by_person = chance.random() < 0.06  # noqa: PLR2004
    key = _weighted(chance, habit.keys)
    model = _weighted(chance, habit.models)
    session = f"{habit.slug}-{at:%m%d}-{chance.randrange(habit.sessions)}" if habit.sessions else ""
    return Asked(
        team=scene.teams[habit.slug],
        at=at,
        model=model,
        characters=round(chance.triangular(*habit.characters, habit.characters[0] * 2)),
        api_key=None if by_person else scene.keys[key],
        user_id=scene.people[habit.person].pk if by_person else None,
        surface=Surface.CONSOLE if by_person else Surface.OPENAI,
        task_class=TaskClass.PRIMARY_INTERACTIVE,
        session="" if by_person else session,
        streamed=chance.random() < habit.streamed,
    )


def _weighted(chance: random.Random, choices: tuple[tuple[str, int], ...]) -> str:
    names, weights = zip(*choices, strict=True)
    chosen: str = chance.choices(names, weights)[0]
    return chosen


# What becomes of a call, in thousandths, where nothing is out of order; the rest is answered.
FAILED, CANCELLED, BLOCKED, UNCONFIRMED = 12, 9, 5, 0.5


def _ended(writer: Writer, habit: Habit, one: Decided, now: datetime) -> ModelCall:
    chance, row = writer.chance, one.row
    fate = chance.random() * 1000
    if _in_incident(row, now):
        return writer.failed(one) if fate < 640 else _answered(writer, habit, one, slow=4)  # noqa: PLR2004
    for share, end in (
        (FAILED, writer.failed),
        (CANCELLED, writer.cancelled),
        (BLOCKED, writer.blocked),
        (UNCONFIRMED, writer.unconfirmed),
    ):
        fate -= share
        if fate < 0:
            return end(one)
    if chance.random() < habit.cached:
        return writer.from_cache(one)
    return _answered(writer, habit, one)


def _answered(writer: Writer, habit: Habit, one: Decided, slow: float = 1) -> ModelCall:
    chance = writer.chance
    pace = {"gpt-4.1-mini": 0.6, "claude-haiku-4": 0.7, "llama-3.3-70b": 0.9}.get(one.row.model, 1)
    took = round(chance.lognormvariate(7.6, 0.55) * pace * slow)
    read = chance.uniform(0.1, 0.7) if one.row.session else chance.uniform(0, 0.3)
    return writer.answered(one, took=took, said=habit.output, share_read=read)


def _in_incident(row: ModelCall, now: datetime) -> bool:
    day = (now - INCIDENT_DAYS_AGO * DAY).astimezone(UTC).date()
    first, last = (datetime.combine(day, at, tzinfo=UTC) for at in INCIDENT)
    return row.provider == INCIDENT_PROVIDER and first <= row.admitted_at < last
