"""What a job of upkeep is given, and how it says that something is wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from providers.transport import Transport

ResultT = TypeVar("ResultT")


class NotWell(Exception):
    """A job did what it had to and found something wrong; it says what, in words."""


class BrokenOff(Exception):
    """The process is about to end: the job is another's."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a job: it began at `now`, and goes on while `goes_on()`, between two steps.

    `silence_counts` says that a process which was not heard of is dead. What is `kept` is there at
    the job's next turn in this process: as long as there is something, the job has not nothing to
    do.
    """

    now: datetime
    silence_counts: bool
    clock: Callable[[], datetime]
    goes_on: Callable[[], bool]
    _ask: Callable[[Callable[[Transport], Awaitable[Any]]], Any]
    kept: dict[str, Any] = field(default_factory=dict)

    def ask(self, errand: Callable[[Transport], Awaitable[ResultT]]) -> ResultT:
        """What hosts answered. Raises `BrokenOff`, and `TimeoutError` once the job's time is over.

        The errand must not touch the database. Tasks that it begins go on until the next turn.
        """
        result: ResultT = self._ask(errand)
        return result
