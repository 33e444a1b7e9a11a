"""What other apps may know of scheduled jobs: their names, whose they are, and how many say
how they are routed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from scheduling.models import CronJob


class ScheduledJobs:
    """Budgets that count jobs ask here what they are called."""

    def names(self, ids: Iterable[UUID]) -> Mapping[UUID, str]:
        """What the jobs are called; one that is gone is left out."""
        return dict(CronJob.objects.filter(pk__in=ids).values_list("pk", "name"))

    def of_team(self, team_id: int) -> Iterable[UUID]:
        """The team's jobs."""
        return CronJob.objects.filter(team_id=team_id).values_list("pk", flat=True)

    def with_own_mode(self) -> int:
        """How many enabled jobs have a routing mode of their own."""
        return CronJob.objects.filter(enabled=True).exclude(routing_mode="").count()
