"""Which place a call gets: a table, and what must hold of any choice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance.leases import Lease, LeaseDemand, LeaseKey, LeaseOption, demand_for, lease
from providers.registry import CredentialEntry
from tests.providers.entries import provider_entry

HOST, FIRST, SECOND = LeaseKey(1), LeaseKey(1, 10), LeaseKey(1, 20)
BOTH = (LeaseOption(10, 2), LeaseOption(20, 2))


@pytest.mark.parametrize(
    ("limit", "options", "in_use", "expected"),
    [
        (None, (LeaseOption(None, None),), {}, Lease(None, ())),
        (4, (LeaseOption(None, None),), {HOST: 3}, Lease(None, (HOST,))),
        (4, (LeaseOption(None, None),), {HOST: 4}, None),
        (4, BOTH, {}, Lease(10, (HOST, FIRST))),
        (4, BOTH, {HOST: 2, FIRST: 2}, Lease(20, (HOST, SECOND))),
        (9, BOTH, {HOST: 4, FIRST: 2, SECOND: 2}, None),
        (4, BOTH, {HOST: 4}, None),
        (None, BOTH, {FIRST: 1}, Lease(10, (FIRST,))),
        (None, (LeaseOption(10, None),), {}, Lease(10, ())),
        # A limit that was lowered below what is under way lets nothing begin.
        (1, BOTH, {HOST: 3}, None),
    ],
)
def test_the_first_option_with_room_is_taken(
    limit: int | None,
    options: tuple[LeaseOption, ...],
    in_use: dict[LeaseKey, int],
    expected: Lease | None,
) -> None:
    demand = LeaseDemand(1, limit, options)
    assert lease(demand, in_use) == expected
    if expected is not None:
        assert set(expected.keys) <= set(demand.keys)


@given(
    limit=st.none() | st.integers(1, 3),
    limits=st.lists(st.none() | st.integers(1, 3), min_size=1, max_size=3),
    wanted=st.integers(1, 12),
)
def test_no_limit_is_ever_passed(limit: int | None, limits: list[int | None], wanted: int) -> None:
    options = tuple(LeaseOption(number, one) for number, one in enumerate(limits, start=1))
    demand = LeaseDemand(7, limit, options)
    in_use: dict[LeaseKey, int] = {}
    taken = 0
    for _ in range(wanted):
        found = lease(demand, in_use)
        if found is None:
            break
        taken += 1
        for key in found.keys:
            in_use[key] = in_use.get(key, 0) + 1
    most = wanted if limit is None else min(wanted, limit)
    if None not in limits:
        most = min(most, sum(one or 0 for one in limits))
    assert taken == most


def test_a_providers_demand_is_its_limits_and_its_credentials() -> None:
    provider = provider_entry(concurrency_limit=4, credential_concurrency_limit=2)
    one = CredentialEntry(id=5, name="one")
    assert demand_for(provider, (one,)).keys == (
        LeaseKey(provider.id),
        LeaseKey(provider.id, 5),
    )
    assert demand_for(provider, (None,)).keys == (LeaseKey(provider.id),)
    assert demand_for(provider_entry(), (None,)).keys == ()
