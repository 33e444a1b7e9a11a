"""What the overview and the spend explorer are asked for: a period, a team, a way to part things.

Pure, but for what the zone and the moment are. A filter that has a fault is refused whole, with
every fault named, and what is usual is shown in its place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta, tzinfo
from typing import Any

from governance.admin.periods import (
    NAMED,
    Span,
    days,
    month_before,
    month_start,
    named_days,
)

USUAL = "30days"
PERIODS = {name: NAMED[name] for name in ("today", "7days", "30days", "month", "last-month")}
LONGEST = 366
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Whole days of the viewer's zone, as lists of calls filter by: `name` is such as `30days`, or
    `2026-03-01..2026-03-31`."""

    name: str
    first: date
    last: date
    zone: tzinfo

    @property
    def span(self) -> Span:
        """From the first day's midnight to that after the last one."""
        return days(self.first, self.last, self.zone)

    @property
    def length(self) -> int:
        """How many days it has."""
        return (self.last - self.first).days + 1

    @property
    def words(self) -> str:
        """What it is called: this month, or its days."""
        if self.name in PERIODS:
            return PERIODS[self.name]
        if self.first == self.last:
            return day_words(self.first)
        return f"{day_words(self.first)} to {day_words(self.last)}"

    @property
    def within(self) -> str:
        """The same within a sentence."""
        return self.words.lower() if self.name in PERIODS else self.words

    @property
    def before(self) -> Period:
        """The period of the same kind that ends where this one begins."""
        if self.name == "month":
            first, last = month_before(self.first), month_start(self.first) - DAY
        elif self.name == "last-month":
            first, last = month_before(self.first), self.first - DAY
        else:
            first, last = self.first - self.length * DAY, self.first - DAY
        return Period(name=f"{first}..{last}", first=first, last=last, zone=self.zone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What was chosen, and what is wrong with what was asked for."""

    period: Period
    by: str
    step: str = "day"
    team_id: int | None = None
    faults: tuple[str, ...] = ()

    @property
    def is_dated(self) -> bool:
        """Whether the period is given by its days."""
        return self.period.name not in PERIODS

    @property
    def is_filtered(self) -> bool:
        """Whether anything but what is usual was chosen."""
        return bool(self.parameters)

    @property
    def parameters(self) -> dict[str, str]:
        """The same as the parameters of an address; what is usual is left out."""
        asked = {"period": self.period.name if self.period.name != USUAL else ""}
        asked["team"] = str(self.team_id) if self.team_id else ""
        return {name: text for name, text in asked.items() if text}


def day_words(day: date) -> str:
    """A day for people: 4 Nov 2026."""
    return f"{day.day} {day:%b %Y}"


def read(
    given: Mapping[str, Any],
    *,
    today: date,
    zone: tzinfo,
    teams: Collection[int],
    dimensions: Collection[str],
    steps: Collection[str] = ("day",),
) -> Filter:
    """The filter in an address. `from` and `to` are days and outweigh `period`; `teams` are those
    there are; the first of `dimensions` and of `steps` is the usual one."""
    faults: list[str] = []
    period = _period(given, today, zone, faults)
    team = _team(given.get("team", ""), teams, faults)
    by = _one_of(given.get("by", ""), tuple(dimensions), "group by", faults)
    step = _one_of(given.get("step", ""), tuple(steps), "bar", faults)
    if faults:
        return Filter(
            period=_named(USUAL, today, zone),
            by=next(iter(dimensions)),
            step=next(iter(steps)),
            faults=tuple(faults),
        )
    return Filter(period=period, by=by, step=step, team_id=team)


def _period(given: Mapping[str, Any], today: date, zone: tzinfo, faults: list[str]) -> Period:
    first, last = given.get("from", "").strip(), given.get("to", "").strip()
    name = (
        f"{first or last}..{last or first}" if first or last else given.get("period", "") or USUAL
    )
    chosen = named_days(name, today) if name in PERIODS or first or last or _is_day(name) else None
    if chosen is None:
        faults.append(
            "“From” and “to” are two days, the first not after the last."
            if first or last
            else "That period is none: choose one of the list, or two days."
        )
    elif (chosen[1] - chosen[0]).days >= LONGEST:
        faults.append(f"A period has {LONGEST} days at most.")
    elif chosen[0].year < today.year - 50:
        faults.append("That period is too long ago.")
    elif chosen[1].year > today.year + 50:
        faults.append("That period is too far ahead.")
    if faults or chosen is None:
        return _named(USUAL, today, zone)
    return Period(name=name, first=chosen[0], last=chosen[1], zone=zone)


def _is_day(name: str) -> bool:
    return name[:4].isdecimal()


def _named(name: str, today: date, zone: tzinfo) -> Period:
    chosen = named_days(name, today)
    assert chosen is not None
    return Period(name=name, first=chosen[0], last=chosen[1], zone=zone)


def _team(text: str, teams: Collection[int], faults: list[str]) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text[:18]) not in teams:
        faults.append("There is no such team.")
        return None
    return int(text[:18])


def _one_of(text: str, choices: tuple[str, ...], what: str, faults: list[str]) -> str:
    if text and text not in choices:
        faults.append(f"“{what.capitalize()}” is one of {', '.join(choices)}.")
    return text if text in choices else choices[0]
