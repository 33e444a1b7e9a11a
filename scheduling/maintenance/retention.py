"""Deleting what is older than it need be kept: little by little, so that no writer waits long."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from governance.retention import (
    forget_alerts,
    forget_deliveries,
    forget_run_windows,
    forget_texts,
    forget_windows,
)
from providers.forgetting import Forgotten, GoesOn, forget
from providers.identifiers import first_id
from providers.metrics import forget_metrics
from scheduling.maintenance.turn import Turn
from scheduling.maintenance.words import counted
from scheduling.models import ACTIVE, CronRun

# Of each job so many runs stay, however old they are.
RUNS_KEPT_OF_EACH = 100


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of thing: the name of its setting, what one and many are called, and what deletes
    them."""

    setting: str
    nouns: tuple[str, ...]
    forget: Callable[[datetime, GoesOn], Forgotten]


def forget_runs(before: datetime, goes_on: GoesOn) -> Forgotten:
    """Runs that ended before then, but for each job's last hundred and what waits for review."""
    newer = CronRun.objects.filter(job=OuterRef("job"), slot__gt=OuterRef("slot")).order_by("slot")
    runs = CronRun.objects.filter(
        Q(finished_at=None) | Q(finished_at__lt=before),
        # Identifiers are in the order of time, so this is a range of the index.
        Exists(newer.values("pk")[RUNS_KEPT_OF_EACH - 1 : RUNS_KEPT_OF_EACH]),
        pk__lt=first_id(before),
        queued_at__lt=before,
        needs_review=False,
    ).exclude(status__in=ACTIVE)
    return forget(runs, goes_on)


RULES = (
    Rule("runs", ("run",), forget_runs),
    Rule("short_windows", ("budget window of a run", "budget windows of runs"), forget_run_windows),
    Rule(
        "short_windows",
        ("budget window of a minute or an hour", "budget windows of minutes and hours"),
        partial(forget_windows, short=True),
    ),
    Rule("windows", ("longer budget window",), partial(forget_windows, short=False)),
    Rule("deliveries", ("delivery", "deliveries"), forget_deliveries),
    Rule("alerts", ("resolved alert",), forget_alerts),
    Rule(
        "metrics",
        ("hour of a model's metrics", "hours of models' metrics"),
        forget_metrics,
    ),
)


def forget_what_is_old(turn: Turn) -> str:
    """Delete by every rule, as long as there is time."""
    days: Mapping[str, int] = settings.PALYRA_RETENTION
    done: list[str] = []
    unfinished = False
    for rule in RULES:
        kept_days = days[rule.setting]
        if not kept_days:
            continue
        found = rule.forget(turn.now - timedelta(days=kept_days), turn.goes_on)
        unfinished = unfinished or not found.finished
        if found.rows:
            done.append(f"{counted(found.rows, *rule.nouns)} older than {kept_days:,} days")
    texts = forget_texts(turn.now, turn.goes_on)
    unfinished = unfinished or not texts.finished
    if texts.rows:
        kept = counted(texts.rows, "call's prompt and answer", "calls' prompts and answers")
        done.append(f"{kept} older than their teams' settings")
    words = f"Deleted {'; '.join(done)}." if done else "Nothing was old enough to be deleted."
    return f"{words} There is more, for the next time." if unfinished else words
