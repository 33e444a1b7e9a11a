"""The forms of scheduled prompts, their runs and calendars."""

from scheduling.forms.calendars import CalendarForm
from scheduling.forms.jobs import JobForm, model_choices
from scheduling.forms.runs import CancelForm, ParametersForm, PauseForm
from scheduling.forms.timing import TimingForm

__all__ = [
    "CalendarForm",
    "CancelForm",
    "JobForm",
    "ParametersForm",
    "PauseForm",
    "TimingForm",
    "model_choices",
]
