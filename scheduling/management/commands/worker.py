"""The worker: a django-q2 cluster that makes the calls of scheduled prompts. Any number may run."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from scheduling import messages
from scheduling.cluster import WatchedSentinel
from scheduling.stopping import StopRequest

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Execute queued runs. Stops on SIGTERM or SIGINT, and at once on a second one."

    # They read the whole site, which this process never serves.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        logger.info("The worker starts.")
        try:
            WatchedSentinel(StopRequest(), messages.broker()).run()
        except _failures_of_the_queue() as error:
            raise CommandError(f"The queue in Redis cannot be reached: {error}") from None
        logger.info("The worker has stopped.")


def _failures_of_the_queue() -> tuple[type[Exception], ...]:
    """What a queue in Redis fails with; none where it is the database."""
    if not settings.PALYRA_REDIS_URL:
        return ()
    from redis import RedisError  # noqa: PLC0415 - it takes a while, and is not used otherwise

    return (RedisError,)
