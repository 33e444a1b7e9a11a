"""Listed prices through the API: what would change, and taking it over."""

from __future__ import annotations

import pytest

from governance.models import Price
from providers.models import Provider
from tests.api.callers import Caller, body_of, person, signed_in
from tests.api.conftest import NothingStored
from tests.api.problems import assert_problem, faults
from tests.support.factories import make_model, make_price, make_remote

pytestmark = pytest.mark.django_db
PREVIEW, APPLY = "/prices/import", "/prices/import/apply"


@pytest.fixture
def provider() -> Provider:
    return make_remote(name="claude", kind="anthropic", base_url="https://api.anthropic.com")


def test_a_preview_changes_nothing(
    organisation: Caller, provider: Provider, nothing_stored: NothingStored
) -> None:
    model = make_model(provider=provider, name="claude-sonnet-4-5")
    own = make_model(provider=provider, name="claude-sonnet-4-6")
    make_price(own)
    with nothing_stored():
        body = body_of(organisation.get(PREVIEW))
    assert body["source"].startswith("genai-prices ")
    assert body["says"].endswith(": 1 new, 1 overridden by an operator.")
    assert body["counts"] == {
        "new": 1,
        "changed": 0,
        "unchanged": 0,
        "overridden": 1,
        "told": 0,
        "unknown": 0,
    }
    new, overridden = body["models"]
    assert (new["model"], new["name"]) == (str(model.pk), "claude/claude-sonnet-4-5")
    assert (new["standing"], new["price_in_force"]) == ("new", None)
    assert (new["price"]["uncached_input"], new["price"]["precision"]) == ("3", "estimate")
    (tier,) = new["price"]["tiers"]
    assert (tier["above"], tier["uncached_input"], tier["cache_read"]) == (200_000, "6", "0.6")
    assert overridden["price_in_force"]["uncached_input"] == "1"
    assert overridden["says"] == "The price in force was set by hand and stays."


def test_what_is_new_is_taken_over(organisation: Caller, provider: Provider) -> None:
    for name in ("claude-sonnet-4-5", "claude-sonnet-4-6"):
        make_model(provider=provider, name=name)
    first = body_of(organisation.get(PREVIEW))["models"][0]
    done = body_of(organisation.post(APPLY, {"models": [first["model"]]}))
    assert [line["model"] for line in done["models"]] == [first["model"]]
    assert Price.objects.get().model_id == int(first["model"])
    assert body_of(organisation.post(APPLY, {}))["counts"]["new"] == 1
    assert body_of(organisation.post(APPLY, {}))["counts"]["unchanged"] == 2
    assert Price.objects.count() == 2


@pytest.mark.parametrize("models", [[], ["999999"], ["small"], [1], "all"])
def test_bad_picks_store_nothing(
    organisation: Caller, provider: Provider, nothing_stored: NothingStored, models: object
) -> None:
    make_model(provider=provider, name="claude-sonnet-4-5")
    with nothing_stored():
        found = faults(organisation.post(APPLY, {"models": models}))
    assert all(str(name).startswith("models") for name in found)


def test_looking_takes_one_permission_and_applying_another(provider: Provider) -> None:
    make_model(provider=provider, name="claude-sonnet-4-5")
    viewer = signed_in(person("viewer", "governance.view_price"))
    assert viewer.get(PREVIEW).status_code == 200
    problem = assert_problem(viewer.post(APPLY, {}), 403)
    assert "governance.add_price" in problem["detail"]
    assert not Price.objects.exists()
