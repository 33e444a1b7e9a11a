"""What a host is asked for its models, and what is taken over of what it says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from django.core.exceptions import ValidationError

from governance.models import Price
from providers import discovery, hosts
from providers.adapters.listing import ListedModel, Listing
from providers.discovery import (
    DiscoveryFailed,
    PriceStanding,
)
from providers.discovery.listing import keep
from providers.failures import Failure
from providers.models import (
    DiscoveryListing,
    MetadataSource,
    Provider,
    ProviderModel,
)
from providers.transport import Transport
from tests.providers.entries import remote_entry
from tests.providers.host import KEY, Host, hosting
from tests.support.factories import (
    make_credential,
    make_model,
    make_price,
    make_provider,
    make_remote,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ROUTED = {
    "id": "acme/large",
    "context_length": 200_000,
    "top_provider": {"max_completion_tokens": 16_000},
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "supported_parameters": ["tools", "response_format"],
    "pricing": {"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"},
}


def listed(name: str, **fields: Any) -> ListedModel:
    return ListedModel(id=name, **fields)


@pytest.fixture
def host() -> Iterator[Host]:
    with hosting("gpt-small", ROUTED, "text-embed", "dall-e-3", key=KEY) as host:
        yield host


@pytest.fixture
def provider(db: None, host: Host) -> Provider:
    provider = make_remote(name="acme", base_url=host.base_url)
    make_credential(provider, KEY)
    return provider


def test_a_host_is_asked_once_in_five_minutes(provider: Provider, host: Host) -> None:
    first = discovery.discover(provider, now=NOW)
    again = discovery.discover(provider, now=NOW + timedelta(seconds=299))

    assert len(host.asked) == 1
    assert again == first
    assert [one.id for one in first.models] == ["gpt-small", "acme/large", "text-embed", "dall-e-3"]
    assert first.models[1].input_price == 3

    host.models.append("new")
    later = discovery.discover(provider, now=NOW + timedelta(minutes=5))
    assert len(host.asked) == 2
    assert later.models[-1].id == "new"


def test_a_host_is_asked_at_once_if_wanted_or_if_it_is_another(
    provider: Provider, host: Host
) -> None:
    discovery.discover(provider, now=NOW)
    discovery.discover(provider, refresh=True, now=NOW)
    assert len(host.asked) == 2

    Provider.objects.update(base_url=f"{host.base_url}/")
    provider.refresh_from_db()
    discovery.discover(provider, now=NOW)
    assert len(host.asked) == 3


def test_another_key_is_tried_where_one_is_refused(db: None) -> None:
    with hosting("small", key=KEY) as host:
        provider = make_remote(base_url=host.base_url)
        make_credential(provider, "sk-a-wrong-key-of-the-tests")
        make_credential(provider, KEY)

        assert discovery.discover(provider, now=NOW).models
        assert len(host.asked) == 2


def test_a_host_that_refuses_is_explained_and_what_was_kept_stays(
    provider: Provider, host: Host
) -> None:
    discovery.discover(provider, now=NOW)
    host.key = "another"

    with pytest.raises(DiscoveryFailed) as failed:
        discovery.discover(provider, refresh=True, now=NOW)

    assert "refused the key (401)" in str(failed.value)
    assert KEY not in str(failed.value)
    assert DiscoveryListing.objects.get().fetched_at == NOW


def test_a_rehearsal_has_no_host_to_ask(db: None) -> None:
    with pytest.raises(DiscoveryFailed, match="no host to ask"):
        discovery.discover(make_provider(), now=NOW)


async def test_all_pages_are_read_and_no_more_than_there_may_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def endless(provider: Any, credential: Any, transport: Any, after: str | None) -> Listing:
        number = int(after or 0)
        return Listing((ListedModel(id=f"m{number}"),), str(number + 1))

    monkeypatch.setattr(hosts, "list_page", endless)
    transport = Transport()
    try:
        found = await hosts.list_models(remote_entry("http://x"), None, transport)
    finally:
        await transport.close()

    assert not isinstance(found, Failure)
    assert len(found.models) == hosts.MOST_PAGES
    assert not found.is_complete


async def test_no_page_is_asked_for_beyond_as_many_models_as_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    async def large(provider: Any, credential: Any, transport: Any, after: str | None) -> Listing:
        asked.append(after)
        return Listing((ListedModel(id="m"),) * hosts.MOST_MODELS, str(len(asked)))

    monkeypatch.setattr(hosts, "list_page", large)
    found = await hosts.list_models(remote_entry("http://x"), None, cast(Any, None))
    assert not isinstance(found, Failure)
    assert (asked, found.is_complete) == ([None], False)


async def test_a_listing_that_takes_too_long_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def slow(provider: Any, credential: Any, transport: Any, after: str | None) -> Listing:
        return Listing((ListedModel(id="m"),), f"{after}1")

    monkeypatch.setattr(hosts, "list_page", slow)
    monkeypatch.setattr(hosts, "LONGEST_LISTING", 0.0)
    found = await hosts.list_models(remote_entry("http://x"), None, cast(Any, None))
    assert not isinstance(found, Failure)
    assert (len(found.models), found.is_complete) == (1, False)


def test_names_that_cannot_be_stored_are_left_out(db: None) -> None:
    provider = make_remote()
    models = [
        listed("good", display_name="a\x00b"),
        listed("bad\x00"),
        listed(""),
        listed("x" * 300),
    ]

    kept = keep(provider, models, is_complete=True, now=NOW)

    assert [(one.id, one.display_name) for one in kept.models] == [("good", "")]
    assert discovery.kept_listing(provider) == kept


def test_only_what_is_picked_is_taken_over(provider: Provider) -> None:
    discovery.discover(provider)

    done = discovery.apply(provider, ["acme/large"], now=NOW)

    assert done.created == ("acme/large",)
    assert str(done) == "1 model added. 1 price set."
    model = ProviderModel.objects.get()
    assert model.metadata_source == MetadataSource.DISCOVERY
    assert (model.context_window, model.max_output_tokens) == (200_000, 16_000)
    assert (model.vision, model.tools, model.json_mode, model.role) == (True, True, True, "chat")
    assert not model.is_default
    stored = Price.objects.get()
    assert (stored.uncached_input, stored.output) == (3 * 10**9, 15 * 10**9)
    assert (stored.cache_read, stored.effective_from) == (300_000_000, NOW)
    assert (stored.source, stored.precision) == ("discovery: acme", "exact")


def test_all_that_is_advised_is_taken_over_and_what_has_no_price_is_said(
    provider: Provider,
) -> None:
    by_hand = make_model(provider=provider, name="gpt-small", vision=True)
    discovery.discover(provider)

    done = discovery.apply(provider, None, now=NOW)

    assert done.created == ("acme/large", "text-embed")
    assert "1 model without a price: budgets on cost refuse it" in str(done)
    by_hand.refresh_from_db()
    assert by_hand.metadata_source == MetadataSource.OPERATOR
    assert ProviderModel.objects.get(name="text-embed").role == "embeddings"
    again = discovery.apply(provider, None, now=NOW)
    assert str(again) == "No model had to be changed."


def test_an_operators_word_is_taken_back_only_if_picked(provider: Provider) -> None:
    model = make_model(provider=provider, name="acme/large", context_window=9000)
    discovery.discover(provider)

    done = discovery.apply(provider, ["acme/large"], with_prices=False, now=NOW)

    model.refresh_from_db()
    assert done.updated == ("acme/large",)
    assert (model.context_window, model.metadata_source) == (200_000, MetadataSource.DISCOVERY)
    assert "Prices stayed as they were." in str(done)
    assert not Price.objects.exists()


def test_the_output_stays_within_a_smaller_window(provider: Provider, host: Host) -> None:
    host.models[0] = {"id": "gpt-small", "context_length": 2000}
    discovery.discover(provider)

    discovery.apply(provider, ["gpt-small"], now=NOW)

    assert ProviderModel.objects.get().max_output_tokens == 2000


def test_picks_that_cannot_be_are_refused_all_together(provider: Provider) -> None:
    make_model(provider=provider, name="old")
    discovery.discover(provider)

    with pytest.raises(ValidationError) as refused:
        discovery.apply(provider, ["gpt-small", "nowhere", "old", "dall-e-3"], now=NOW)

    faults = refused.value.message_dict["models"]
    assert [fault.split("”")[0] for fault in faults] == ["“nowhere", "“old", "“dall-e-3"]
    assert ProviderModel.objects.count() == 1


def test_a_model_that_cannot_be_stored_leaves_nothing_stored(provider: Provider) -> None:
    make_model(provider=provider, name="elsewhere", aliases=["acme/text-embed"])
    discovery.discover(provider)

    with pytest.raises(ValidationError) as refused:
        discovery.apply(provider, ["gpt-small", "text-embed"], now=NOW)

    assert "“text-embed”" in refused.value.message_dict["models"][0]
    assert ProviderModel.objects.count() == 1


@pytest.mark.parametrize(("picked", "says"), [([], "at least one"), (["x"], "not among")])
def test_picking_nothing_or_nonsense(provider: Provider, picked: list[str], says: str) -> None:
    discovery.discover(provider)

    with pytest.raises(ValidationError, match=says):
        discovery.apply(provider, picked, now=NOW)


def test_nothing_can_be_picked_before_anything_was_discovered(provider: Provider) -> None:
    with pytest.raises(ValidationError, match="Discover"):
        discovery.apply(provider, ["gpt-small"], now=NOW)


def test_an_operators_price_is_never_replaced(provider: Provider) -> None:
    model = make_model(provider=provider, name="acme/large")
    mine = make_price(model)
    listing = discovery.discover(provider)

    found = discovery.review(provider, listing, now=NOW).prices["acme/large"]
    done = discovery.apply(provider, ["acme/large"], now=NOW)

    assert found.standing is PriceStanding.OVERRIDDEN
    assert done.prices["acme/large"].says == "The price in force was set by hand and stays."
    assert list(Price.objects.all()) == [mine]


def test_a_discovered_price_is_followed_by_a_newer_one(provider: Provider, host: Host) -> None:
    discovery.discover(provider)
    discovery.apply(provider, ["acme/large"], now=NOW)
    discovery.apply(provider, ["acme/large"], now=NOW + timedelta(hours=1))
    assert Price.objects.count() == 1

    host.models[1] = {**ROUTED, "pricing": {"prompt": "0.000002", "completion": "0.00001"}}
    listing = discovery.discover(provider, refresh=True)
    compared = discovery.review(provider, listing, now=NOW + timedelta(hours=2))
    assert compared.prices["acme/large"].standing is PriceStanding.CHANGED
    discovery.apply(provider, ["acme/large"], now=NOW + timedelta(hours=2))

    amounts = Price.objects.order_by("effective_from").values_list("uncached_input", flat=True)
    assert list(amounts) == [3 * 10**9, 2 * 10**9]


def test_another_models_price_is_not_taken_for_its_own(provider: Provider) -> None:
    make_price(make_model())
    listing = discovery.discover(provider)

    found = discovery.review(provider, listing, now=NOW)

    assert {one.in_force for one in found.prices.values()} == {None}
    assert str(found) == "The host lists 4 models: 3 new."


def test_a_price_to_come_is_not_in_force(provider: Provider) -> None:
    model = make_model(provider=provider, name="acme/large")
    make_price(model, effective_from=NOW + timedelta(days=1))
    discovery.discover(provider)

    done = discovery.apply(provider, ["acme/large"], now=NOW)

    assert done.prices["acme/large"].standing is PriceStanding.NEW
    assert Price.objects.count() == 2
