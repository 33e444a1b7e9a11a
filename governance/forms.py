"""The team pages' forms for keys and for asking for more budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone

from governance.amounts import units_text
from governance.approval_words import without_run
from governance.models import (
    ApiKey,
    Approval,
    ApprovalUntil,
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
)
from governance.money import to_nano_dollars
from governance.standing import Standing

NEVER = "never"
LASTS = ((ApprovalUntil.RESET.value, "Until it resets"), (ApprovalUntil.DATE.value, "Until a date"))
FARTHEST = timedelta(days=3650)
LIFETIMES = (
    ("30", "In 30 days"),
    ("90", "In 90 days"),
    ("365", "In a year"),
    (NEVER, "Never"),
)


def add_faults(
    form: forms.BaseForm, error: ValidationError, *, shown_at: Mapping[str, str] | None = None
) -> None:
    """Put what a service found wrong beside the fields of `form`, the rest above them.

    `shown_at` names the form's field for a model's field of another name.
    """
    if not hasattr(error, "error_dict"):
        form.add_error(None, error)
        return
    for name, faults in error.error_dict.items():
        field = (shown_at or {}).get(name, name)
        form.add_error(field if field in form.fields else None, ValidationError(list(faults)))


class KeyForm(forms.Form):
    """A new API key: what it is for and how long it lasts."""

    name = forms.CharField(
        max_length=ApiKey._meta.get_field("name").max_length,
        label="What is it for?",
        help_text="A name the team will recognise later, such as “billing service”.",
        error_messages={"required": "Give it a name."},
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    lifetime = forms.ChoiceField(
        choices=LIFETIMES,
        initial="90",
        label="Expires",
        help_text="After that its calls are refused. It can be revoked at any time before.",
    )
    # Sent again by a reload of the page that showed the key, so that it makes no second one.
    once = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)

    def expires_at(self, now: datetime) -> datetime | None:
        """When the key chosen would expire; None for never."""
        lifetime = self.cleaned_data["lifetime"]
        return None if lifetime == NEVER else now + timedelta(days=int(lifetime))


class Choice:
    """A budget that can be asked about: a policy, and whose budget of it."""

    def __init__(self, standing: Standing, team_id: int) -> None:
        self.standing = standing
        self.policy = standing.policy
        value = without_run(self.policy, standing.scope_value)
        if not value and self.policy.scope == BudgetScope.TEAM:
            value = str(team_id)
        self.scope_value = value

    @property
    def can_be_asked(self) -> bool:
        """Whether it stops calls, and it is known whose it is."""
        stops = self.policy.hard_limit is not None
        return stops and (bool(self.scope_value) or self.policy.scope == BudgetScope.GLOBAL)

    @property
    def is_one_of_many(self) -> bool:
        """Whether the policy has a budget for each of something, so that its name is not enough."""
        each = self.policy.scope not in (BudgetScope.GLOBAL, BudgetScope.TEAM)
        return each and not self.policy.value


def choices_of(found: Iterable[Standing], team_id: int) -> dict[str, Choice]:
    """What can be asked about, each by a name of its own: database keys stay inside."""
    every = (Choice(standing, team_id) for standing in found)
    named: dict[str, Choice] = {}
    asked: set[tuple[int, str]] = set()
    for one in sorted(every, key=lambda one: (one.policy.name, one.scope_value)):
        if not one.can_be_asked or (one.policy.pk, one.scope_value) in asked:
            continue
        asked.add((one.policy.pk, one.scope_value))
        name = one.policy.name
        words = f"{name}: {one.standing.whose}" if one.is_one_of_many else name
        named[words if words not in named else f"{words} ({len(named)})"] = one
    return named


class RequestForm(forms.Form):
    """A request for more of one of the budgets given, until it resets or until a date."""

    policy = forms.ChoiceField(
        label="Budget",
        widget=forms.RadioSelect,
        error_messages={
            "required": "Choose a budget.",
            "invalid_choice": "Choose one of the budgets shown.",
        },
    )
    amount = forms.DecimalField(
        label="How much more?",
        max_digits=27,
        decimal_places=9,
        help_text="US dollars for a cost budget, such as 25.00; otherwise a whole number.",
        error_messages={
            "required": "Say how much.",
            "invalid": "Give a plain number, such as 25.00 or 1500.",
        },
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    until = forms.ChoiceField(
        label="For how long?",
        choices=LASTS,
        initial=ApprovalUntil.RESET.value,
        required=False,
        widget=forms.RadioSelect,
        error_messages={"invalid_choice": "Choose one of those shown."},
    )
    last_day = forms.DateField(
        label="Last day, if it ends on a date",
        required=False,
        error_messages={"invalid": "Give a day as 2026-12-31."},
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
    )
    reason = forms.CharField(
        max_length=Approval._meta.get_field("reason").max_length,
        label="Why?",
        help_text="Whoever decides reads this.",
        error_messages={"required": "Say why: whoever decides needs to know."},
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, choices: Mapping[str, Choice], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._choices = choices
        self.fields["policy"].choices = [(name, name) for name in choices]  # type: ignore[attr-defined]
        zone = timezone.get_current_timezone_name()
        self.fields["last_day"].help_text = f"It lasts to the end of that day in {zone}."
        if len(choices) == 1 and not self.initial.get("policy"):
            self.initial["policy"] = next(iter(choices))

    def clean_policy(self) -> Choice:
        return self._choices[self.cleaned_data["policy"]]

    def clean_until(self) -> str:
        return str(self.cleaned_data["until"] or ApprovalUntil.RESET.value)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        chosen, amount = cleaned.get("policy"), cleaned.get("amount")
        if chosen is not None and amount is not None:
            cleaned["amount"] = self._counted(chosen.policy, amount)
        if cleaned.get("until") == ApprovalUntil.DATE and "last_day" in cleaned:
            cleaned["expires_at"] = self._end(cleaned["last_day"])
        return cleaned

    def asked(self) -> dict[str, Any]:
        """What is asked for, as `approvals.request_more` takes it."""
        cleaned = self.cleaned_data
        chosen: Choice = cleaned["policy"]
        return {
            "policy": chosen.policy,
            "scope_value": chosen.scope_value,
            "amount": cleaned["amount"],
            "reason": cleaned["reason"],
            "until": cleaned["until"],
            "expires_at": cleaned.get("expires_at"),
        }

    def _end(self, day: date | None) -> datetime | None:
        """The end of `day` in the page's zone."""
        today = timezone.localdate()
        if day is None:
            self.add_error("last_day", "Say until when.")
        elif not today <= day <= today + FARTHEST:
            self.add_error("last_day", "Choose today or a day of the next ten years.")
        else:
            midnight = datetime.combine(day + timedelta(days=1), time())
            return timezone.make_aware(midnight)
        return None

    def _counted(self, policy: BudgetPolicy, amount: Decimal) -> int:
        if policy.metric == BudgetMetric.COST:
            return to_nano_dollars(amount)
        if amount != amount.to_integral_value():
            self.add_error(
                "amount",
                f"“{policy}” counts {units_text(policy.metric)}: ask for a whole number of them.",
            )
        return int(amount)
