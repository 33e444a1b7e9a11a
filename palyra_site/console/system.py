"""The system page: what runs, what waits, how well, and by which settings."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any

import django
from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Count, Min
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_q.brokers import Broker
from django_q.models import OrmQ

from governance.models import ProcessHeartbeat
from palyra_site import health
from palyra_site.checks import WHERE_DEPLOYED
from palyra_site.console import permissions
from palyra_site.console.figures import Figure
from palyra_site.console.zones import viewers_zone
from palyra_site.setting_sources import news_of_file, setting_sources
from providers.display import Tone, distance, duration
from scheduling import messages
from scheduling.maintenance import operating
from scheduling.maintenance.catalogue import BY_NAME
from scheduling.models import CronJob, CronRun, MaintenanceJob, MaintenanceStatus, RunTrigger

logger = logging.getLogger(__name__)
SHOWN_PROCESSES = 50
# The lag is that of so many of the latest runs.
RUNS_MEASURED = 200
# A job that is due for longer is late; a scheduler needs a moment.
OVERDUE_AFTER = timedelta(seconds=5)
SLOW_SHARE = 0.95
LEVELS: tuple[tuple[int, str, Tone], ...] = (
    (40, "Error", "bad"),
    (30, "Warning", "warning"),
    (0, "Note", "quiet"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessRow:
    """A process and whether it is heard of."""

    process: ProcessHeartbeat
    is_alive: bool
    heard: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UpkeepRow:
    """A job of upkeep and what came of it last."""

    job: MaintenanceJob
    title: str
    schedule: str
    state: str
    tone: Tone


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRow:
    """What a system check found."""

    level: str
    tone: Tone
    message: str
    hint: str
    identifier: str


@dataclass(frozen=True, slots=True)
class Queue:
    """Messages that wait for a worker, and since when the oldest does; None where that is not
    known."""

    depth: int | None
    waiting_since: datetime | None
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """Seconds between the time that runs were due and their beginning, of `runs` of the latest; and
    how many jobs are due and not begun, the longest since `overdue_since`."""

    runs: int
    middle: float | None
    slow: float | None
    overdue: int
    overdue_since: datetime | None


@require_safe
def system(request: HttpRequest, context: Mapping[str, Any]) -> HttpResponse:
    """The page; parts of it are for those who may see the lists they come from."""
    if not permissions.may_view_processes(request):
        raise PermissionDenied
    now = timezone.now()
    processes = process_rows(now)
    checks = health.look(now)
    shown: dict[str, Any] = {
        "title": "System status",
        "now": now,
        "zone": viewers_zone(request).key,
        "processes": processes,
        "readiness": checks,
        "figures": _figures(now, processes, checks),
        "versions": versions(),
    }
    if permissions.may_view_maintenance(request):
        shown["upkeep"] = upkeep_rows(now)
    if permissions.may_view_settings(request):
        shown["found"] = check_rows(_found())
        shown["sources"] = setting_sources()
        shown["news_of_file"] = news_of_file()
    return TemplateResponse(request, "admin/system.html", {**context, **shown})


def _figures(
    now: datetime, processes: Sequence[ProcessRow], checks: Sequence[health.Check]
) -> list[Figure]:
    alive = sum(row.is_alive for row in processes)
    amiss = [check for check in checks if not check.ok]
    return [
        Figure(
            name="Readiness",
            value="Ready" if not amiss else f"{len(amiss)} amiss",
            note=", ".join(check.name for check in amiss) or "Every check is well",
            address="#readiness",
            tone="bad" if amiss else "quiet",
        ),
        Figure(
            name="Processes alive",
            value=f"{alive:,}",
            note=f"{len(processes) - alive:,} silent",
            address=reverse("admin:governance_processheartbeat_changelist"),
            tone="quiet" if alive else "bad",
        ),
        _queue_figure(now, queue(now)),
        _lag_figure(now, lag(now)),
    ]


def _queue_figure(now: datetime, found: Queue) -> Figure:
    if found.depth is None:
        return Figure(
            name="Queue depth",
            value="–",
            note=f"{found.place} could not be asked; the log says why",
            address="#readiness",
            tone="bad",
        )
    since = found.waiting_since
    oldest = f", the oldest since {distance(since, now)}" if since is not None else ""
    return Figure(
        name="Queue depth",
        value=f"{found.depth:,}",
        note=f"Messages for workers in {found.place}{oldest}",
        address="#readiness",
    )


def _lag_figure(now: datetime, found: Lag) -> Figure:
    if found.overdue and found.overdue_since is not None:
        prompts = "1 prompt is" if found.overdue == 1 else f"{found.overdue:,} prompts are"
        note = f"{prompts} overdue, the longest since {distance(found.overdue_since, now)}"
    elif found.middle is None:
        note = "No scheduled run has begun yet"
    else:
        note = f"p95 of the last {found.runs:,} runs; half begin within {duration(found.middle)}"
    return Figure(
        name="Scheduler lag",
        value="–" if found.slow is None else duration(found.slow),
        note=note,
        address=reverse("admin:scheduling_cronrun_changelist"),
        tone="bad" if found.overdue else "quiet",
    )


def process_rows(now: datetime) -> list[ProcessRow]:
    """The processes that reported, those heard of last first: one query."""
    silent = now - timedelta(seconds=settings.PALYRA_OWNER_TIMEOUT)
    found = ProcessHeartbeat.objects.order_by("-seen_at")[:SHOWN_PROCESSES]
    rows = [
        ProcessRow(process=one, is_alive=one.seen_at > silent, heard=distance(one.seen_at, now))
        for one in found
    ]
    return sorted(rows, key=lambda row: (not row.is_alive, row.process.role, row.process.host))


def queue(now: datetime) -> Queue:
    """What waits for workers: one query, or a question to Redis."""
    broker = messages.broker()
    if "orm" not in settings.Q_CLUSTER:
        return Queue(_size(broker), None, "Redis")
    waiting = OrmQ.objects.filter(key=broker.list_key, lock__lte=now)
    found = waiting.aggregate(depth=Count("pk"), since=Min("lock"))
    return Queue(found["depth"], found["since"], "the database")


def _size(broker: Broker) -> int | None:
    try:
        return int(broker.queue_size())
    except Exception:
        # The reason may name hosts and users, so it goes into the log and not on the page.
        logger.warning("The queue could not be looked at", exc_info=True)
        return None


def lag(now: datetime) -> Lag:
    """How late the latest runs began, and what should have begun: two queries."""
    runs = CronRun.objects.filter(trigger=RunTrigger.SCHEDULE, started_at__isnull=False, attempt=1)
    # Identifiers are in the order in which runs were made, and there is an index of them.
    moments = runs.order_by("-pk").values_list("started_at", "due_at", "slot")[:RUNS_MEASURED]
    seconds = sorted(
        max(0.0, (started - (due or slot)).total_seconds())
        for started, due, slot in moments
        if started is not None
    )
    late = CronJob.objects.filter(enabled=True, due_at__lt=now - OVERDUE_AFTER)
    overdue = late.aggregate(count=Count("pk"), since=Min("due_at"))
    return Lag(
        runs=len(seconds),
        middle=_share(seconds, 0.5),
        slow=_share(seconds, SLOW_SHARE),
        overdue=overdue["count"],
        overdue_since=overdue["since"],
    )


def _share(ordered: Sequence[float], share: float) -> float | None:
    if not ordered:
        return None
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def upkeep_rows(now: datetime) -> list[UpkeepRow]:
    """The jobs of upkeep, those that failed first: one query."""
    rows = [_upkeep(job, now) for job in MaintenanceJob.objects.all()]
    return sorted(rows, key=lambda row: (row.tone != "bad", row.title))


def _upkeep(job: MaintenanceJob, now: datetime) -> UpkeepRow:
    known = BY_NAME.get(job.name)
    state, tone = _state(job, now)
    return UpkeepRow(
        job=job,
        title=known.title if known else job.name,
        schedule=operating.sentence(job),
        state=state,
        tone=tone,
    )


def _state(job: MaintenanceJob, now: datetime) -> tuple[str, Tone]:
    if operating.is_running(job, now):
        return "Running", "busy"
    if not job.enabled:
        return "Paused", "warning"
    status = MaintenanceStatus(job.last_status)
    tones: dict[str, Tone] = {MaintenanceStatus.OK: "good", MaintenanceStatus.FAILED: "bad"}
    return str(status.label), tones.get(status, "quiet")


def _found() -> list[CheckMessage]:
    """What Django's checks and ours say; ours also of what matters where strangers come."""
    found = run_checks()
    return [*found, *(message for check in WHERE_DEPLOYED for message in check())]


def check_rows(found: Sequence[CheckMessage]) -> list[CheckRow]:
    """What was found, the gravest first; what is silenced is left out."""
    shown = sorted((one for one in found if not one.is_silenced()), key=lambda one: -one.level)
    rows = []
    for one in shown:
        level, tone = next((name, tone) for least, name, tone in LEVELS if one.level >= least)
        rows.append(
            CheckRow(
                level=level,
                tone=tone,
                message=str(one.msg),
                hint=str(one.hint or ""),
                identifier=str(one.id or ""),
            )
        )
    return rows


def versions() -> list[tuple[str, str]]:
    """What runs here, in which version."""
    names = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}
    return [
        ("Palyra", version("palyra")),
        ("Python", platform.python_version()),
        ("Django", django.get_version()),
        (names.get(connection.vendor, connection.vendor), _database_version()),
        ("Queue", "Redis" if settings.PALYRA_REDIS_URL else "the database"),
        ("Machine", platform.node()),
    ]


def _database_version() -> str:
    return ".".join(str(part) for part in connection.get_database_version())
