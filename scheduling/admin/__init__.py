"""The console's pages of scheduled prompts, their runs and calendars."""

from scheduling.admin.calendars import ExclusionCalendarAdmin
from scheduling.admin.jobs import CronJobAdmin
from scheduling.admin.maintenance import MaintenanceJobAdmin
from scheduling.admin.runs import CronRunAdmin

__all__ = ["CronJobAdmin", "CronRunAdmin", "ExclusionCalendarAdmin", "MaintenanceJobAdmin"]
