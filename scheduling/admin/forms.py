"""The console's forms of scheduled prompts and calendars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from governance.admin.teams import ZoneInput
from governance.forms import add_faults
from governance.models import Channel
from providers.models import ModelRole, ProviderModel
from providers.registry import AUTO
from scheduling import calendars, jobs
from scheduling.forms.fields import DatesField, PolicyField
from scheduling.forms.jobs import PROMPT_FIELDS, PROMPT_HELP, initial_of, model_choices, values_of
from scheduling.forms.policies import (
    AnswerForm,
    DeliveryForm,
    PolicyForm,
    channels_of,
    forget_what_does_not_count,
)
from scheduling.forms.timing import SHOWN_AT, TimingForm
from scheduling.models import CronJob, ExclusionCalendar
from scheduling.previews import preview

if TYPE_CHECKING:
    from django.forms import CheckboxInput as UnfoldBooleanWidget
    from django.forms import CheckboxSelectMultiple as UnfoldAdminCheckboxSelectMultipleWidget
    from django.forms import RadioSelect as UnfoldAdminRadioSelectWidget
    from django.forms import Select as UnfoldAdminSelectWidget

    INPUT_CLASSES: list[str] = []
    TEXTAREA_CLASSES: list[str] = []
else:
    from unfold.widgets import (
        INPUT_CLASSES,
        TEXTAREA_CLASSES,
        UnfoldAdminCheckboxSelectMultipleWidget,
        UnfoldAdminRadioSelectWidget,
        UnfoldAdminSelectWidget,
        UnfoldBooleanWidget,
    )

OWN_FIELDS = (
    *TimingForm.base_fields,
    *PolicyForm.base_fields,
    *AnswerForm.base_fields,
    *DeliveryForm.base_fields,
)


class JobAdminForm(TimingForm, PolicyForm, AnswerForm, DeliveryForm, forms.ModelForm[CronJob]):
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
            self.initial.update(initial_of(job))
        # Whoever may only look is given no fields to fill in.
        if "prompt" in self.fields:
            self._offer(job)
            self._dress()

    def _offer(self, job: CronJob | None) -> None:
        """Let be chosen what the job's team may use; of a new one, whose team is yet to be chosen,
        what any may, and the service says what this one may not."""
        self.fields["model"].choices = model_choices(  # type: ignore[attr-defined]
            _callable_models(), keep=job.model if job else ""
        )
        if job is None:
            every: Any = self.fields["calendars"]
            every.queryset = ExclusionCalendar.objects.select_related("team")
            every.label_from_instance = _with_team
            self.offer_channels(Channel.objects.order_by("name"))
        else:
            self.offer_calendars(job.team)
            self.offer_channels(channels_of(job.team))

    def _dress(self) -> None:
        for name in OWN_FIELDS:
            self.fields[name].widget = _dressed(name, self.fields[name])
        self.fields["zone"].initial = "UTC"
        self.fields["prompt"].help_text = PROMPT_HELP
        for name, rows in (("prompt", 5), ("system_prompt", 3)):
            self.fields[name].widget.attrs["rows"] = rows

    def clean(self) -> dict[str, Any]:
        super().clean()
        if "prompt" in self.fields:
            forget_what_does_not_count(self)
        if not any(name in self.errors for name in TimingForm.base_fields):
            # Said at once with the faults of other fields, not only once those are mended.
            try:
                job = self.instance if self.instance.created_at else None
                preview(now=timezone.now(), job=job, **self.timing())
            except ValidationError as error:
                add_faults(self, error, shown_at=SHOWN_AT)
        return self.cleaned_data

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
        values = values_of(self)
        if self.instance.created_at:
            job = CronJob.objects.get(pk=self.instance.pk)
            return jobs.update_job(job, now=now, **values)
        team = self.cleaned_data["team"]
        return jobs.create_job(team=team, created_by=self.user, now=now, **values)

    def save(self, commit: bool = True) -> CronJob:
        return self.instance

    def save_m2m(self) -> None:
        """There is nothing more to save."""


def _with_team(calendar: ExclusionCalendar) -> str:
    return f"{calendar} ({calendar.team})" if calendar.team else str(calendar)


def _callable_models() -> list[tuple[str, str]]:
    models = ProviderModel.objects.filter(enabled=True, provider__enabled=True, role=ModelRole.CHAT)
    return list(models.values_list("provider__name", "name"))


def _dressed(name: str, field: Any) -> forms.Widget:
    """The field's widget in the console's looks."""
    if name == "zone":
        return ZoneInput()
    if isinstance(field, PolicyField):
        return UnfoldAdminRadioSelectWidget(choices=field.sentences)
    if isinstance(field.widget, forms.CheckboxSelectMultiple):
        return UnfoldAdminCheckboxSelectMultipleWidget(choices=field.widget.choices)
    if isinstance(field.widget, forms.CheckboxInput):
        return UnfoldBooleanWidget()
    if isinstance(field.widget, forms.Select | forms.RadioSelect):
        return UnfoldAdminSelectWidget(choices=field.widget.choices)
    return worn(field.widget)


def worn(widget: forms.Widget) -> forms.Widget:
    """A text widget in the console's looks."""
    widget.attrs = {key: value for key, value in widget.attrs.items() if key != "list"}
    looks = TEXTAREA_CLASSES if isinstance(widget, forms.Textarea) else INPUT_CLASSES
    widget.attrs["class"] = " ".join([*looks, widget.attrs.get("class", "")]).strip()
    return widget


class CalendarAdminForm(forms.ModelForm[ExclusionCalendar]):
    """A calendar, its days one a line; stored through the service as its last check."""

    dates = DatesField(
        label="Days",
        help_text="One a line, such as 2026-12-25. Each is a day in the time zone of the scheduled "
        "prompt that goes by it.",
    )

    class Meta:
        model = ExclusionCalendar
        fields = ("name", "team")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "dates" in self.fields:
            self.initial["dates"] = self.instance.dates
            worn(self.fields["dates"].widget)

    def _post_clean(self) -> None:
        # Not the model form's own: the service checks the whole calendar and stores it.
        if self.errors:
            return
        given = {name: self.cleaned_data[name] for name in ("name", "dates")}
        try:
            if self.instance.pk is None:
                self.instance = calendars.create(team=self.cleaned_data["team"], **given)
            else:
                stored = ExclusionCalendar.objects.get(pk=self.instance.pk)
                self.instance = calendars.change(stored, now=timezone.now(), **given)
        except ValidationError as error:
            add_faults(self, error)

    def save(self, commit: bool = True) -> ExclusionCalendar:
        return self.instance

    def save_m2m(self) -> None:
        """There is nothing more to save."""
