"""The team pages' forms for keys and for asking for more budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

from django import forms
from django.core.exceptions import ValidationError

from governance.models import ApiKey, Approval, BudgetMetric, BudgetPolicy
from governance.money import to_nano_dollars

NEVER = "never"
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


class RequestForm(forms.Form):
    """A request for more of one of the budgets given."""

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
    reason = forms.CharField(
        max_length=Approval._meta.get_field("reason").max_length,
        label="Why?",
        help_text="Whoever decides reads this.",
        error_messages={"required": "Say why: whoever decides needs to know."},
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, policies: Iterable[BudgetPolicy], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Budgets are named by their unique name: database keys stay inside.
        self._policies = {policy.name: policy for policy in policies}
        self.fields["policy"].choices = [(name, name) for name in self._policies]  # type: ignore[attr-defined]
        if len(self._policies) == 1 and not self.initial.get("policy"):
            self.initial["policy"] = next(iter(self._policies))

    def clean_policy(self) -> BudgetPolicy:
        return self._policies[self.cleaned_data["policy"]]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        policy, amount = cleaned.get("policy"), cleaned.get("amount")
        if policy is not None and amount is not None:
            cleaned["amount"] = self._counted(policy, amount)
        return cleaned

    def _counted(self, policy: BudgetPolicy, amount: Decimal) -> int:
        if policy.metric == BudgetMetric.COST:
            return to_nano_dollars(amount)
        if amount != amount.to_integral_value():
            self.add_error(
                "amount", f"“{policy}” counts {policy.metric}: ask for a whole number of them."
            )
        return int(amount)
