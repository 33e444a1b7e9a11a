"""Deleting what governance need not keep: never the ledger, its sums, or the audit trail."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Right, Substr

from governance.alerts.rules import KNOWN
from governance.models import (
    Alert,
    Approval,
    BudgetInterval,
    BudgetWindow,
    CallStatus,
    CallText,
    Delivery,
    DeliveryStatus,
    ModelCall,
    Team,
    UsageHour,
)
from governance.windows import ROLLING
from providers.forgetting import Forgotten, GoesOn, forget
from providers.identifiers import first_id

HOUR = timedelta(hours=1)
# Windows of these come by the hundred thousand; of the others there are few.
SHORT = (BudgetInterval.MINUTE, BudgetInterval.HOUR)
LENGTH_OF_ID = 36
# Where an identifier says its version, and what one that begins with a time says there.
PLACE_OF_VERSION, ORDERED = 15, "7"
UNSETTLED = (CallStatus.IN_FLIGHT, CallStatus.UNCONFIRMED, CallStatus.WAITING)


def forget_deliveries(before: datetime, goes_on: GoesOn) -> Forgotten:
    """Messages made before then that were taken or given up, or wait for a channel that is off."""
    waits = Q(status=DeliveryStatus.PENDING, channel__enabled=True)
    return forget(Delivery.objects.filter(~waits, created_at__lt=before), goes_on)


def forget_alerts(before: datetime, goes_on: GoesOn) -> Forgotten:
    """Alerts resolved before then, but for those by which it is known what not to raise again."""
    resolved = Alert.objects.filter(resolved_at__lt=before)
    muted = Q(muted_until__gt=before)
    return forget(resolved.exclude(muted), goes_on, spared=_still_known)


def _still_known(keys: list[Any]) -> Collection[Any]:
    """Those that a person resolved while they were true, and that may be so still."""
    details = dict(Alert.objects.filter(pk__in=keys).values_list("pk", "detail"))
    windows = {pk: str(detail.get("window", "")) for pk, detail in details.items()}
    numbered = {int(name) for name in windows.values() if name.isdigit()}
    there = set(BudgetWindow.objects.filter(pk__in=numbered).values_list("pk", flat=True))
    return {
        pk
        for pk, name in windows.items()
        if details[pk].get(KNOWN)
        # A rolling policy's has no row of its own and never ends.
        or (name and (int(name) in there if name.isdigit() else True))
    }


def forget_windows(before: datetime, goes_on: GoesOn, *, short: bool) -> Forgotten:
    """Windows that no longer counted then: `short` ones, of minutes and hours, or all others that
    end.

    What a call under way holds stays, and what an unconfirmed one is counted on, for it may yet be
    corrected; so do windows that were raised by approvals, which are part of what was decided.
    A window that a late call needs after all is opened anew from the ledger.
    """
    kinds = Q(policy__interval__in=SHORT)
    over = Q(policy__rolling=False, ends_at__lt=before)
    for interval, rolling in ROLLING.items():
        left = before - rolling.length - rolling.bucket
        over |= Q(policy__rolling=True, policy__interval=interval, ends_at__lt=left)
    correctable = UsageHour.objects.filter(
        hour__gt=OuterRef("starts_at") - HOUR, hour__lt=OuterRef("ends_at"), unconfirmed__gt=0
    )
    rows = _unneeded().filter(over, kinds if short else ~kinds)
    return forget(rows.exclude(Exists(correctable)), goes_on)


def forget_run_windows(before: datetime, goes_on: GoesOn) -> Forgotten:
    """Windows of runs that began before then, by the time in their identifiers, and are settled."""
    rows = _unneeded().filter(policy__interval=BudgetInterval.RUN)
    rows = rows.alias(run=Right("scope_value", LENGTH_OF_ID)).alias(
        version=Substr("run", PLACE_OF_VERSION, 1)
    )
    old = rows.filter(version=ORDERED, run__lt=str(first_id(before)))
    return forget(old, goes_on, spared=_unsettled)


def forget_texts(now: datetime, goes_on: GoesOn) -> Forgotten:
    """Prompts and answers that are older than their team lets them be kept now."""
    rows, finished = 0, True
    # By what is kept, and not by the teams' settings alone: one may have been switched off since.
    kept = CallText.objects.order_by().values("team").distinct()
    for team, days in Team.objects.filter(pk__in=kept).values_list("pk", "text_days"):
        texts = CallText.objects.filter(team=team, admitted_at__lt=now - timedelta(days=days))
        found = forget(texts, goes_on)
        rows, finished = rows + found.rows, finished and found.finished
    return Forgotten(rows, finished)


def _unneeded() -> QuerySet[BudgetWindow]:
    approved = Approval.objects.filter(window=OuterRef("pk"))
    return BudgetWindow.objects.exclude(Exists(approved)).filter(held=0)


def _unsettled(keys: list[Any]) -> Collection[Any]:
    """The windows of runs that have a call which may still be settled or corrected."""
    values = BudgetWindow.objects.filter(pk__in=keys).values_list("pk", "scope_value")
    runs = {pk: UUID(value[-LENGTH_OF_ID:]) for pk, value in values}
    ids = set(runs.values())
    calls = ModelCall.objects.filter(status__in=UNSETTLED)
    found: set[UUID | None] = set(calls.filter(pk__in=ids).values_list("pk", flat=True))
    found |= set(calls.filter(run_id__in=ids).values_list("run_id", flat=True))
    return {pk for pk, run in runs.items() if run in found}
