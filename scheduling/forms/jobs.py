"""The form of a whole scheduled prompt."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from governance.forms import add_faults
from governance.models import Team
from providers.registry import AUTO
from scheduling import jobs
from scheduling.deliveries import wishes_of
from scheduling.forms.policies import (
    AnswerForm,
    DeliveryForm,
    PolicyForm,
    channels_of,
    forget_what_does_not_count,
    policies_of,
)
from scheduling.forms.timing import BOUNDS, SHOWN_AT, UNITS, TimingForm, local_times
from scheduling.models import MAX_PROMPT_LENGTH, CronJob

PROMPT_FIELDS = ("name", "prompt", "system_prompt", "model", "max_output_tokens")
# The parts of the form that a simple schedule does without.
SECTIONS: dict[str, tuple[str, ...]] = {
    "bounds": BOUNDS,
    "policies": tuple(PolicyForm.base_fields),
    "answer": tuple(AnswerForm.base_fields),
    "deliveries": tuple(DeliveryForm.base_fields),
}
PROMPT_HELP = (
    "What is sent to the model each time. It may have variables, such as {{ scheduled_at }}, "
    "{{ previous.output }} or {{ parameters.topic }}."
)
EMPTY: tuple[Any, ...] = (None, "", [], {})


class JobForm(TimingForm, PolicyForm, AnswerForm, DeliveryForm):
    """A whole scheduled prompt of one team."""

    field_order = PROMPT_FIELDS
    name = forms.CharField(
        max_length=100,
        label="Name",
        help_text="How the team will know it, such as “Monday digest”.",
        error_messages={"required": "Give it a name."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    prompt = forms.CharField(
        max_length=MAX_PROMPT_LENGTH,
        label="Prompt",
        help_text=PROMPT_HELP,
        error_messages={"required": "Write what the model is to be asked."},
        widget=forms.Textarea(attrs={"rows": 6}),
    )
    system_prompt = forms.CharField(
        required=False,
        max_length=MAX_PROMPT_LENGTH,
        label="System prompt",
        help_text="How the model should behave. May stay empty.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    model = forms.ChoiceField(
        initial=AUTO, label="Model", help_text="“auto” lets Palyra choose the default."
    )
    max_output_tokens = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=1_000_000,
        label="Most output tokens",
        help_text="Caps what a run can cost. Empty: the model’s own most.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )

    def __init__(
        self,
        *args: Any,
        team: Team,
        models: Iterable[tuple[str, str]],
        job: CronJob | None = None,
        **kwargs: Any,
    ) -> None:
        """`models` are the (provider, model) names that may be called."""
        kwargs.setdefault("initial", initial_of(job) if job else {"zone": team.zone})
        super().__init__(*args, team=team, **kwargs)
        self.team = team
        self.job = job
        self.fields["model"].choices = model_choices(  # type: ignore[attr-defined]
            models, keep=job.model if job else ""
        )
        self.offer_channels(channels_of(team))

    def clean(self) -> dict[str, Any]:
        super().clean()
        forget_what_does_not_count(self)
        return self.cleaned_data

    @property
    def open_sections(self) -> set[str]:
        """The parts in which something is unusual or at fault."""
        return {section for section, names in SECTIONS.items() if any(map(self._is_unusual, names))}

    def _is_unusual(self, name: str) -> bool:
        if self.is_bound and (name in self.errors or name not in self.cleaned_data):
            return True
        value = self.cleaned_data[name] if self.is_bound else self[name].value()
        return is_unusual(name, list(value or ()) if name == "calendars" else value)

    def forget_faults_beyond_timing(self) -> None:
        """Leave only what is wrong with the schedule itself."""
        for name in [name for name in self.errors if name not in TimingForm.base_fields]:
            del self.errors[name]

    def store(self, *, user: Any, now: datetime) -> CronJob | None:
        """Make or change the job, or None and faults beside the fields."""
        if not self.is_valid():
            return None
        try:
            values = values_of(self)
            if self.job is not None:
                return jobs.update_job(self.job, now=now, **values)
            return jobs.create_job(team=self.team, created_by=user, now=now, **values)
        except ValidationError as error:
            add_faults(self, error, shown_at=SHOWN_AT)
            return None


def values_of(form: Any) -> dict[str, Any]:
    """All the job's fields that a checked form gives, as the services take them."""
    cleaned = form.cleaned_data
    return {
        **form.timing(),
        **{name: cleaned[name] for name in PROMPT_FIELDS},
        **policies_of(cleaned),
        "deliveries": form.wishes(),
    }


def is_unusual(name: str, value: Any) -> bool:
    """Whether a field of `SECTIONS` holds something else than a new job has."""
    if value in EMPTY:
        return False
    if name in {"calendars", "deliveries"}:
        return True
    column: Any = CronJob._meta.get_field(name)
    return bool(value != column.get_default())


def initial_of(job: CronJob) -> dict[str, Any]:
    """A stored job as the form shows it."""
    plain = (*PROMPT_FIELDS, "schedule_kind", "cron", "zone", "max_runs", "jitter_seconds")
    initial: dict[str, Any] = {
        name: getattr(job, name)
        for name in (*plain, *PolicyForm.base_fields, *AnswerForm.base_fields)
    }
    if job.every_seconds:
        unit = max(size for size, _ in UNITS if job.every_seconds % size == 0)
        initial |= {"every_count": job.every_seconds // unit, "every_unit": unit}
    initial |= local_times(job, "at", "starts_at", "ends_at")
    initial["calendars"] = [calendar.pk for calendar in job.calendars.all()]
    initial["deliveries"] = [f"{wish.channel_id}:{wish.on}" for wish in wishes_of(job)]
    return initial


def model_choices(models: Iterable[tuple[str, str]], keep: str = "") -> list[tuple[str, str]]:
    """What a job's model may be, with words for it; `keep` stays a choice whatever it is.

    A name that several providers have is offered for any of them and for each.
    """
    providers: dict[str, list[str]] = {}
    for provider, name in models:
        providers.setdefault(name, []).append(provider)
    choices = {AUTO: "auto"}
    qualified: set[str] = set()
    for name, owners in sorted(providers.items()):
        qualified |= {f"{owner}/{name}" for owner in owners}
        choices[name] = f"{name} ({owners[0] if len(owners) == 1 else 'any provider'})"
        if len(owners) > 1:
            choices |= {f"{owner}/{name}": f"{name} ({owner})" for owner in owners}
    if keep and keep not in choices:
        choices[keep] = keep if keep in qualified else f"{keep} (not available now)"
    return list(choices.items())
