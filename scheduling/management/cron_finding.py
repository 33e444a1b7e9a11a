"""What a command line names and lists: jobs, runs, teams, calendars and channels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from django.db.models import OuterRef, QuerySet, Subquery

from governance.models import Channel, Team
from scheduling.deliveries import channels_for
from scheduling.models import CronJob, CronRun, ExclusionCalendar

MOST_NAMED = 20
STATES = {
    "active": {"enabled": True, "next_slot__isnull": False},
    "paused": {"enabled": False},
    "finished": {"enabled": True, "next_slot__isnull": True},
}


class NotFound(Exception):
    """Nothing has the name that was given, in a sentence."""


def job_named(text: str) -> CronJob:
    """The job of that identifier, or `TEAM/NAME`. Raises `NotFound`."""
    jobs = CronJob.objects.select_related("team", "created_by")
    identifier = _as_id(text)
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


def jobs_listed(*, team: str | None, state: str | None) -> QuerySet[CronJob]:
    """Jobs by team and name, of one team or in one state. Raises `NotFound`."""
    rows = CronJob.objects.select_related("team", "created_by").order_by("team__slug", "name")
    if team is not None:
        rows = rows.filter(team=_team(team))
    if state is not None:
        rows = rows.filter(**STATES[state])
    return rows.prefetch_related("calendars", "deliveries__channel")


def latest_runs(rows: Sequence[CronJob]) -> dict[UUID, CronRun]:
    """The latest run of each job that has one."""
    latest = CronRun.objects.filter(job=OuterRef("pk")).order_by("-slot", "-id")
    known = CronJob.objects.filter(pk__in=[job.pk for job in rows])
    ids = known.annotate(latest=Subquery(latest.values("pk")[:1])).values("latest")
    return {run.job_id: run for run in CronRun.objects.filter(pk__in=ids).defer("output", "asked")}


def runs_listed(job: CronJob | None, status: str | None) -> QuerySet[CronRun]:
    """Runs, the latest first: of one job, or of all."""
    rows = CronRun.objects.select_related("job__team")
    rows = rows.order_by("-pk") if job is None else rows.filter(job=job).order_by("-slot", "-pk")
    return rows if status is None else rows.filter(status=status)


def run_with(text: str) -> CronRun | None:
    """The run of that identifier; None if it is none of a run."""
    identifier = _as_id(text)
    if identifier is None:
        return None
    return CronRun.objects.select_related("job__team").filter(pk=identifier).first()


def team_and_name(text: str) -> tuple[Team, str]:
    """`TEAM/NAME` apart. Raises `NotFound`."""
    slug, slash, name = text.partition("/")
    if not slash:
        raise NotFound(
            f"“{text}” is no TEAM/NAME: a team's short name, and what it is to be called."
        )
    return _team(slug), name.strip()


def _team(slug: str) -> Team:
    team = Team.objects.filter(slug=slug).first()
    if team is None:
        slugs = Team.objects.order_by("slug").values_list("slug", flat=True)
        raise NotFound(f"There is no team “{slug}”. There are: {_listed(slugs)}.")
    return team


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


def _as_id(text: str) -> UUID | None:
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
