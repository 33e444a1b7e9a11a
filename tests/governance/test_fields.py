"""Money in forms: dollars for people, nano-dollars for the database."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django import forms
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from governance.fields import DollarsField, NanoDollarsField
from governance.models import Price


class PriceForm(forms.ModelForm[Price]):
    class Meta:
        model = Price
        fields = ("uncached_input", "cache_read", "per_request")


@pytest.mark.parametrize(
    ("entered", "amount"),
    [
        ("0", 0),
        ("1", 10**9),
        ("3.00", 3 * 10**9),
        (" 0.15 ", 15 * 10**7),
        ("0.000000001", 1),
        ("1e-9", 1),
        ("999999999.999999999", 10**18 - 1),
        (Decimal("2.5"), 25 * 10**8),
        ("-0", 0),
    ],
)
def test_dollars_become_nano_dollars(entered: Any, amount: int) -> None:
    assert DollarsField().clean(entered) == amount


@pytest.mark.parametrize(
    "entered",
    [
        pytest.param("", id="nothing"),
        pytest.param("-0.01", id="negative"),
        pytest.param("0.0000000001", id="ten decimal places"),
        pytest.param("1000000000", id="ten digits before the point"),
        pytest.param("NaN", id="no number"),
        pytest.param("Infinity", id="infinite"),
        pytest.param("1,5", id="a decimal comma"),
        pytest.param("three", id="a word"),
    ],
)
def test_what_is_no_amount_of_dollars_is_refused(entered: str) -> None:
    with pytest.raises(ValidationError):
        DollarsField().clean(entered)


def test_nothing_is_allowed_where_nothing_is_needed() -> None:
    assert DollarsField(required=False).clean("") is None


@given(amount=st.integers(0, 10**18 - 1))
def test_what_a_form_shows_is_what_it_takes_back(amount: int) -> None:
    field = DollarsField()
    shown = field.prepare_value(amount)
    assert field.clean(shown) == amount
    assert not field.has_changed(amount, str(shown))
    assert "E" not in str(shown)


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (15 * 10**7, "0.15"),
        (10**10, "10"),
        (25 * 10**8, "2.5"),
        (None, None),
        ("2,5", "2,5"),
    ],
)
def test_dollars_are_shown_without_needless_zeros(amount: Any, shown: str | None) -> None:
    assert DollarsField().prepare_value(amount) == shown


@pytest.mark.parametrize(
    ("initial", "entered", "changed"),
    [
        (10**9, "1.00", False),
        (10**9, "1.01", True),
        (10**9, "", True),
        (10**9, "one", True),
        (None, "0", True),
        (0, "0.00", False),
    ],
)
def test_another_way_of_writing_it_is_no_change(
    initial: int | None, entered: str, changed: bool
) -> None:
    assert DollarsField().has_changed(initial, entered) is changed


def test_an_empty_field_that_stays_empty_is_no_change() -> None:
    assert not DollarsField(required=False).has_changed(None, "")


def test_a_models_form_takes_and_shows_dollars() -> None:
    form = PriceForm({"uncached_input": "3", "cache_read": "", "per_request": "0.0004"})
    assert form.is_valid(), form.errors
    assert form.cleaned_data == {
        "uncached_input": 3 * 10**9,
        "cache_read": None,
        "per_request": 400_000,
    }
    shown = PriceForm(instance=Price(uncached_input=10**10, per_request=1)).as_p()
    assert 'value="10"' in shown
    assert 'value="0.000000001"' in shown
    assert 'step="1e-9"' in shown


def test_all_faults_of_a_form_are_told_at_once() -> None:
    form = PriceForm({"uncached_input": "-1", "cache_read": "x", "per_request": "0.0000000001"})
    assert set(form.errors) == {"uncached_input", "cache_read", "per_request"}


@pytest.mark.parametrize("amount", [-1, 2**63])
def test_the_model_refuses_what_the_form_never_gives(amount: int) -> None:
    field = Price._meta.get_field("uncached_input")
    assert isinstance(field, NanoDollarsField)
    with pytest.raises(ValidationError):
        field.clean(amount, None)
