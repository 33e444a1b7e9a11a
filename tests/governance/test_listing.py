"""Several things in one sentence."""

from __future__ import annotations

from typing import Any

import pytest

from governance.listing import listed


@pytest.mark.parametrize(
    ("things", "said"),
    [([], ""), (["a"], "a"), ([75, 90], "75 and 90"), (["a", "b", "c"], "a, b and c")],
)
def test_things_are_read_out(things: list[Any], said: str) -> None:
    assert listed(things) == said


def test_the_last_is_one_of_them_or_the_other() -> None:
    assert listed(iter(["a", "b", "c"]), "or") == "a, b or c"
