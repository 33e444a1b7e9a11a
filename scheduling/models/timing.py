"""When a scheduled prompt runs, and whether that differs from what is stored."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self

from django.utils import timezone

from scheduling import schedule as schedules
from scheduling.models.calendars import ExclusionCalendar
from scheduling.models.policies import ScheduleKind
from scheduling.planning import due_time

if TYPE_CHECKING:
    from django.db.models import Model as Base
else:
    Base = object

TIMING_FIELDS = (
    "schedule_kind",
    "cron",
    "every_seconds",
    "at",
    "zone",
    "enabled",
    "starts_at",
    "ends_at",
    "max_runs",
    "jitter_seconds",
)


class Timing(Base):
    """Mixed into the model of a job, which has the fields."""

    if TYPE_CHECKING:
        schedule_kind: Any
        cron: Any
        every_seconds: Any
        at: Any
        zone: Any
        anchor_at: Any
        starts_at: Any
        ends_at: Any
        jitter_seconds: Any
        calendars: Any

    # The timing as it is stored; None for a job that is not, or was read in part only.
    _stored_timing: tuple[Any, ...] | None = None

    @classmethod
    def from_db(cls, *args: Any, **kwargs: Any) -> Self:
        job = super().from_db(*args, **kwargs)
        job.remember_timing()
        return job

    def refresh_from_db(self, *args: Any, **kwargs: Any) -> None:
        super().refresh_from_db(*args, **kwargs)
        self.remember_timing()

    def remember_timing(self) -> None:
        """Take the timing as it is for the stored one."""
        partial = self.get_deferred_fields() & set(TIMING_FIELDS)
        self._stored_timing = None if partial else self._timing()

    @property
    def schedule(self) -> schedules.Schedule:
        """When it runs. Raises `schedules.ScheduleFault` if what is stored cannot be used."""
        return self.schedule_apart_from(self.calendars.all())

    def schedule_apart_from(self, calendars: Iterable[ExclusionCalendar]) -> schedules.Schedule:
        """When it runs if it does not on the days that `calendars` name. Raises as `schedule`."""
        return schedules.parse(
            kind=self.schedule_kind,
            cron=self.cron,
            every_seconds=self.every_seconds,
            at=self.at,
            zone=self.zone,
            anchor_at=self.anchor_at,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            excluded=frozenset().union(*(calendar.days for calendar in calendars)),
        )

    def first_due(
        self, when: schedules.Schedule, after: datetime
    ) -> tuple[datetime | None, datetime | None]:
        """Its first scheduled time after `after`, if it runs as `when` says, and when that is
        begun."""
        slot = schedules.next_after(when, after)
        if slot is None:
            return None, None
        following = schedules.next_after(when, slot) if self.jitter_seconds else None
        return slot, due_time(self.pk, slot, self.jitter_seconds, following)

    @property
    def timing_changed(self) -> bool:
        """Whether the schedule, or that the job is enabled, differs from what is stored."""
        return self._stored_timing != self._timing()

    @property
    def times_changed(self) -> bool:
        """Whether its scheduled times are others than as it is stored, or it is paused or resumed.
        Where it begins, ends and leaves out days only takes some of them away."""
        names = ("schedule_kind", "cron", "every_seconds", "at", "zone", "enabled")
        return any(self._stored_field(name) != getattr(self, name) for name in names)

    @property
    def interval_changed(self) -> bool:
        """Whether it runs at an interval, and did not at this one as it is stored."""
        stored = self._stored_field("schedule_kind"), self._stored_field("every_seconds")
        every = self.schedule_kind == ScheduleKind.EVERY
        return every and stored != (self.schedule_kind, self.every_seconds)

    def at_fault(self) -> str | None:
        """Why it cannot run once at its time, where that is new: a stored one passes by itself."""
        if self.at is None or self.schedule_kind != ScheduleKind.AT:
            return None
        if (self._stored_field("schedule_kind"), self._stored_field("at")) == (
            self.schedule_kind,
            self.at,
        ):
            return None
        return schedules.at_fault(self.at, timezone.now())

    def _timing(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in TIMING_FIELDS)

    def _stored_field(self, name: str) -> Any:
        if self._stored_timing is None:
            return None
        return self._stored_timing[TIMING_FIELDS.index(name)]
