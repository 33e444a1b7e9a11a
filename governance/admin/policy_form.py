"""The form of a budget policy in the console."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError

from governance.amounts import amount_text, units_text
from governance.models import BudgetMetric, BudgetPolicy, thresholds_fault
from governance.models.budgets import default_thresholds
from governance.money import NANO_DOLLARS, from_nano_dollars
from governance.policy_values import read_value, written_value

if TYPE_CHECKING:
    from django.forms import TextInput as UnfoldAdminTextInputWidget
else:
    from unfold.widgets import UnfoldAdminTextInputWidget

LARGEST_STORED = 2**63 - 1
LIMITS = frozenset({"soft_limit", "hard_limit"})
VALUED = frozenset({"scope", "team", "value"})
# More digits than any percentage that a policy could have.
MOST_DIGITS = 6


class LimitField(forms.DecimalField):
    """A limit as a person writes it: dollars for cost, otherwise a whole number."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(required=False, max_digits=28, widget=widget, **kwargs)


class ThresholdsField(forms.CharField):
    """Percentages as a person lists them: "50, 75, 90"."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget({"inputmode": "text", "autocomplete": "off"})
        super().__init__(required=False, widget=widget, **kwargs)

    def clean(self, value: Any) -> Any:
        parts = str(super().clean(value)).replace("%", " ").replace(",", " ").split()
        thresholds = [int(part) if _is_small(part) else None for part in parts]
        fault = thresholds_fault(thresholds)
        if fault:
            raise ValidationError(fault)
        return thresholds


def _is_small(part: str) -> bool:
    return part.isascii() and part.isdigit() and len(part) < MOST_DIGITS


class PolicyForm(forms.ModelForm[BudgetPolicy]):
    """Limits in dollars where cost is counted, in whole tokens or requests otherwise."""

    soft_limit = LimitField(help_text="Past it calls still go through, with a warning.")
    hard_limit = LimitField(
        help_text="No call is begun that might pass it, unless it only alerts. US dollars for "
        "cost; otherwise a whole number of tokens or requests."
    )
    thresholds = ThresholdsField(
        label="Alert at",
        initial=default_thresholds,
        help_text="Percentages of the limit at which an alert is raised, once a window each, such "
        "as 50, 75, 90. Empty: none. A budget for each run raises none.",
    )

    class Meta:
        model = BudgetPolicy
        fields = (
            "name",
            "scope",
            "team",
            "value",
            "metric",
            "interval",
            "rolling",
            "zone",
            "soft_limit",
            "hard_limit",
            "action",
            "thresholds",
            "routing_mode",
            "enabled",
        )
        labels = {"value": "Which one"}
        help_texts = {
            "value": "A person's user name, a session's name, the part of a key after “ply_”, a "
            "scheduled job's identifier, a provider, or a model as provider/model. Empty: each has "
            "a window of its own.",
        }

    def _update_errors(self, errors: ValidationError) -> None:
        # A limit that could not be read is missing from the policy, which is not the fault to say.
        if not LIMITS.isdisjoint(self.errors):
            for name in LIMITS:
                errors.error_dict.pop(name, None)
        super()._update_errors(errors)  # type: ignore[misc]

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        value = super().get_initial_for_field(field, field_name)
        if field_name in LIMITS and isinstance(value, int):
            return _as_written(value, self.instance.metric)
        if field_name == "thresholds" and isinstance(value, list):
            return ", ".join(str(one) for one in value)
        if field_name == "value" and value and self.instance.pk is not None:
            return written_value(self.instance)
        return value

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        metric = data.get("metric") or self.instance.metric
        for name in sorted(LIMITS):
            written = data.get(name)
            if written is None:
                continue
            fault = _fault(written, metric)
            if fault:
                self.add_error(name, fault)
            else:
                data[name] = _as_stored(written, metric)
        self._read_value(data)
        return data

    def _read_value(self, data: dict[str, Any]) -> None:
        """Look up who is named, unless it is whom the policy names already."""
        if "value" not in data:
            return
        if VALUED.isdisjoint(self.changed_data):
            data["value"] = self.instance.value
            return
        scope, team = data.get("scope", self.instance.scope), data.get("team", self.instance.team)
        try:
            data["value"] = read_value(scope, team, data["value"])
        except ValueError as error:
            self.add_error("value", str(error))


def _as_written(amount: int, metric: str) -> str:
    if metric != BudgetMetric.COST:
        return str(amount)
    dollars = from_nano_dollars(amount)
    cents = dollars.quantize(Decimal("0.01"))
    return f"{cents if cents == dollars else dollars.normalize():f}"


def _as_stored(written: Decimal, metric: str) -> int:
    return int(written * NANO_DOLLARS) if metric == BudgetMetric.COST else int(written)


def _fault(written: Decimal, metric: str) -> str | None:
    """Why a limit cannot be stored exactly as it was written, or None."""
    stored = written * NANO_DOLLARS if metric == BudgetMetric.COST else written
    if stored != stored.to_integral_value():
        if metric == BudgetMetric.COST:
            return "Give at most nine decimal places: a billionth of a dollar is the smallest part."
        unit = units_text(metric).removesuffix("s")
        article = "an" if unit[0] in "aeiou" else "a"
        return f"A fraction of {article} {unit} cannot be counted: give a whole number."
    if stored > LARGEST_STORED:
        return f"A limit can be at most {amount_text(metric, LARGEST_STORED)}."
    return None
