"""Alerts kept as the rules say: raised once, seen again, resolved when no longer true.

However many processes evaluate at once: of each alert there is one open row, and whoever makes it
makes its deliveries in the same transaction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.urls import reverse

from governance.alerts.deliveries import new_delivery
from governance.alerts.facts import Gathered, gather
from governance.alerts.rules import (
    KNOWN,
    WITHOUT_BEGINNING,
    Condition,
    budget_thresholds,
    cost_spikes,
    forecasts,
    overruns,
    provider_health,
    routing_overrides,
    stale_prices,
    unconfirmed_calls,
    unusual_mixes,
)
from governance.models import Alert, AlertKind, Channel, ChannelPurpose, Delivery

OPENED = "alert.opened"
# Two processes that evaluate at about the same time have seen it once.
SEEN_AGAIN = timedelta(seconds=10)


def evaluate(now: datetime) -> int:
    """Raise what is newly true and resolve what is no longer; how many alerts were raised."""
    facts = gather(now)
    found = {one.key: one for one in conditions(facts, now)}
    rows = list(Alert.objects.filter(resolved_at=None).values_list("key", "pk", "kind", "detail"))
    _see_again([pk for key, pk, _, _ in rows if key in found], now)
    _resolve([row for row in rows if row[0] not in found], facts, now)
    # Asked after what is open, so that what is resolved meanwhile is in one of them.
    known = _known_by_hand(found)
    unseen = [one for key, one in found.items() if key not in {row[0] for row in rows}]
    late = [
        one for one in budget_thresholds(facts.ended) if one.key not in {row[0] for row in rows}
    ]
    return _raise_all([*late, *(one for one in unseen if one.since or one.key not in known)], now)


def conditions(facts: Gathered, now: datetime) -> Iterable[Condition]:
    """What every rule says of `facts`."""
    yield from budget_thresholds(facts.windows)
    yield from forecasts(facts.windows, now)
    yield from cost_spikes(facts.hours, facts.spike_factor)
    yield from unusual_mixes(facts.shares)
    yield from provider_health(facts.providers)
    yield from routing_overrides(facts.overridden)
    yield from overruns(facts.overrun)
    yield from unconfirmed_calls(facts.unconfirmed)
    yield from stale_prices(facts.prices, facts.price_stale_days, now)


def _see_again(alerts: list[Any], now: datetime) -> None:
    Alert.objects.filter(pk__in=alerts, last_seen_at__lte=now - SEEN_AGAIN).update(
        last_seen_at=now, count=F("count") + 1
    )


def _resolve(rows: list[Any], facts: Gathered, now: datetime) -> None:
    """A threshold once reached stays so until its window is over: an approval, or a settlement
    below what was held, does not make it be sent a second time."""
    over = [
        pk
        for _, pk, kind, detail in rows
        if kind != AlertKind.BUDGET_THRESHOLD or detail.get("window") not in facts.running
    ]
    Alert.objects.filter(pk__in=over, resolved_at=None).update(resolved_at=now)


def _known_by_hand(found: Mapping[str, Condition]) -> set[str]:
    """The keys of what was resolved by hand and has been true ever since; what no longer is true is
    known no more."""
    marked = Alert.objects.filter(
        **{"kind": WITHOUT_BEGINNING, "resolved_at__isnull": False, f"detail__{KNOWN}": True}
    )
    rows = list(marked.order_by())
    ended = [one for one in rows if one.key not in found]
    for alert in ended:
        del alert.detail[KNOWN]
    if ended:
        Alert.objects.bulk_update(ended, ["detail"], batch_size=100)
    return {one.key for one in rows if one.key in found}


@dataclass(slots=True)
class _Before:
    """What became of earlier alerts of the same key."""

    resolved_at: datetime | None
    muted_until: datetime | None


def _raise_all(unseen: list[Condition], now: datetime) -> int:
    if not unseen:
        return 0
    earlier = Alert.objects.filter(key__in=[one.key for one in unseen], resolved_at__isnull=False)
    before = {
        key: _Before(resolved_at, muted_until)
        for key, resolved_at, muted_until in earlier.order_by("resolved_at").values_list(
            "key", "resolved_at", "muted_until"
        )
    }
    channels = list(Channel.objects.filter(enabled=True))
    return sum(_raise(one, before.get(one.key), channels, now) for one in unseen)


def _raise(
    condition: Condition, before: _Before | None, channels: list[Channel], now: datetime
) -> bool:
    """Whether it was raised here: not if it is known already, or another process was first."""
    known_since = condition.since
    known_at = before.resolved_at if before else None
    if known_since is not None and known_at is not None and known_at >= known_since:
        return False
    muted_until = before.muted_until if before else None
    muted = muted_until is not None and muted_until > now
    try:
        with transaction.atomic():
            alert = Alert.objects.create(**_columns(condition, now, muted_until if muted else None))
            if not muted:
                wanted = [one for one in channels if wants(one, alert)]
                Delivery.objects.bulk_create(delivery_of(alert, one, now) for one in wanted)
    except IntegrityError:
        if Alert.objects.filter(Q(key=condition.key, resolved_at=None)).exists():
            return False
        raise
    return True


def _columns(condition: Condition, now: datetime, muted_until: datetime | None) -> dict[str, Any]:
    return {
        "kind": condition.kind,
        "key": condition.key,
        "severity": condition.severity,
        "team_id": condition.team_id,
        "title": condition.title,
        "explanation": condition.explanation[:1000],
        "detail": condition.detail,
        "first_seen_at": now,
        "last_seen_at": now,
        "muted_until": muted_until,
    }


def wants(channel: Channel, alert: Alert) -> bool:
    """Whether `alert` is sent to `channel`."""
    if channel.team_id is not None and channel.team_id != alert.team_id:
        return False
    if channel.purpose == ChannelPurpose.RUNS:
        return False
    return not channel.kinds or alert.kind in channel.kinds


def delivery_of(alert: Alert, channel: Channel, now: datetime) -> Delivery:
    """The message that tells `channel` of `alert`, not stored yet."""
    data = {
        "id": str(alert.pk),
        "kind": alert.kind,
        "severity": alert.severity,
        "team": alert.team.slug if alert.team else None,
        "title": alert.title,
        "explanation": alert.explanation,
        "detail": alert.detail,
        "url": settings.PALYRA_PUBLIC_URL
        + reverse("admin:governance_alert_change", args=[alert.pk]),
    }
    body = {"type": OPENED, "timestamp": now.isoformat(), "data": data}
    return new_delivery(channel, OPENED, body, now, alert=alert, team_id=alert.team_id)
