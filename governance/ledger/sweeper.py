"""Holds heal themselves: what a dead process held is settled as unconfirmed, at expected cost."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from governance.ledger.operations import Settlement
from governance.models import CallStatus, ModelCall, ProcessHeartbeat
from providers.usage import Usage

MOST_AT_ONCE = 200
WHY = (
    "The process that made this call ended before it was settled. The provider may have answered, "
    "so the expected cost is charged."
)


def orphans(now: datetime | None = None) -> list[Settlement]:
    """Settlements for calls whose owner is dead or whose time is long over, a bounded number."""
    return [_settlement(call, now or timezone.now()) for call in _abandoned()]


def _abandoned() -> list[ModelCall]:
    owner_alive = ProcessHeartbeat.objects.filter(
        pk=OuterRef("owner"), seen_at__gt=Now() - timedelta(seconds=settings.PALYRA_OWNER_TIMEOUT)
    )
    return list(
        ModelCall.objects.filter(status=CallStatus.IN_FLIGHT)
        .filter(Q(expires_at__lt=Now()) | ~Exists(owner_alive))
        .order_by("pk")[:MOST_AT_ONCE]
    )


def _settlement(call: ModelCall, now: datetime) -> Settlement:
    return Settlement(
        call_id=call.pk,
        status=CallStatus.UNCONFIRMED,
        settled_at=now,
        usage=Usage(
            uncached_input=call.expected_input_tokens,
            output=call.expected_output_tokens,
            reported=False,
        ),
        cost=call.estimate_expected,
        error=WHY,
    )
