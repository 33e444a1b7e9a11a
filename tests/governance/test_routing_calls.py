"""Routing in calls that are made: the team's models and mode, and what is written of the other."""

from __future__ import annotations

import pytest

from governance.calls import execute
from governance.errors import ModelNotAllowed
from governance.models import Price, PriceTier
from providers.failures import FailureClass
from providers.usage import Usage
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, failure, install


@pytest.mark.parametrize("mode", ["dry_run", "enforced"])
async def test_what_the_other_choice_would_have_cost_is_settled(
    two: TwoProviders, mode: str
) -> None:
    two.team.routing_mode = mode
    await two.team.asave()
    await two.changed()
    await execute(two.request("dear"), runtime=two.runtime)
    row = await two.row()
    used = row.uncached_input_tokens or 0, row.output_tokens or 0
    cheap, dear = used[0] * 1000 + used[1] * 2000, used[0] * 10_000 + used[1] * 20_000
    assert row.routing_mode == mode
    assert row.decision["mode_source"] == "team"
    assert row.model == ("dear" if mode == "dry_run" else "cheap")
    expected = (dear, cheap) if mode == "dry_run" else (cheap, dear)
    assert (row.cost, row.compared_cost) == expected


async def test_a_failed_attempt_and_the_answer_are_compared_one_by_one(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    dear = await Price.objects.aget(model=two.dear)
    await PriceTier.objects.acreate(price=dear, above=1000, uncached_input=10**12, output=10**12)
    two.team.routing_mode = "enforced"
    await two.team.asave()
    await two.changed()
    lost = failure(FailureClass.PROVIDER_TIMEOUT, may_be_billed=True)
    install(monkeypatch, first=lost, second=answer(usage=Usage(uncached_input=1000, output=5)))
    await execute(two.request("dear"), runtime=two.runtime, settled=True)
    row = await two.row()
    used = row.uncached_input_tokens or 0, row.output_tokens or 0
    assert (row.model, used[0] > 1000) == ("dear", True)
    assert row.compared_cost == used[0] * 10_000 + used[1] * 20_000


async def test_nothing_is_compared_where_routing_only_suggests(two: TwoProviders) -> None:
    await execute(two.request("dear"), runtime=two.runtime)
    row = await two.row()
    assert (row.routing_mode, row.model, row.compared_cost) == ("suggest", "dear", None)


async def test_a_team_is_refused_the_models_it_may_not_use(two: TwoProviders) -> None:
    two.team.allowed_models = ["first/*"]
    await two.team.asave()
    await two.changed()
    with pytest.raises(ModelNotAllowed):
        await execute(two.request("dear"), runtime=two.runtime)
