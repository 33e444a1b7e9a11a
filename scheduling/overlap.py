"""Whether a run may begin beside the job's other runs: a pure decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

FORBID, QUEUE_ONE, REPLACE, ALLOW = "forbid", "queue_one", "replace", "allow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """A run that has one of its job's places, or waits for one. `state` says it in words;
    `scheduled` tells a scheduled time's from those that people start or that make up for others."""

    id: UUID
    slot: datetime
    state: str
    scheduled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """A job's places as they are taken: by lane, the run in it; and the runs that wait for one,
    `waiting`, in the order in which they will have it."""

    overlap: str
    max_parallel: int
    lanes: Mapping[int, Occupant] = field(default_factory=dict)
    waiting: tuple[Occupant, ...] = ()

    @property
    def capacity(self) -> int:
        """How many of the job's runs may be under way at once."""
        return self.max_parallel if self.overlap == ALLOW else 1

    @property
    def free_lane(self) -> int | None:
        """The first place that nobody has."""
        return next((lane for lane in range(self.capacity) if lane not in self.lanes), None)

    @property
    def has_room(self) -> bool:
        """Whether one more run has a place at once."""
        return self.free_lane is not None and not self.waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a run that is due: it has `lane`; or with `waits` it waits for one; or it is
    skipped for `obstacle`. Those in `cancels` are to be cancelled in its favour."""

    lane: int | None = None
    waits: bool = False
    obstacle: str = ""
    cancels: tuple[UUID, ...] = ()


def place(places: Places, *, in_line: bool = False, scheduled: bool = True) -> Verdict:
    """Decide on one more run. With `in_line` it comes after those that make up for missed times and
    is not skipped; of runs that are `scheduled` no more than one waits all the same."""
    if places.has_room:
        return Verdict(lane=places.free_lane)
    scheduled_ones = [one for one in places.waiting if one.scheduled]
    if in_line and not (scheduled and scheduled_ones):
        return Verdict(waits=True)
    if places.overlap == REPLACE:
        occupants = (*places.lanes.values(), *places.waiting)
        return Verdict(waits=True, cancels=tuple(occupant.id for occupant in occupants))
    if places.overlap == QUEUE_ONE and not places.waiting:
        return Verdict(waits=True)
    return Verdict(obstacle=_obstacle(places))


def _obstacle(places: Places) -> str:
    """Why there is no place for it."""
    if places.overlap == QUEUE_ONE or not places.lanes:
        return f"{_named(places.waiting[0])} was waiting for its turn; no more than one waits."
    if places.overlap == ALLOW:
        count = len(places.lanes)
        return f"{count} runs were under way already; no more than {places.capacity} may be."
    (occupant, *_) = places.lanes.values()
    return f"{_named(occupant)} was {occupant.state}; one runs at a time."


def _named(occupant: Occupant) -> str:
    return f"The run of {occupant.slot:%Y-%m-%d %H:%M:%S} UTC"


def promoted(places: Places) -> tuple[tuple[UUID, int], ...]:
    """The waiting runs that have a place now, each with its lane."""
    free = [lane for lane in range(places.capacity) if lane not in places.lanes]
    return tuple((occupant.id, lane) for occupant, lane in zip(places.waiting, free, strict=False))
