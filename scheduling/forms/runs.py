"""The forms of what is done to a job or a run: pausing, running now, trying."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from scheduling.forms.fields import JsonObjectField
from scheduling.jobs import SAY_WHY
from scheduling.models import CronJob


class PauseForm(forms.Form):
    """Why a schedule is paused."""

    reason = forms.CharField(
        max_length=CronJob._meta.get_field("paused_reason").max_length,
        label="Why?",
        help_text="Shown to the team until it is resumed.",
        error_messages={"required": SAY_WHY},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class ParametersForm(forms.Form):
    """With which parameters a job is run or tried this once."""

    parameters = JsonObjectField(
        label="Parameters for this run",
        help_text="A JSON object, whose values take the place of the schedule’s own of the same "
        "names. Empty: its own.",
    )

    def __init__(self, *args: Any, job: CronJob | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if job is not None:
            own = json.dumps(job.parameters, ensure_ascii=False)
            self.fields["parameters"].widget.attrs["placeholder"] = own


class CancelForm(forms.Form):
    """Why a run is cancelled."""

    reason = forms.CharField(
        required=False,
        max_length=200,
        label="Why? (optional)",
        help_text="Shown with the run.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
