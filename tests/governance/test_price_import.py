"""Prices taken over from the list: what would change, what does, and what an operator's word is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from governance import price_import, snapshot
from governance.models import AuditEntry, Price, PriceTier
from governance.pricing import BUCKETS, PriceEntry, Rates, TierEntry
from governance.proposed_prices import as_proposed, compare
from providers.discovery import NoPrice, PriceStanding
from providers.discovery.price_list import list_source
from providers.models import Provider, ProviderModel
from tests.support.factories import (
    LONG_AGO,
    make_model,
    make_price,
    make_provider,
    make_remote,
    make_tier,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OPENAI, ANTHROPIC = "https://api.openai.com/v1", "https://api.anthropic.com"


@pytest.fixture
def openai(db: None) -> Provider:
    return make_remote(name="openai", base_url=OPENAI)


@pytest.fixture
def model(openai: Provider) -> ProviderModel:
    return make_model(provider=openai, name="gpt-4o")


def standing(model: ProviderModel, now: datetime = NOW) -> PriceStanding:
    lines = {line.model_id: line for line in price_import.preview(now=now).lines}
    return lines[model.pk].standing


def listed_price(model: ProviderModel, **fields: Any) -> Price:
    return make_price(model, source=list_source(), **fields)


def test_a_preview_says_how_each_model_stands_and_changes_nothing(openai: Provider) -> None:
    names = ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "whisper-1")
    new, changed, unchanged, own, told, unknown = (
        make_model(provider=openai, name=name) for name in names
    )
    make_model(provider=make_provider())
    listed_price(changed)
    price_import.apply([unchanged.pk], now=LONG_AGO)
    make_price(own)
    make_price(told, source="discovery: openai")
    before = list(Price.objects.values())

    found = price_import.preview(now=NOW)

    assert [(line.model, line.standing.value) for line in found.lines] == sorted(
        [
            (str(new), "new"),
            (str(changed), "changed"),
            (str(unchanged), "unchanged"),
            (str(own), "overridden"),
            (str(told), "told"),
            (str(unknown), "unknown"),
        ]
    )
    assert str(found) == (
        f"{list_source()}: 1 new, 1 changed, 1 unchanged, 1 overridden by an operator, "
        "1 told by the host itself, 1 not in the list."
    )
    assert found.to_set == 2
    assert list(Price.objects.values()) == before


def test_applying_sets_what_is_new_and_changed_and_then_nothing(model: ProviderModel) -> None:
    old = listed_price(model)

    done = price_import.apply(None, now=NOW)
    again = price_import.apply(None, now=NOW + timedelta(hours=1))

    assert (done.to_set, again.to_set) == (1, 0)
    first, second = Price.objects.order_by("effective_from")
    assert (first, first.uncached_input) == (old, 10**9)
    assert (second.effective_from, second.source) == (NOW, list_source())
    assert (second.uncached_input, second.output) == (2_500_000_000, 10 * 10**9)
    assert (second.cache_read, second.precision) == (1_250_000_000, "estimate")
    assert standing(model) is PriceStanding.UNCHANGED


def test_tiers_are_taken_over_and_compared(db: None) -> None:
    provider = make_remote(kind="anthropic", base_url=ANTHROPIC)
    model = make_model(provider=provider, name="claude-sonnet-4-5")

    price_import.apply(None, now=NOW)

    (tier,) = PriceTier.objects.all()
    assert (tier.above, tier.uncached_input, tier.output) == (200_000, 6 * 10**9, 22_500_000_000)
    (entry,) = snapshot.load().prices[model.pk]
    assert entry.rates(200_001).rate("cache_read") == 600_000_000
    assert standing(model) is PriceStanding.UNCHANGED
    PriceTier.objects.all().delete()
    assert standing(model) is PriceStanding.CHANGED


def test_an_operators_price_wins_and_survives(model: ProviderModel) -> None:
    listed_price(model)
    mine = make_price(model, effective_from=NOW, uncached_input=7)

    done = price_import.apply(None, now=NOW + timedelta(days=1))

    (line,) = done.lines
    assert (line.standing, line.would_be_set) == (PriceStanding.OVERRIDDEN, False)
    assert "set by hand and stays" in line.comparison.says
    assert snapshot.load().prices[model.pk][-1].id == mine.pk


def test_an_operators_price_to_come_wins_once_it_begins(model: ProviderModel) -> None:
    mine = make_price(model, effective_from=NOW + timedelta(days=1))

    price_import.apply(None, now=NOW)

    assert Price.objects.order_by("-effective_from").first() == mine
    assert standing(model, NOW + timedelta(days=2)) is PriceStanding.OVERRIDDEN


def test_a_model_is_asked_about_by_the_hosts_own_name(openai: Provider) -> None:
    make_model(provider=openai, name="ours", upstream_name="gpt-4o")
    make_model(provider=make_remote(base_url="http://localhost:11434/v1"), name="gpt-4o")

    known, own = sorted(price_import.preview(now=NOW).lines, key=lambda line: line.model)

    assert (known.model, known.standing) == ("openai/ours", PriceStanding.NEW)
    assert isinstance(own.proposed, NoPrice)


def test_only_what_is_picked_is_set(openai: Provider) -> None:
    first, second = (make_model(provider=openai, name=name) for name in ("gpt-4o", "gpt-4.1"))

    done = price_import.apply([first.pk, first.pk], now=NOW)

    assert [line.model_id for line in done.lines] == [first.pk]
    assert Price.objects.get().model == first
    price_import.apply([first.pk, second.pk], now=NOW + timedelta(hours=1))
    assert Price.objects.count() == 2


def test_picks_that_cannot_be_are_refused_all_together(openai: Provider) -> None:
    fine, own, unknown = (
        make_model(provider=openai, name=name) for name in ("gpt-4o", "gpt-4.1", "whisper-1")
    )
    mine = make_price(own)

    with pytest.raises(ValidationError) as refused:
        price_import.apply([fine.pk, own.pk, unknown.pk, 10**9], now=NOW)
    with pytest.raises(ValidationError, match="at least one"):
        price_import.apply([], now=NOW)

    faults = refused.value.message_dict["models"]
    assert [fault.partition(":")[0] for fault in faults] == [
        "“openai/gpt-4.1”",
        "“openai/whisper-1”",
        "There is no model “1000000000” that a host answers.",
    ]
    assert list(Price.objects.all()) == [mine]


def test_a_price_that_cannot_be_stored_leaves_nothing_stored(openai: Provider) -> None:
    first, second = (make_model(provider=openai, name=name) for name in ("gpt-4o", "gpt-4.1"))
    listed_price(second, effective_from=NOW)

    with pytest.raises(ValidationError, match="already has a price from that instant"):
        price_import.apply(None, now=NOW)

    assert not Price.objects.filter(model=first).exists()


def test_every_price_and_tier_that_is_set_is_in_the_audit_trail(db: None) -> None:
    provider = make_remote(kind="anthropic", base_url=ANTHROPIC)
    make_model(provider=provider, name="claude-sonnet-4-5")

    price_import.apply(None, now=NOW)

    written = AuditEntry.objects.filter(object_type__startswith="governance.price")
    assert sorted(written.values_list("action", "object_type")) == [
        ("added", "governance.price"),
        ("added", "governance.pricetier"),
    ]


def test_a_preview_takes_few_queries(
    openai: Provider, django_assert_num_queries: Callable[[int], Any]
) -> None:
    for number in range(5):
        make_tier(make_price(make_model(provider=openai, name=f"gpt-4o-{number}")))
    with django_assert_num_queries(3):
        assert len(price_import.preview(now=NOW).lines) == 5


amounts = st.integers(0, 10**14)
maybe = st.none() | amounts
rates = {
    "uncached_input": amounts,
    "output": amounts,
    "cache_read": maybe,
    "cache_write_5m": maybe,
    "cache_write_1h": maybe,
}
tiers = st.builds(TierEntry, above=st.integers(1, 10**6), **rates)
entries = st.builds(
    PriceEntry,
    id=st.just(1),
    model_id=st.just(1),
    effective_from=st.just(NOW),
    per_request=amounts,
    source=st.sampled_from([list_source(), "genai-prices 0.0.1"]),
    tiers=st.lists(tiers, max_size=3, unique_by=lambda tier: tier.above).map(tuple),
    **rates,
)


def spelled_out(rates: Rates) -> dict[str, Any]:
    return {bucket: rates.rate(bucket) for bucket in BUCKETS}


@given(entry=entries, above=st.integers(2 * 10**6, 10**7))
def test_what_charges_the_same_in_other_words_is_unchanged(entry: PriceEntry, above: int) -> None:
    highest = max(entry.tiers, key=lambda tier: tier.above, default=entry)
    wordy = replace(
        entry,
        **spelled_out(entry),
        tiers=(*entry.tiers, TierEntry(above=above, **spelled_out(highest))),
    )

    for one, other in product((entry, wordy), repeat=2):
        assert compare(as_proposed(one), other).standing is PriceStanding.UNCHANGED


@given(entry=entries, bucket=st.sampled_from(BUCKETS), data=st.data())
def test_a_single_nano_dollar_is_a_change(
    entry: PriceEntry, bucket: str, data: st.DataObject
) -> None:
    dearer: dict[str, Any] = {bucket: entry.rate(bucket) + 1}
    changed = [replace(entry, **dearer), replace(entry, per_request=entry.per_request + 1)]
    if entry.tiers:
        picked = data.draw(st.sampled_from(entry.tiers))
        others = [tier for tier in entry.tiers if tier is not picked]
        tier = replace(picked, **{bucket: picked.rate(bucket) + 1})
        changed.append(replace(entry, tiers=(*others, tier)))

    for one in changed:
        assert compare(as_proposed(one), entry).standing is PriceStanding.CHANGED
