"""Scheduled prompts, their runs, what is sent of these, and the jobs of Palyra's own upkeep."""

from scheduling.models.calendars import MAX_CALENDAR_DATES, ExclusionCalendar, day_of
from scheduling.models.deliveries import DeliverOn, RunDelivery
from scheduling.models.jobs import DISPATCH_FIELDS, CronJob
from scheduling.models.maintenance import MaintenanceJob, MaintenanceStatus
from scheduling.models.policies import (
    MAX_PROMPT_LENGTH,
    MisfirePolicy,
    OutputFormat,
    OverlapPolicy,
    ScheduleKind,
)
from scheduling.models.runs import (
    ACTIVE,
    NOT_RUN,
    CronRun,
    RunStatus,
    RunTrigger,
)

__all__ = [
    "ACTIVE",
    "DISPATCH_FIELDS",
    "MAX_CALENDAR_DATES",
    "MAX_PROMPT_LENGTH",
    "NOT_RUN",
    "CronJob",
    "CronRun",
    "DeliverOn",
    "ExclusionCalendar",
    "MaintenanceJob",
    "MaintenanceStatus",
    "MisfirePolicy",
    "OutputFormat",
    "OverlapPolicy",
    "RunDelivery",
    "RunStatus",
    "RunTrigger",
    "ScheduleKind",
    "day_of",
]
