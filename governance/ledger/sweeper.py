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


def orphans(*, silence_counts: bool, now: datetime | None = None) -> list[Settlement]:
    """Settlements for calls that nobody will settle, a bounded number of them.

    Calls of a process that was struck out are always among them. Where `silence_counts`, so are
    those of a process that has not been heard of, and those whose time is long over. It must not
    count after an outage or a suspended machine, when everybody was silent and is alive.
    """
    return [_settlement(call, now or timezone.now()) for call in _abandoned(silence_counts)]


def _abandoned(silence_counts: bool) -> list[ModelCall]:
    owner = ProcessHeartbeat.objects.filter(pk=OuterRef("owner"))
    heard_of = owner.filter(seen_at__gt=Now() - timedelta(seconds=settings.PALYRA_OWNER_TIMEOUT))
    silent = Q(expires_at__lt=Now()) | ~Exists(heard_of)
    abandoned = silent if silence_counts else Q(~Exists(owner))
    calls = ModelCall.objects.filter(abandoned, status=CallStatus.IN_FLIGHT)
    return list(calls.order_by("pk")[:MOST_AT_ONCE])


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
