"""The console's form of a scheduled prompt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from governance.admin.teams import ZoneInput
from governance.forms import add_faults
from providers.models import ModelRole, ProviderModel
from providers.registry import AUTO
from scheduling import jobs
from scheduling.forms import PROMPT_FIELDS, SHOWN_AT, JobForm, TimingForm, model_choices
from scheduling.models import CronJob

if TYPE_CHECKING:
    from django.forms import Select as UnfoldAdminSelectWidget

    INPUT_CLASSES: list[str] = []
    TEXTAREA_CLASSES: list[str] = []
else:
    from unfold.widgets import INPUT_CLASSES, TEXTAREA_CLASSES, UnfoldAdminSelectWidget

TIMING_FIELDS = ("schedule_kind", "cron", "every_count", "every_unit", "at", "zone")
STORED_TIMING = ("schedule_kind", "cron", "every_seconds", "zone")


class JobAdminForm(TimingForm, forms.ModelForm[CronJob]):
    """Stores the job as its last check, through the same service as every other face."""

    model = forms.ChoiceField(
        initial=AUTO,
        help_text="“auto” lets Palyra choose the default.",
        widget=UnfoldAdminSelectWidget(),
    )
    user: Any = None

    class Meta:
        model = CronJob
        fields = ("team", *PROMPT_FIELDS)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        job = self.instance if self.instance.created_at else None
        if job is not None:
            self.initial.update(JobForm(team=job.team, models=(), job=job).initial)
        # Whoever may only look is given no fields to fill in.
        if "prompt" in self.fields:
            self._dress(job)

    def _dress(self, job: CronJob | None) -> None:
        self.fields["model"].choices = model_choices(  # type: ignore[attr-defined]
            _callable_models(), keep=job.model if job else ""
        )
        for name in TIMING_FIELDS:
            self.fields[name].widget = _dressed(name, self.fields[name])
        self.fields["zone"].initial = "UTC"
        for name, rows in (("prompt", 5), ("system_prompt", 3)):
            self.fields[name].widget.attrs["rows"] = rows

    def clean(self) -> dict[str, Any]:
        data = super().clean()
        if not any(name in self.errors for name in TIMING_FIELDS):
            # Said at once with the faults of other fields, not only once those are mended.
            try:
                timing = self.timing()
                if timing != self._stored_timing():
                    jobs.preview(now=timezone.now(), **timing)
            except ValidationError as error:
                add_faults(self, error, shown_at=SHOWN_AT)
        return data

    def _stored_timing(self) -> dict[str, Any] | None:
        """The stored job's timing as the form gives it: a time that has passed by itself stays."""
        if not self.instance.created_at:
            return None
        stored = {name: getattr(self.instance, name) for name in STORED_TIMING}
        return {**stored, "at": self.initial.get("at")}

    def _post_clean(self) -> None:
        # Not the model form's own: the service checks the whole job and stores it.
        if self.errors:
            return
        try:
            self.instance = self._store()
        except ValidationError as error:
            add_faults(self, error, shown_at=SHOWN_AT)

    def _store(self) -> CronJob:
        now = timezone.now()
        values = self.timing() | {name: self.cleaned_data[name] for name in PROMPT_FIELDS}
        if self.instance.created_at:
            job = CronJob.objects.get(pk=self.instance.pk)
            return jobs.update_job(job, now=now, **values)
        team = self.cleaned_data["team"]
        return jobs.create_job(team=team, created_by=self.user, now=now, **values)

    def save(self, commit: bool = True) -> CronJob:
        return self.instance

    def save_m2m(self) -> None:
        """There is nothing more to save."""


def _callable_models() -> list[tuple[str, str]]:
    models = ProviderModel.objects.filter(enabled=True, provider__enabled=True, role=ModelRole.CHAT)
    return list(models.values_list("provider__name", "name"))


def _dressed(name: str, field: Any) -> forms.Widget:
    """The field's widget in the console's looks."""
    if name == "zone":
        return ZoneInput()
    if isinstance(field.widget, forms.Select | forms.RadioSelect):
        return UnfoldAdminSelectWidget(choices=field.widget.choices)
    widget: forms.Widget = field.widget
    widget.attrs = {key: value for key, value in widget.attrs.items() if key != "list"}
    looks = TEXTAREA_CLASSES if isinstance(widget, forms.Textarea) else INPUT_CLASSES
    widget.attrs["class"] = " ".join(looks)
    return widget
