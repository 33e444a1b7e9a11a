"""What happens if things do not go as they should, what is answered, and who is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django import forms

from governance.models import Channel, RoutingMode, TaskClass, Team
from scheduling.deliveries import channels_for
from scheduling.forms.fields import JsonObjectField, PolicyField, number
from scheduling.models import (
    CronJob,
    DeliverOn,
    MisfirePolicy,
    OutputFormat,
    OverlapPolicy,
)
from scheduling.policy_words import DELIVER_ON, MISFIRE, OUTPUT_FORMAT, OVERLAP

Chosen = Mapping[str, Any]
ROUTING_MODES = (
    ("", "As the team or the installation is set"),
    (RoutingMode.SUGGEST.value, "Suggest: use the model asked for"),
    (RoutingMode.DRY_RUN.value, "Dry run: record what another would have cost"),
    (RoutingMode.ENFORCED.value, "Enforced: use the recommended model"),
)
# Fields that mean something only beside what another holds; otherwise they stay as they are.
DEPENDENT: dict[str, Callable[[Chosen], bool]] = {
    "max_parallel": lambda chosen: chosen.get("overlap") == OverlapPolicy.ALLOW,
    "catch_up_limit": lambda chosen: chosen.get("misfire") == MisfirePolicy.CATCH_UP,
    "catch_up_hours": lambda chosen: chosen.get("misfire") == MisfirePolicy.CATCH_UP,
    "output_schema": lambda chosen: chosen.get("output_format") == OutputFormat.JSON,
}


class PolicyForm(forms.Form):
    """What happens if things do not go as they should."""

    overlap = PolicyField("overlap", OVERLAP, label="If another run is still under way")
    max_parallel = number(
        "max_parallel", label="Runs at once", help_text="At most so many run beside each other."
    )
    misfire = PolicyField("misfire", MISFIRE, label="If times pass while no scheduler runs")
    catch_up_limit = number(
        "catch_up_limit", label="Catch up with", help_text="Missed times at most, the latest ones."
    )
    catch_up_hours = number(
        "catch_up_hours", label="Not older than", help_text="Hours; older ones are not made up for."
    )
    max_attempts = number(
        "max_attempts",
        label="Attempts",
        help_text="How often a run is tried. Only failures that may pass are tried again: a "
        "provider that is down or busy, not a prompt it refuses.",
    )
    backoff_seconds = number(
        "backoff_seconds",
        label="First pause",
        help_text="Seconds before the second attempt, doubled before each further one.",
    )
    retry_unconfirmed = forms.BooleanField(
        required=False,
        label="Try again even if the provider may have answered",
        help_text="A run that was cut off is then repeated at the risk of paying for it twice.",
    )
    max_runtime_seconds = number(
        "max_runtime_seconds",
        label="Longest run",
        help_text="Seconds after which an attempt is given up as failed.",
    )
    expected_seconds = number(
        "expected_seconds",
        label="Expected to take",
        help_text="Seconds; a run that takes longer is marked as slow. Empty: nothing is marked.",
    )
    pause_after_failures = number(
        "pause_after_failures",
        label="Pause after failures",
        help_text="So many in a row, and it runs no more until resumed. Empty: it goes on.",
    )


class AnswerForm(forms.Form):
    """What is asked besides the prompt, and what the answer is to be."""

    task_class = forms.ChoiceField(
        required=False,
        choices=TaskClass.choices,
        initial=TaskClass.BACKGROUND_AUTOMATION,
        label="Kind of task",
        help_text="Routing chooses the model by it. Scheduled prompts are background automation "
        "unless you know better.",
    )
    routing_mode = forms.ChoiceField(
        required=False,
        choices=ROUTING_MODES,
        label="Routing",
        help_text="What becomes of a recommendation of another model.",
    )
    parameters = JsonObjectField(
        label="Parameters",
        help_text='A JSON object, such as {"topic": "news"}: the prompt may say '
        "{{ parameters.topic }}, and a single run may be given others.",
    )
    output_format = PolicyField("output_format", OUTPUT_FORMAT, label="Answer")
    output_schema = JsonObjectField(
        rows=6,
        label="Schema of the answer",
        help_text="A JSON schema that the answer must satisfy. Empty: any JSON will do.",
    )


class DeliveryForm(forms.Form):
    """Which channels are told of which runs."""

    deliveries = forms.MultipleChoiceField(
        required=False,
        label="Tell about it",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"invalid_choice": "Choose among the channels shown."},
    )

    def offer_channels(self, channels: Iterable[Channel]) -> None:
        """Let these be chosen. A wish for any other, that was the team's once, ends on saving."""
        self.channels = {channel.pk: channel for channel in channels}
        field: Any = self.fields["deliveries"]
        field.choices = [
            (f"{channel.pk}:{on}", f"{channel}, if a run {DELIVER_ON[on]}")
            for channel in self.channels.values()
            for on in DeliverOn
        ]

    @property
    def channel_rows(self) -> list[tuple[Channel, list[tuple[Any, str]]]]:
        """Each channel with its boxes to tick, and what ticking one means."""
        boxes = iter(self["deliveries"])
        return [
            (channel, [(next(boxes), DELIVER_ON[on]) for on in DeliverOn])
            for channel in self.channels.values()
        ]

    def wishes(self) -> list[tuple[Channel, str]]:
        """What was chosen, as the services take it."""
        chosen = (text.partition(":") for text in self.cleaned_data["deliveries"])
        return [(self.channels[int(key)], on) for key, _, on in chosen]


def channels_of(team: Team) -> list[Channel]:
    """The channels a team's jobs may tell, by name."""
    return list(channels_for(team).order_by("name"))


def forget_what_does_not_count(form: forms.BaseForm) -> None:
    """Take what depends on another choice as it was before, where that choice leaves it out: it
    is not on the screen, so neither are its faults."""
    cleaned = form.cleaned_data
    for name, counts in DEPENDENT.items():
        if name in form.fields and not counts(cleaned):
            form.errors.pop(name, None)
            cleaned[name] = form.get_initial_for_field(form.fields[name], name)
    if not DEPENDENT["output_schema"](cleaned):
        cleaned["output_schema"] = None


def policies_of(cleaned: Chosen) -> dict[str, Any]:
    """The job's fields of `PolicyForm` and `AnswerForm`; what was left empty is the usual."""
    found = {}
    for name in (*PolicyForm.base_fields, *AnswerForm.base_fields):
        column: Any = CronJob._meta.get_field(name)
        value = cleaned[name]
        empty = value is None or value == ""
        found[name] = column.get_default() if empty and not column.null else value
    return found
