"""The console's pages of scheduled prompts and their runs."""

from scheduling.admin.jobs import CronJobAdmin
from scheduling.admin.maintenance import MaintenanceJobAdmin
from scheduling.admin.runs import CronRunAdmin

__all__ = ["CronJobAdmin", "CronRunAdmin", "MaintenanceJobAdmin"]
