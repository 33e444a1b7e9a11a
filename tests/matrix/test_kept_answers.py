"""Answers that are kept for a moment, seen from outside."""

from __future__ import annotations

import pytest
from asgiref.sync import sync_to_async

from governance import keys
from governance.models import ModelCall
from tests.matrix.cells import held
from tests.matrix.house import FIRST, House, call
from tests.matrix.operations import Operation, assert_sound
from tests.support.factories import make_team
from tests.support.serving import serving
from tests.support.upstream import Upstream

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("connections_closed")]


@pytest.mark.parametrize("operation", [Operation.CHAT, Operation.STREAM, Operation.EMBEDDINGS])
async def test_it_is_kept_for_its_team_alone(
    house: House, upstream: Upstream, operation: Operation
) -> None:
    def make() -> str:
        house.model(house.provider(FIRST, cache_seconds=30), role=operation.role)
        return keys.create(team=make_team(slug="red"), name="Another team's").text

    others_key = await sync_to_async(make)()
    async with serving(house.key) as served:
        served.client.headers["x-palyra-cache"] = "use"
        first, second = await call(served, operation), await call(served, operation)
        served.client.headers["authorization"] = f"Bearer {others_key}"
        others = await call(served, operation)
        served.client.headers["cache-control"] = "no-store"
        fresh = await call(served, operation)
        await served.stop()
    assert [one.headers.get("x-palyra-cache") for one in (first, second, others, fresh)] == [
        "miss",
        "hit",
        "miss",
        None,
    ]
    assert upstream.arrived(FIRST) == 3
    for one in (first, second, others, fresh):
        assert_sound(operation, one)
    rows = [row async for row in ModelCall.objects.order_by("admitted_at")]
    assert [row.cached for row in rows] == [False, True, False, False]
    assert rows[0].cost == rows[2].cost == rows[3].cost
    assert rows[1].cost == 0
    assert await held() == 0
