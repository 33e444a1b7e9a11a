"""The scheduler process: queues what is due. Any number may run."""

from __future__ import annotations

import logging
from typing import Any

from django.core.management.base import BaseCommand

from governance.runtime import silence_counts
from scheduling.loop import SchedulerLoop
from scheduling.maintenance import Maintenance
from scheduling.stopping import StopRequest

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Queue scheduled prompts as they fall due. Stops on SIGTERM or SIGINT."

    # They read the whole site, which this process never serves.
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        stop = StopRequest()
        stop.listen()
        logger.info("The scheduler starts.")
        maintenance = Maintenance(silence_counts=silence_counts)
        maintenance.start()
        try:
            SchedulerLoop(stop).run()
        finally:
            maintenance.stop()
        logger.info("The scheduler has stopped.")
