"""Two months of calls for the tests, made as the demonstration makes its own."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

from governance.models import ApiKey, ModelCall, ProcessHeartbeat, Surface, TaskClass, Team
from governance.snapshot import Snapshot
from palyra_site.demo.calls import Asked, Decided, Writer, give_holds_to_latest, store
from scheduling.models import CronRun

__all__ = ["DAYS", "Ledger", "give_holds_to_latest"]

DAYS = 62
MODELS = {"auto": 2, "gpt-4.1": 4, "gpt-4.1-mini": 4, "llama-3.3-70b": 1}


class Ledger:
    """Writes calls that the real decisions and prices would have made."""

    def __init__(
        self,
        chance: random.Random,
        teams: tuple[Team, ...],
        made_keys: list[ApiKey],
        snapshot: Snapshot,
        now: datetime,
    ) -> None:
        self.chance, self.teams, self.keys, self.now = chance, teams, made_keys, now
        self.writer = Writer(chance, snapshot)

    def write(self, web: ProcessHeartbeat, count: int) -> None:
        rows = []
        for number in range(count):
            away = self.chance.random() ** 1.3 * DAYS * 86400
            at = self.now - timedelta(seconds=120 + away)
            rows.append(self.call(self.chance.choices((0, 1, 2), (5, 3, 2))[0], at, number))
        for minutes in (37, 220):
            rows.append(self.writer.failed(self._asked(0, self.now - timedelta(minutes=minutes))))
        for seconds in (4, 9):
            asked = self._asked(0, self.now - timedelta(seconds=seconds))
            rows.append(self.writer.in_flight(asked, web))
        store(rows)

    def call(
        self, team_number: int, at: datetime, number: int = 0, run: CronRun | None = None
    ) -> ModelCall:
        one = self._asked(team_number, at, run)
        fate = self.chance.random()
        if run is None and number and fate > 0.975:
            return self.writer.blocked(one)
        if run is None and fate > 0.94:
            return self.writer.failed(one)
        return self.writer.answered(one)

    def _asked(self, team_number: int, at: datetime, run: CronRun | None = None) -> Decided:
        names, weights = list(MODELS), list(MODELS.values())
        background = TaskClass.BACKGROUND_AUTOMATION
        return self.writer.decided(
            Asked(
                team=self.teams[team_number],
                at=at,
                model=self.chance.choices(names, weights)[0],
                characters=5 * self.chance.randint(12000, 80000),
                api_key=None if run else self.keys[team_number],
                surface=Surface.SCHEDULE if run else Surface.OPENAI,
                task_class=background if run else TaskClass.PRIMARY_INTERACTIVE,
                job_id=run.job_id if run else None,
                run_id=run.pk if run else None,
            )
        )
