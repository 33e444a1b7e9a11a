"""Calls whose price has rates of its own for long contexts: held for, charged, and pinned to it."""

from __future__ import annotations

import pytest

from governance.calls import execute
from governance.models import Price, PriceTier
from providers.usage import Usage
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import answer, install

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("usage", "rates"),
    [
        pytest.param(Usage(uncached_input=5, output=4), (1000, 2000), id="at the threshold"),
        pytest.param(Usage(uncached_input=6, output=4), (5000, 7000), id="above it"),
        pytest.param(Usage(uncached_input=1, cache_read=5, output=4), (5000, 7000), id="cached"),
    ],
)
async def test_a_call_is_charged_by_the_tokens_it_really_used(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch, usage: Usage, rates: tuple[int, int]
) -> None:
    price = await Price.objects.aget(model=two.cheap)
    await PriceTier.objects.acreate(
        price=price, above=5, uncached_input=5 * 10**9, output=7 * 10**9
    )
    await two.changed()
    install(monkeypatch, first=answer(usage=usage))

    await execute(two.request(), runtime=two.runtime, settled=True)

    row = await two.row()
    assert row.cost == usage.input * rates[0] + usage.output * rates[1]
    assert row.price_id == price.pk
    assert (row.estimate_lower or 0) <= row.cost <= (row.estimate_upper or 0)
    assert await two.counters() == (row.cost, 0, 0)


async def test_a_hold_pays_for_the_dearer_side_of_a_threshold(
    two: TwoProviders, monkeypatch: pytest.MonkeyPatch
) -> None:
    price = await Price.objects.aget(model=two.cheap)
    await PriceTier.objects.acreate(price=price, above=3, uncached_input=0, output=0)
    await two.changed()
    install(monkeypatch, first=answer(usage=Usage(uncached_input=3, output=100)))

    await execute(two.request(max_tokens=100), runtime=two.runtime, settled=True)

    row = await two.row()
    assert row.cost == row.estimate_upper == 3 * 1000 + 100 * 2000
    assert row.estimate_lower == 0
