"""Spreads runs that would begin at the same instant, each job's and each time's by its own bit."""

from __future__ import annotations

from datetime import datetime, timedelta
from hashlib import blake2b
from uuid import UUID

MICROSECOND = timedelta(microseconds=1)
HASH_BYTES = 8


def due_time(
    job_id: UUID, slot: datetime, jitter_seconds: int, following: datetime | None
) -> datetime:
    """When the run of `slot` is to begin: always the same, and before the `following` slot.

    The delay is spread evenly over the jitter, or over the gap to the following slot if that is
    shorter, so that runs keep their order.
    """
    span = timedelta(seconds=jitter_seconds)
    if following is not None:
        span = min(span, following - slot)
    if span <= timedelta():
        return slot
    return slot + MICROSECOND * (span // MICROSECOND * _hash(job_id, slot) >> 8 * HASH_BYTES)


def _hash(job_id: UUID, slot: datetime) -> int:
    # Not `hash`, which differs from one process to the next.
    second = f"{slot.timestamp():.6f}".encode()
    return int.from_bytes(blake2b(job_id.bytes + second, digest_size=HASH_BYTES).digest())
