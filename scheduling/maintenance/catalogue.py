"""The jobs of upkeep there are: what each does, when, and how long it may take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from governance import kept_calls
from governance.alerts import deliveries
from providers import health
from scheduling.maintenance import checks, cleaning, database, errands, retention
from scheduling.maintenance.turn import Turn

# A claim outlives the job's own limit by so much: it ends by itself before another begins.
MARGIN = timedelta(seconds=10)


class Lane(StrEnum):
    """Which thread does a job: what is due every few seconds never waits for what takes minutes,
    nor for receivers of messages."""

    MESSAGES = "messages"
    QUICK = "quick"
    SLOW = "slow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """A job in code. Exactly one of `cron`, read in UTC, and `every_seconds` is its schedule unless
    an operator sets another.

    `do` returns what came of it in words; it raises `NotWell` where it found something wrong.
    `is_idle` says with one cheap query that there is nothing to do. `look_after` is called about
    once a second with what the job keeps in a process, and the clock, whoever has the job.
    """

    name: str
    title: str
    does: str
    do: Callable[[Turn], str]
    cron: str = ""
    every_seconds: int | None = None
    longest: timedelta
    lane: Lane = Lane.SLOW
    is_idle: Callable[[datetime], bool] | None = None
    look_after: Callable[[dict[str, Any], Callable[[], datetime]], None] | None = None

    @property
    def lease(self) -> timedelta:
        """How long nobody else takes it over."""
        return self.longest + MARGIN


CATALOGUE = (
    Upkeep(
        name="deliveries",
        title="Deliveries",
        does="Sends the messages that are due to their channels.",
        do=errands.deliver,
        every_seconds=1,
        longest=timedelta(seconds=20),
        lane=Lane.MESSAGES,
        is_idle=deliveries.none_due,
        look_after=errands.record_sent,
    ),
    Upkeep(
        name="stale-runs",
        title="Stale runs",
        does="Finds runs of scheduled prompts that nobody looks after, and says what became of "
        "them.",
        do=errands.recover_runs,
        every_seconds=5,
        longest=timedelta(seconds=10),
        lane=Lane.QUICK,
        is_idle=errands.no_run_is_open,
    ),
    Upkeep(
        name="kept-calls",
        title="Kept calls",
        does="Goes on with calls that wait for approval where a crash left them lying, and forgets "
        "answers that can no longer be fetched.",
        do=errands.sweep_kept_calls,
        every_seconds=5,
        longest=timedelta(seconds=20),
        lane=Lane.QUICK,
        is_idle=kept_calls.none_kept,
    ),
    Upkeep(
        name="health-probes",
        title="Health probes",
        does="Asks each provider that nobody asked for a minute for its models, which costs "
        "nothing.",
        do=errands.probe,
        every_seconds=5,
        # Runs that nobody looks after wait behind it, and are to be found within a minute.
        longest=timedelta(seconds=30),
        lane=Lane.QUICK,
        is_idle=health.none_due,
    ),
    Upkeep(
        name="alerts",
        title="Alerts",
        does="Raises alerts for what has become true, and resolves those that are so no longer.",
        do=errands.evaluate_alerts,
        every_seconds=15,
        longest=timedelta(minutes=1),
        lane=Lane.QUICK,
    ),
    Upkeep(
        name="expired-holds",
        title="Expired holds",
        does="Settles calls as unconfirmed whose process has ended or whose time is long over, so "
        "that nothing is held for ever.",
        do=errands.sweep_holds,
        every_seconds=30,
        longest=timedelta(seconds=30),
        lane=Lane.QUICK,
    ),
    Upkeep(
        name="discovery",
        title="Discovery",
        does="Asks every enabled provider which models it has, and says what is new and what is "
        "gone. Nothing is changed: that is for the providers' pages.",
        do=checks.refresh_discovery,
        cron="17 4 * * *",
        longest=timedelta(minutes=10),
    ),
    Upkeep(
        name="stale-prices",
        title="Stale prices",
        does="Says which models' prices nobody has confirmed for long, and which have none.",
        do=checks.look_at_prices,
        cron="27 4 * * *",
        longest=timedelta(minutes=1),
    ),
    Upkeep(
        name="usage-check",
        title="Usage check",
        does="Compares the sums that reports are made of with the ledger, and changes nothing.",
        do=checks.check_usage,
        cron="37 3 * * *",
        longest=timedelta(minutes=3),
    ),
    Upkeep(
        name="retention",
        title="Retention",
        does="Deletes what is older than the settings let it be kept. Calls, sums of usage and the "
        "audit trail are kept for ever.",
        do=retention.forget_what_is_old,
        cron="7 2 * * *",
        longest=timedelta(minutes=10),
    ),
    Upkeep(
        name="sessions",
        title="Sessions and leftovers",
        does="Deletes sessions that have expired and what is remembered of them, counts of "
        "sign-ins that no longer matter, the marks of processes that ended long ago, and the "
        "queue's records of tasks that failed.",
        do=cleaning.clean,
        cron="47 * * * *",
        longest=timedelta(minutes=3),
    ),
    Upkeep(
        name="database",
        title="Database",
        does="SQLite: keeps the planner's statistics and the write-ahead log small and fresh. "
        "PostgreSQL: vacuums tables that autovacuum does not keep up with.",
        do=database.tend,
        cron="57 4 * * *",
        longest=timedelta(minutes=10),
    ),
)
BY_NAME = {one.name: one for one in CATALOGUE}
