"""The team's pages about scheduled prompts, their runs, and calendars."""

from scheduling.views.calendars import (
    calendar_create,
    calendar_delete,
    calendar_edit,
    calendar_list,
)
from scheduling.views.runs import (
    run_again,
    run_cancel,
    run_detail,
    run_tell_again,
    schedule_review,
    schedule_run,
    schedule_try,
)
from scheduling.views.schedules import (
    schedule_create,
    schedule_detail,
    schedule_edit,
    schedule_list,
    schedule_pause,
    schedule_preview,
    schedule_resume,
    schedule_runs,
)

__all__ = [
    "calendar_create",
    "calendar_delete",
    "calendar_edit",
    "calendar_list",
    "run_again",
    "run_cancel",
    "run_detail",
    "run_tell_again",
    "schedule_create",
    "schedule_detail",
    "schedule_edit",
    "schedule_list",
    "schedule_pause",
    "schedule_preview",
    "schedule_resume",
    "schedule_review",
    "schedule_run",
    "schedule_runs",
    "schedule_try",
]
