"""The team pages' forms for scheduled prompts."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from governance.forms import add_faults
from governance.models import Team
from governance.zones import zone as time_zone
from providers.registry import AUTO
from scheduling import jobs
from scheduling.models import MAX_PROMPT_LENGTH, CronJob, ScheduleKind
from scheduling.schedule import upcoming

UNITS = ((1, "seconds"), (60, "minutes"), (3600, "hours"), (86400, "days"))
EARLIEST_YEAR, LATEST_YEAR = 2000, 2999
DEFAULT_UNIT = 60
# The form asks for a number and a unit where the job has seconds.
SHOWN_AT = {"every_seconds": "every_count"}


class LocalTimeField(forms.Field):
    """A date and time as clocks show it, in no zone yet."""

    widget = forms.DateTimeInput(attrs={"type": "datetime-local"})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, datetime):
            return value
        return value.isoformat(timespec="seconds" if value.second else "minutes")

    def to_python(self, value: Any) -> datetime | None:
        if value in self.empty_values:
            return None
        try:
            moment = datetime.fromisoformat(str(value).strip())
        except ValueError:
            raise ValidationError(
                "Give a date and a time, such as 2030-01-31 09:00.", code="invalid"
            ) from None
        if moment.tzinfo is not None:
            raise ValidationError("Leave the zone out here; it is chosen below.", code="zone")
        if not EARLIEST_YEAR <= moment.year <= LATEST_YEAR:
            raise ValidationError(
                f"Give a year from {EARLIEST_YEAR} to {LATEST_YEAR}.", code="year"
            )
        return moment


class TimingForm(forms.Form):
    """When a prompt runs: the part of a schedule that has a preview."""

    schedule_kind = forms.ChoiceField(
        choices=ScheduleKind.choices,
        initial=ScheduleKind.CRON,
        label="Runs",
        widget=forms.RadioSelect,
    )
    cron = forms.CharField(
        required=False,
        max_length=256,
        label="Cron expression",
        help_text="0 9 * * MON-FRI is nine o’clock on weekdays: minute, hour, day of month, "
        "month, day of week.",
        widget=forms.TextInput(
            attrs={"list": "cron-examples", "autocomplete": "off", "spellcheck": "false"}
        ),
    )
    every_count = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=100_000,
        label="Every",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    every_unit = forms.ChoiceField(
        required=False, choices=UNITS, initial=DEFAULT_UNIT, label="Unit"
    )
    at = LocalTimeField(required=False, label="Date and time", help_text="In the zone below.")
    zone = forms.CharField(
        max_length=64,
        label="Time zone",
        help_text="Type a city, for example Prague or New_York.",
        error_messages={"required": "Choose a time zone."},
        widget=forms.TextInput(
            attrs={"list": "zones", "autocomplete": "off", "spellcheck": "false"}
        ),
    )

    def clean_zone(self) -> str:
        name: str = self.cleaned_data["zone"]
        try:
            time_zone(name)
        except ValueError as error:
            raise ValidationError(str(error), code="zone") from None
        return name

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        needed = {
            ScheduleKind.CRON: ("cron", "Give a cron expression, such as 0 9 * * MON-FRI."),
            ScheduleKind.EVERY: ("every_count", "Say how often, such as every 30 minutes."),
            ScheduleKind.AT: ("at", "Say when, as a date and a time."),
        }
        kind = cleaned.get("schedule_kind")
        if kind in needed:
            field, message = needed[ScheduleKind(kind)]
            if not cleaned.get(field) and field not in self.errors:
                self.add_error(field, ValidationError(message, code="required"))
        return cleaned

    def timing(self) -> dict[str, Any]:
        """The job's schedule fields, `at` in no zone yet; other kinds' fields are left empty."""
        cleaned = self.cleaned_data
        kind = cleaned["schedule_kind"]
        every = cleaned["every_count"] if kind == ScheduleKind.EVERY else None
        return {
            "schedule_kind": kind,
            "cron": cleaned["cron"] if kind == ScheduleKind.CRON else "",
            "every_seconds": every * int(cleaned["every_unit"] or DEFAULT_UNIT) if every else None,
            "at": cleaned["at"] if kind == ScheduleKind.AT else None,
            "zone": cleaned["zone"],
        }

    def preview(self, now: datetime, job: CronJob | None = None) -> jobs.Preview | None:
        """The schedule in words and its next times, or None and faults beside the fields.

        An interval that `job` already has goes on counting from where it began.
        """
        if any(name in self.errors for name in TimingForm.base_fields):
            return None
        timing = self.timing()
        if job is not None and _same_interval(job, timing):
            return jobs.Preview(jobs.sentence(job), upcoming(job.schedule, now, jobs.PREVIEW_COUNT))
        try:
            return jobs.preview(now=now, **timing)
        except ValidationError as error:
            add_faults(self, error, shown_at=SHOWN_AT)
            return None


def _same_interval(job: CronJob, timing: dict[str, Any]) -> bool:
    given = (timing["schedule_kind"], timing["every_seconds"])
    is_interval: bool = job.schedule_kind == ScheduleKind.EVERY
    return is_interval and given == (job.schedule_kind, job.every_seconds)


class JobForm(TimingForm):
    """A whole scheduled prompt of one team."""

    field_order = ("name", "prompt", "system_prompt", "model", "max_output_tokens")
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
        help_text="What is sent to the model each time.",
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
        kwargs.setdefault("initial", _initial(job) if job else {"zone": team.zone})
        super().__init__(*args, **kwargs)
        self.team = team
        self.job = job
        self.fields["model"].choices = model_choices(  # type: ignore[attr-defined]
            models, keep=job.model if job else ""
        )

    def forget_faults_beyond_timing(self) -> None:
        """Leave only what is wrong with the schedule itself."""
        for name in [name for name in self.errors if name not in TimingForm.base_fields]:
            del self.errors[name]

    def store(self, *, user: Any, now: datetime) -> CronJob | None:
        """Make or change the job, or None and faults beside the fields."""
        if not self.is_valid():
            return None
        try:
            values = self.timing() | {name: self.cleaned_data[name] for name in PROMPT_FIELDS}
            if self.job is not None:
                return jobs.update_job(self.job, now=now, **values)
            return jobs.create_job(team=self.team, created_by=user, now=now, **values)
        except ValidationError as error:
            add_faults(self, error, shown_at=SHOWN_AT)
            return None


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


PROMPT_FIELDS = ("name", "prompt", "system_prompt", "model", "max_output_tokens")


def _initial(job: CronJob) -> dict[str, Any]:
    initial: dict[str, Any] = {
        name: getattr(job, name) for name in (*PROMPT_FIELDS, "schedule_kind", "cron", "zone")
    }
    if job.every_seconds:
        unit = max(size for size, _ in UNITS if job.every_seconds % size == 0)
        initial |= {"every_count": job.every_seconds // unit, "every_unit": unit}
    if job.at:
        initial["at"] = job.at.astimezone(time_zone(job.zone)).replace(tzinfo=None)
    return initial


class PauseForm(forms.Form):
    """Why a schedule is paused."""

    reason = forms.CharField(
        max_length=CronJob._meta.get_field("paused_reason").max_length,
        label="Why?",
        help_text="Shown to the team until it is resumed.",
        error_messages={"required": "Say why, so that the team knows when to resume it."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
