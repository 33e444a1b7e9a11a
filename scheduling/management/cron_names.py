"""What a command line names: jobs, runs, teams, calendars and channels."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from governance.models import Channel, Team
from scheduling.deliveries import channels_for
from scheduling.models import CronJob, CronRun, ExclusionCalendar

MOST_NAMED = 20


class NotFound(Exception):
    """Nothing has the name that was given, in a sentence."""


def job_named(text: str) -> CronJob:
    """The job of that identifier, or `TEAM/NAME`. Raises `NotFound`."""
    jobs = CronJob.objects.select_related("team", "created_by")
    identifier = as_id(text)
    slug, slash, name = text.partition("/")
    if identifier is not None:
        job = jobs.filter(pk=identifier).first()
    else:
        job = jobs.filter(team__slug=slug, name=name.strip()).first() if slash else None
    if job is None:
        raise NotFound(_no_job(text, slug, bool(slash)))
    return job


def _no_job(text: str, slug: str, slashed: bool) -> str:
    if not slashed:
        return f"There is no scheduled prompt “{text}”. Name one by its identifier, or TEAM/NAME."
    names = CronJob.objects.filter(team__slug=slug).order_by("name").values_list("name", flat=True)
    return f"There is no scheduled prompt “{text}”. There are: {_listed(names)}."


def run_with(identifier: UUID) -> CronRun | None:
    """The run of that identifier, if there is one."""
    return CronRun.objects.select_related("job__team").filter(pk=identifier).first()


def team_and_name(text: str) -> tuple[Team, str]:
    """`TEAM/NAME` apart. Raises `NotFound`."""
    slug, slash, name = text.partition("/")
    if not slash:
        raise NotFound(f"“{text}” is no TEAM/NAME: a team's short name, and what it is to be called.")
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        slugs = Team.objects.order_by("slug").values_list("slug", flat=True)
        raise NotFound(f"There is no team “{slug}”. There are: {_listed(slugs)}.")
    return team, name.strip()


def calendars_named(names: Iterable[str], team: Team | None) -> list[ExclusionCalendar]:
    """The calendars that a team may use, its own first. Raises `NotFound` with all that are not."""
    usable: dict[str, ExclusionCalendar] = {}
    owners = [None] if team is None else [None, team]
    for owner in owners:
        usable |= {one.name: one for one in ExclusionCalendar.objects.filter(team=owner)}
    unknown = [name for name in names if name not in usable]
    if unknown:
        raise NotFound(
            f"There is no calendar {_quoted(unknown)}. There are: {_listed(sorted(usable))}."
        )
    return [usable[name] for name in names]


def channels_named(names: Iterable[str], team: Team) -> list[Channel]:
    """The channels that a team may be told by. Raises `NotFound` with all that are none."""
    usable = {one.name: one for one in channels_for(team)}
    unknown = [name for name in names if name not in usable]
    if unknown:
        raise NotFound(
            f"There is no channel {_quoted(unknown)}. There are: {_listed(sorted(usable))}."
        )
    return [usable[name] for name in names]


def as_id(text: str) -> UUID | None:
    """The identifier that a text is, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"“{name}”" for name in names)


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = f" and {len(found) - MOST_NAMED:,} more" if len(found) > MOST_NAMED else ""
    return f"{', '.join(found[:MOST_NAMED])}{more}" if found else "none"
