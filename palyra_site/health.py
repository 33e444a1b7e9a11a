"""`/readyz`: whether this installation can do its work, check by check, in words.

`/livez` says only that the web process runs and is answered before Django; this one looks at what
calls and schedules depend on. It tells nothing that a stranger should not know.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, JsonResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_q.models import OrmQ

from governance import processes
from governance.models import ProcessHeartbeat
from scheduling import messages

# A message older than this is not merely waiting for its turn behind a few others.
LONGEST_WAIT = timedelta(minutes=2)
READY, NOT_READY = 200, 503

logger = logging.getLogger("palyra.health")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at; `message` reads after its name."""

    name: str
    ok: bool
    message: str


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Every check; 200 if all is well, 503 otherwise."""
    checks = look(timezone.now())
    ready = all(check.ok for check in checks)
    return JsonResponse(
        {"ready": ready, "checks": [asdict(check) for check in checks]},
        status=READY if ready else NOT_READY,
    )


def look(now: datetime) -> list[Check]:
    """Carry out every check, one after the other; what fails does not keep the rest from it."""
    return [
        _carried_out("database", _database),
        _carried_out("migrations", lambda: judge_migrations(unapplied_migrations())),
        _carried_out("queue", lambda: _queue(now)),
        _carried_out("worker", lambda: judge_role("worker", processes.alive(now), now)),
        _carried_out("scheduler", lambda: judge_role("scheduler", processes.alive(now), now)),
    ]


def unapplied_migrations() -> int:
    """How many migrations the database is behind this version of Palyra."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def judge_migrations(unapplied: int) -> Check:
    """All must be applied."""
    if unapplied:
        return Check("migrations", False, f"{unapplied} not applied: run `palyra migrate`")
    return Check("migrations", True, "all applied")


def judge_queue(waited: timedelta | None) -> Check:
    """`waited` is the age of the oldest message that a worker might take now."""
    if waited is None:
        return Check("queue", True, "empty")
    seconds = max(0, round(waited.total_seconds()))
    if waited > LONGEST_WAIT:
        return Check(
            "queue",
            False,
            f"the oldest message has waited {seconds} s: no worker runs, or all are busy",
        )
    return Check("queue", True, f"the oldest message has waited {seconds} s")


def judge_role(role: str, alive: Iterable[ProcessHeartbeat], now: datetime) -> Check:
    """At least one process of the role must have been heard of lately."""
    seen = [heartbeat.seen_at for heartbeat in alive if heartbeat.role == role]
    if not seen:
        return Check(role, False, f"none has been heard of lately: run `palyra {role}`")
    ago = max(0, round((now - max(seen)).total_seconds()))
    number = "1 process" if len(seen) == 1 else f"{len(seen)} processes"
    return Check(role, True, f"{number}, last heard of {ago} s ago")


def _carried_out(name: str, check: Callable[[], Check]) -> Check:
    try:
        return check()
    except Exception:
        # The reason may name hosts and users, so it goes into the log and not to the caller.
        logger.warning("The readiness check of the %s failed", name, exc_info=True)
        return Check(name, False, "could not be looked at; the log says why")


def _database() -> Check:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Check("database", True, "reachable")


def _queue(now: datetime) -> Check:
    broker = messages.broker()
    if "orm" not in settings.Q_CLUSTER:
        # Redis keeps no times; that it answers is what can be said.
        return Check("queue", True, f"{broker.queue_size()} messages in Redis")
    # `lock` is when a message was queued, or, once taken, when it may be taken again.
    queued = OrmQ.objects.filter(key=broker.list_key, lock__lte=now).order_by("lock")
    oldest = queued.values_list("lock", flat=True).first()
    return judge_queue(None if oldest is None else now - oldest)
