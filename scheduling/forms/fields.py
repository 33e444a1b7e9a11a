"""What the forms of scheduled prompts are made of."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator

from governance.storable import is_storable
from scheduling.models import MAX_CALENDAR_DATES, CronJob, day_of

FAULTS_SHOWN = 20
LONGEST_JSON = 50_000
# Any longer number is no key of a row, and more than SQLite can be asked for.
KEY = re.compile(r"[0-9]{1,18}")
UNSTORABLE = "It has a character that cannot be stored: NUL, or half of a surrogate pair."


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
        return moment


class RowsField(forms.ModelMultipleChoiceField[Any]):
    """Rows, each by its number; what can be no row's is no choice."""

    def clean(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            wrong = next((one for one in value if not KEY.fullmatch(str(one))), None)
            if wrong is not None:
                raise ValidationError(
                    self.error_messages["invalid_choice"],
                    code="invalid_choice",
                    params={"value": wrong},
                )
        return super().clean(value)


class JsonObjectField(forms.CharField):
    """A JSON object, written as text; None if nothing is."""

    widget = forms.Textarea

    def __init__(self, **options: Any) -> None:
        rows = options.pop("rows", 4)
        widget = forms.Textarea(attrs={"rows": rows, "spellcheck": "false", "class": "code"})
        super().__init__(required=False, max_length=LONGEST_JSON, widget=widget, **options)

    def prepare_value(self, value: Any) -> Any:
        if value is None or value == {}:
            return ""
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)

    def clean(self, value: Any) -> dict[str, Any] | None:
        text = super().clean(value)
        return _json_object(text) if text else None

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial) != (data or ""))


def _json_object(text: str) -> dict[str, Any]:
    """Raises `ValidationError` that says where it is none."""
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValidationError(
            f"This is not JSON: line {error.lineno}, column {error.colno}: {error.msg}.",
            code="invalid",
        ) from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ValidationError(f"This is not JSON: {reason}.", code="invalid") from None
    if not isinstance(value, dict):
        raise ValidationError('Give a JSON object, such as {"topic": "news"}.', code="no_object")
    if not is_storable(value) or not _encodes(value):
        raise ValidationError(UNSTORABLE, code="unstorable")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _encodes(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


class DatesField(forms.CharField):
    """Days, one a line, as ISO texts in order; faults name their lines."""

    def __init__(self, **options: Any) -> None:
        attrs = {"rows": 10, "spellcheck": "false", "autocomplete": "off", "class": "code"}
        super().__init__(required=False, widget=forms.Textarea(attrs=attrs), **options)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(str(one) for one in value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = str(super().clean(value)).splitlines()
        if len(lines) > MAX_CALENDAR_DATES:
            raise ValidationError(f"Give at most {MAX_CALENDAR_DATES:,} days.", code="many")
        days: set[str] = set()
        faults: list[str] = []
        for number, line in enumerate(lines, start=1):
            text = line.strip()
            if not text:
                continue
            if day_of(text):
                days.add(text)
            else:
                faults.append(f"Line {number}: “{text[:40]}” is no day such as 2026-12-25.")
        if faults:
            raise ValidationError(faults[:FAULTS_SHOWN])
        return sorted(days)

    def has_changed(self, initial: Any, data: Any) -> bool:
        try:
            return bool(self.clean(data) != (initial or []))
        except ValidationError:
            return True


def number(name: str, **options: Any) -> forms.IntegerField:
    """A field for a number of the job's, with the bounds the job sets; empty is its usual."""
    column: Any = CronJob._meta.get_field(name)
    bounds: dict[str, Any] = {}
    for validator in column.validators:
        if isinstance(validator, MinValueValidator):
            bounds["min_value"] = max(validator.limit_value, bounds.get("min_value", 0))
        elif isinstance(validator, MaxValueValidator):
            bounds["max_value"] = min(
                validator.limit_value, bounds.get("max_value", validator.limit_value)
            )
    usual = column.default if column.has_default() else None
    return forms.IntegerField(
        required=False,
        initial=usual,
        widget=forms.NumberInput(attrs={"inputmode": "numeric"}),
        **bounds,
        **options,
    )


class PolicyField(forms.ChoiceField):
    """One of the job's choices, each of which is explained in a sentence; empty is its usual."""

    def __init__(self, name: str, words: Mapping[Any, str], **options: Any) -> None:
        column: Any = CronJob._meta.get_field(name)
        self.words = words
        super().__init__(
            choices=column.choices,
            initial=column.default,
            required=False,
            widget=forms.RadioSelect,
            **options,
        )

    @property
    def options(self) -> list[tuple[str, str, str]]:
        """Each choice's value, its name and what it means."""
        named: Any = self.choices
        return [(str(value), str(label), self.words[value]) for value, label in named]

    @property
    def sentences(self) -> list[tuple[str, str]]:
        """The choices as one line each, for a select."""
        return [(value, f"{label}: {words}") for value, label, words in self.options]
