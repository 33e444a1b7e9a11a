"""What is stored of JSON is what PostgreSQL takes, and as it was wherever it takes it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.storable import is_storable, storable

TEXTS = st.text(st.sampled_from("a\0é"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        ("a\0b", "a\ufffdb"),
        ({"a": ["\0", 1], "\0": None}, {"a": ["\ufffd", 1], "\ufffd": None}),
        (("a", "\0"), ["a", "\ufffd"]),
        ([float("inf"), float("nan"), 1.5], [None, None, 1.5]),
    ],
)
def test_what_cannot_be_stored_is_replaced(value: Any, stored: Any) -> None:
    assert not is_storable(value)
    assert storable(value) == stored


@given(VALUES)
def test_what_can_be_stored_stays_as_it_is(value: Any) -> None:
    assert is_storable(storable(value))
    if is_storable(value):
        assert storable(value) == value
