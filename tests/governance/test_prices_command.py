"""`palyra prices import`, in words and in JSON, with its exit status."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError

from governance import price_import
from governance.models import Price
from providers.models import Provider
from tests.support.factories import make_model, make_price, make_remote

pytestmark = pytest.mark.django_db


def says(*arguments: str) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command("prices", "import", *arguments, stdout=out)
    return out.getvalue()


def refused(*arguments: str) -> tuple[str, int]:
    """Its one line, and its exit status."""
    with pytest.raises(CommandError) as error:
        says(*arguments)
    return str(error.value), error.value.returncode


@pytest.fixture
def claude() -> Provider:
    provider = make_remote(name="claude", kind="anthropic", base_url="https://api.anthropic.com")
    make_model(provider=provider, name="claude-sonnet-4-5")
    make_price(make_model(provider=provider, name="claude-sonnet-4-6"))
    return provider


def test_it_shows_what_would_change(claude: Provider) -> None:
    said = says()

    head, _, sonnet, own, take_over = said.splitlines()
    assert head.endswith("1 new, 1 overridden by an operator.")
    assert sonnet.startswith("claude/claude-sonnet-4-5  new ")
    assert "above 200,000 input tokens $6 in, $22.5 out" in sonnet
    assert "set by hand and stays" in own
    assert take_over == "1 price would be set. Take over: palyra prices import --apply"
    assert Price.objects.count() == 1


def test_it_takes_over_what_is_new(claude: Provider) -> None:
    assert "1 price set." in says("--apply")
    assert Price.objects.count() == 2
    assert "No prices set." in says("--apply")
    assert Price.objects.count() == 2


def test_it_keeps_to_the_models_that_are_named(claude: Provider) -> None:
    make_model(provider=claude, name="claude-haiku-4-5")

    assert "haiku" not in says("claude/claude-sonnet-4-5")
    says("claude/claude-haiku-4-5", "--apply")

    assert str(Price.objects.latest("pk").model) == "claude/claude-haiku-4-5"


def test_it_answers_in_json(claude: Provider) -> None:
    found: Any = json.loads(says("--json"))

    assert found["counts"]["new"] == 1
    assert found["models"][0]["price"]["output"] == "15"


def test_an_empty_registry_has_nothing_to_import() -> None:
    head, advice = says().splitlines()
    assert head.endswith(": no model to ask about.")
    assert "discover its models first" in advice


def test_what_cannot_be_is_said_with_its_status(
    claude: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, status = refused("claude/none", "other/none")
    assert (status, "“claude/none”, “other/none”" in said) == (2, True)
    said, status = refused("claude/claude-sonnet-4-6", "--apply")
    assert (status, "set by hand and stays" in said) == (1, True)

    def away(**_: Any) -> None:
        raise OperationalError("no such table\nmore")

    monkeypatch.setattr(price_import, "preview", away)
    assert refused() == ("The database cannot be read or written: no such table", 1)
