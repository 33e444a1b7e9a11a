"""What a person fills in, and the request it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError

from governance.calls import Caller, CallRequest
from governance.models import Surface, TaskClass, Team
from providers.identifiers import new_id
from providers.models import ModelRole, ProviderModel
from providers.registry import AUTO
from scheduling.forms.jobs import model_choices
from scheduling.forms.policies import ROUTING_MODES
from scheduling.models import MAX_PROMPT_LENGTH

MOST_OUTPUT = 1_000_000
MOST_APPROVALS = 8


class ApprovalsField(forms.CharField):
    """Identifiers of approvals that were given for this call, with commas between."""

    def clean(self, value: Any) -> Any:
        texts = [one.strip() for one in str(value or "").split(",") if one.strip()]
        try:
            found = tuple(UUID(one) for one in texts)
        except ValueError:
            found = ()
        if len(found) != len(texts) or len(found) > MOST_APPROVALS:
            raise ValidationError("An approval is not named as one is.")
        return found


class PromptField(forms.CharField):
    """A text exactly as it was typed: browsers send other line ends than programs do."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_PROMPT_LENGTH, strip=False, **kwargs)

    def to_python(self, value: Any) -> Any:
        return str(super().to_python(value)).replace("\r\n", "\n")


class PlaygroundForm(forms.Form):
    """A prompt, and how it is to be answered."""

    template_columns = ("team", "model", "task_class", "routing_mode", "max_output_tokens")

    system_prompt = PromptField(
        required=False,
        label="System prompt",
        help_text="How the model should behave. May stay empty.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )
    prompt = PromptField(
        label="Prompt",
        error_messages={"required": "Write what the model is to be asked."},
        widget=forms.Textarea(attrs={"rows": 8, "autofocus": True}),
    )
    team = forms.ModelChoiceField(
        queryset=Team.objects.filter(enabled=True).order_by("name"),
        empty_label=None,
        label="Team",
        help_text="Whose budgets pay for it.",
        error_messages={"invalid_choice": "Choose a team that is enabled."},
    )
    model = forms.ChoiceField(
        label="Model",
        help_text="“auto” lets Palyra choose.",
        error_messages={"invalid_choice": "There is no enabled chat model of that name any more."},
    )
    task_class = forms.ChoiceField(
        choices=TaskClass.choices, initial=TaskClass.PRIMARY_INTERACTIVE, label="Kind of task"
    )
    routing_mode = forms.ChoiceField(choices=ROUTING_MODES, required=False, label="Routing")
    max_output_tokens = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MOST_OUTPUT,
        label="Most output tokens",
        help_text="Caps what it can cost. Empty: the model’s own most.",
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
    )
    approvals = ApprovalsField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        names = list(callable_models())
        field: Any = self.fields["model"]
        field.choices = model_choices(names)
        self.has_models = bool(names)

    def clean_prompt(self) -> str:
        """A prompt of blanks alone asks nothing."""
        prompt: str = self.cleaned_data["prompt"]
        if not prompt.strip():
            raise ValidationError("Write what the model is to be asked.")
        return prompt

    @property
    def options(self) -> list[Any]:
        """The fields beside the prompts, in their order."""
        return [self[name] for name in self.template_columns]

    @property
    def faults(self) -> list[str]:
        """Every fault of what was sent, led by its field's label."""
        return [
            f"{self.fields[name].label}: {text}" if name in self.fields else str(text)
            for name, texts in self.errors.items()
            for text in texts
        ]

    def call(self, user_id: int | None) -> CallRequest:
        """The call that a checked form stands for, asked by that person. It has a name already, so
        that it can be looked up whatever becomes of it."""
        asked = self.cleaned_data
        return CallRequest(
            caller=Caller(team_id=asked["team"].pk, surface=Surface.CONSOLE, user_id=user_id),
            body=body_of(asked),
            task_class=asked["task_class"],
            routing_mode=asked["routing_mode"] or None,
            approvals=asked["approvals"],
            call_id=new_id(),
        )


def callable_models() -> Any:
    """The chat models that can be asked, as pairs of provider and name."""
    models = ProviderModel.objects.filter(enabled=True, provider__enabled=True, role=ModelRole.CHAT)
    return models.order_by("provider__name", "name").values_list("provider__name", "name")


def body_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The request in OpenAI's format."""
    messages = [{"role": "user", "content": asked["prompt"]}]
    if asked["system_prompt"].strip():
        messages.insert(0, {"role": "system", "content": asked["system_prompt"]})
    body: dict[str, Any] = {"model": asked["model"] or AUTO, "messages": messages}
    if asked["max_output_tokens"] is not None:
        body["max_tokens"] = asked["max_output_tokens"]
    return body
