"""What django-q2 runs in a worker. Each task returns at once: the calls go on beside it."""

from __future__ import annotations

from uuid import UUID

from scheduling.crew import crew


def execute_runs(share: int) -> None:
    """Begin runs that are due, at most `share` of them."""
    crew().take(share)


def make_kept_call(call_id: str) -> None:
    """Make a call that was kept until it was approved, if nobody has begun it yet."""
    crew().make_kept(UUID(call_id))
