"""Every setting is described where people look for it, with its true default, and no other is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from palyra_site.configuration import HOME, NOT_OURS, names, read
from tests.support.processes import REPOSITORY

# Settings are only named here.
pytestmark = pytest.mark.any_database
EXAMPLE = REPOSITORY / ".env.example"
TABLE = REPOSITORY / "docs" / "settings.md"
VARIABLE = re.compile(r"\b(?:PALYRA_[A-Z_]+[A-Z]|DATABASE_URL|REDIS_URL)\b")


def example() -> dict[str, str]:
    """What `.env.example` sets, were its lines not comments."""
    lines = re.findall(r"^#([A-Z_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    assert len(lines) == len(dict(lines)), "a setting stands there twice"
    return dict(lines)


def table() -> dict[str, str]:
    """The variables and defaults of the table in docs/settings.md."""
    rows = re.findall(r"^\| `([A-Z_]+)` \|(.*?)\|", TABLE.read_text(), re.MULTILINE)
    return {name: default.strip(" `") for name, default in rows}


def test_the_example_has_every_setting_and_no_other() -> None:
    assert sorted(example()) == sorted(names())


def test_the_table_has_every_setting_with_the_default_of_the_example() -> None:
    assert table() == example()


def test_the_defaults_given_are_the_true_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HOME)
    given = {name: text for name, text in example().items() if text}
    nothing = {"PALYRA_ENV_FILE": "/dev/null"}
    assert read({**nothing, **given}) == read(nothing)


def test_the_example_can_be_copied_as_it_is(data_dir: Path) -> None:
    copy = data_dir / ".env"
    copy.write_text(EXAMPLE.read_text())
    assert read({"PALYRA_ENV_FILE": str(copy)}) == read({"PALYRA_ENV_FILE": "/dev/null"})


@pytest.mark.parametrize("page", ["README.md", "docs/design.md", "docs/settings.md"])
def test_no_page_speaks_of_a_setting_that_is_none(page: str) -> None:
    known = {*names(), *(f"{name}_FILE" for name in names())}
    spoken_of = set(VARIABLE.findall((REPOSITORY / page).read_text()))
    assert spoken_of
    assert [name for name in spoken_of - known if not name.startswith(NOT_OURS)] == []
