"""What is proposed of a host's listing, and what is taken over of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from governance.models import Price
from providers import discovery, hosts
from providers.adapters.listing import ListedModel, Listing
from providers.discovery import (
    DiscoveryFailed,
    NoPrice,
    PriceStanding,
    Proposal,
    ProposedPrice,
    Standing,
    proposals,
)
from providers.discovery.facts import NO_ROLE, cost_tier, guessed, guessed_role
from providers.discovery.listing import keep
from providers.discovery.prices import list_price, propose
from providers.failures import Failure
from providers.models import (
    CostTier,
    DiscoveryListing,
    LatencyTier,
    MetadataSource,
    Provider,
    ProviderModel,
)
from providers.transport import Transport
from tests.providers.entries import anthropic_entry, remote_entry
from tests.providers.host import KEY, Host, hosting
from tests.support.factories import (
    make_credential,
    make_model,
    make_price,
    make_provider,
    make_remote,
)

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"
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


def row(name: str, **fields: Any) -> ProviderModel:
    """A stored model, without a database."""
    defaults: dict[str, Any] = {"pk": 7, "metadata_source": MetadataSource.DISCOVERY}
    return ProviderModel(name=name, **{**defaults, **fields})


def proposed(
    *models: ListedModel, stored: tuple[ProviderModel, ...] = (), base_url: str = "http://x/v1",
    is_complete: bool = True,
) -> tuple[Proposal, ...]:  # fmt: skip
    provider = remote_entry(base_url, name="acme")
    return proposals(models, stored, provider=provider, is_complete=is_complete, at=NOW)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("gpt-4o", "chat"),
        ("llama3.2:3b", "chat"),
        ("meta-llama/Llama-4-Scout", "chat"),
        ("text-embedding-3-small", "embeddings"),
        ("nomic-embed-text", "embeddings"),
        ("BAAI/bge-m3", "embeddings"),
        ("intfloat/e5-large", "embeddings"),
        ("whisper-1", "audio_transcription"),
        ("Systran/faster-whisper-small", "audio_transcription"),
        ("gpt-4o-transcribe", "audio_transcription"),
        ("dall-e-3", NO_ROLE),
        ("gpt-image-1", NO_ROLE),
        ("tts-1-hd", NO_ROLE),
        ("gpt-4o-mini-tts", NO_ROLE),
        ("omni-moderation-latest", NO_ROLE),
        ("gpt-realtime", NO_ROLE),
        ("rerank-v3.5", NO_ROLE),
        ("sora-2", NO_ROLE),
        ("davinci-002", NO_ROLE),
    ],
)
def test_a_role_is_guessed_by_the_name(name: str, role: str) -> None:
    assert guessed_role(name) == role


@pytest.mark.parametrize(
    ("name", "sees", "cost", "latency"),
    [
        ("gpt-4o", True, CostTier.STANDARD, LatencyTier.STANDARD),
        ("gpt-4o-mini", True, CostTier.LOW, LatencyTier.FAST),
        ("o3", True, CostTier.PREMIUM, LatencyTier.SLOW),
        ("o3-mini", False, CostTier.LOW, LatencyTier.SLOW),
        ("claude-opus-4-1", True, CostTier.PREMIUM, LatencyTier.SLOW),
        ("claude-haiku-4-5", True, CostTier.LOW, LatencyTier.FAST),
        ("deepseek-r1", False, CostTier.STANDARD, LatencyTier.SLOW),
        ("llama-3.1-8b-instant", False, CostTier.LOW, LatencyTier.FAST),
        ("qwen2.5-vl:7b", True, CostTier.LOW, LatencyTier.FAST),
        ("qwen3-32b", False, CostTier.STANDARD, LatencyTier.STANDARD),
    ],
)
def test_more_is_guessed_by_the_name(name: str, sees: bool, cost: int, latency: int) -> None:
    facts = guessed(name)

    assert (facts.vision, facts.cost_tier, facts.latency_tier) == (sees, cost, latency)


@given(st.text(max_size=60))
def test_any_name_can_be_guessed_from(name: str) -> None:
    assert guessed(name).role == guessed_role(name)


@pytest.mark.parametrize(
    ("uncached_input", "output", "tier"),
    [
        ("0.15", "0.6", CostTier.LOW),
        ("2.5", "10", CostTier.STANDARD),
        ("3", "15", CostTier.STANDARD),
        ("15", "75", CostTier.PREMIUM),
    ],
)
def test_the_cost_tier_follows_the_price(uncached_input: str, output: str, tier: int) -> None:
    assert cost_tier(Decimal(uncached_input), Decimal(output)) == tier


def test_a_new_model_has_what_the_host_tells_and_what_its_name_says() -> None:
    (one,) = proposed(listed("gpt-4o", context_window=1000, max_output_tokens=2000, tools=False))

    assert (one.standing, one.name, one.role) == (Standing.NEW, "gpt-4o", "chat")
    assert one.facts.context_window == one.facts.max_output_tokens == 1000
    assert (one.facts.tools, one.facts.vision) == (False, True)
    assert one.is_advised
    assert one.model_id is None


def test_a_size_that_the_host_does_not_tell_may_be_known_of_a_well_known_host() -> None:
    (known,) = proposed(listed("text-embedding-3-small"), base_url=OPENAI)
    (own,) = proposed(listed("text-embedding-3-small"))

    assert (known.facts.context_window, own.facts.context_window) == (8192, None)


def test_a_known_model_is_changed_only_by_what_the_host_tells() -> None:
    stored = row("gpt-4o", vision=False, latency_tier=3)

    (one,) = proposed(listed("gpt-4o", context_window=64_000), stored=(stored,))

    assert one.standing is Standing.CHANGED
    assert [(change.label, change.before, change.after) for change in one.changes] == [
        ("context window", 128_000, 64_000)
    ]
    assert one.model_id == 7


def test_a_model_that_is_as_the_host_tells_is_known() -> None:
    (one,) = proposed(listed("small", context_window=128_000), stored=(row("small"),))

    assert (one.standing, one.changes, one.is_advised) == (Standing.KNOWN, (), False)


def test_what_an_operator_set_is_not_proposed_over_but_can_be_picked() -> None:
    stored = row("small", metadata_source=MetadataSource.OPERATOR)

    (one,) = proposed(listed("small", vision=True), stored=(stored,))

    assert one.standing is Standing.KNOWN
    assert one.overridden
    assert one.changes
    assert not one.is_advised
    assert one.can_be_picked
    assert "unless you pick it" in one.note


def test_a_model_is_known_by_what_the_host_calls_it() -> None:
    stored = (row("ours", upstream_name="theirs"), row("theirs2", pk=8))

    known, gone = proposed(listed("theirs"), stored=stored)

    assert (known.name, known.model_id, known.standing) == ("ours", 7, Standing.KNOWN)
    assert (gone.name, gone.standing, gone.can_be_picked) == ("theirs2", Standing.GONE, False)


def test_nothing_is_gone_from_a_listing_that_was_not_read_to_its_end() -> None:
    assert len(proposed(listed("a"), stored=(row("b"),), is_complete=False)) == 1


def test_a_model_listed_twice_is_proposed_once() -> None:
    assert len(proposed(listed("a"), listed("a", vision=True))) == 1


@pytest.mark.parametrize(
    ("name", "here"),
    [("~acme/large", "acme/large"), ("two words", "two-words"), ("ünï", "n-")],
)
def test_a_name_that_cannot_be_is_made_one(name: str, here: str) -> None:
    (one,) = proposed(listed(name))

    assert (one.name, one.listed_name, one.standing) == (here, name, Standing.NEW)


@pytest.mark.parametrize("name", ["auto", "…", "x" * 201])
def test_a_name_of_which_none_can_be_made_is_not_to_be_picked(name: str) -> None:
    (one,) = proposed(listed(name))

    assert (one.standing, one.can_be_picked) == (Standing.UNUSABLE, False)
    assert "under another" in one.note


def test_a_model_without_a_role_is_not_to_be_picked() -> None:
    (one,) = proposed(listed("dall-e-3"))

    assert (one.standing, one.role) == (Standing.UNUSABLE, "")


def test_an_anthropic_host_has_chat_models_only() -> None:
    (one,) = proposals(
        [listed("claude-embed-whisper")], (), provider=anthropic_entry("http://x"), at=NOW
    )

    assert (one.role, one.standing) == ("chat", Standing.NEW)


def price(one: ProposedPrice | NoPrice) -> ProposedPrice:
    assert isinstance(one, ProposedPrice)
    return one


def test_the_hosts_own_price_comes_first() -> None:
    model = listed("gpt-4o", input_price=Decimal(3), output_price=Decimal(15))

    found = price(propose(model, "chat", provider="acme", base_url=OPENAI, at=NOW))

    assert (found.uncached_input, found.output) == (Decimal(3), Decimal(15))
    assert (found.source, found.precision) == ("discovery: acme", "exact")


def test_else_the_list_of_prices_is_asked() -> None:
    found = price(propose(listed("gpt-4o"), "chat", provider="acme", base_url=OPENAI, at=NOW))

    assert (found.uncached_input, found.output) == (Decimal("2.5"), Decimal(10))
    assert found.cache_read == Decimal("1.25")
    assert found.source.startswith("genai-prices ")
    assert found.precision == "estimate"


def test_a_model_of_ones_own_has_no_price_by_its_name() -> None:
    found = list_price("gpt-4o", "chat", base_url="http://localhost:11434/v1", at=NOW)

    assert isinstance(found, NoPrice)
    assert "set a price yourself" in found.reason


def test_a_price_that_is_not_by_tokens_is_not_proposed() -> None:
    found = list_price("whisper-1", "audio_transcription", base_url=OPENAI, at=NOW)

    assert isinstance(found, NoPrice)
    assert "other than tokens" in found.reason


def test_speech_is_priced_as_speech() -> None:
    found = price(list_price("gpt-4o-transcribe", "audio_transcription", base_url=OPENAI, at=NOW))

    assert found.uncached_input == 6


def test_embeddings_have_no_output_to_pay_for() -> None:
    found = price(list_price("text-embedding-3-small", "embeddings", base_url=OPENAI, at=NOW))

    assert (found.uncached_input, found.output) == (Decimal("0.02"), Decimal(0))


def test_what_a_price_leaves_out_is_said() -> None:
    host = "https://api.anthropic.com"
    found = price(list_price("claude-sonnet-4-5", "chat", base_url=host, at=NOW))

    assert "more than 200,000 input tokens" in found.note
    assert (found.cache_write_5m, found.cache_write_1h) == (Decimal("3.75"), Decimal(6))


@pytest.mark.parametrize("amount", ["-1", "1e9"])
def test_an_absurd_price_is_not_believed(amount: str) -> None:
    model = listed("x", input_price=Decimal(amount), output_price=Decimal(1))

    found = propose(model, "chat", provider="acme", base_url="http://x", at=NOW)

    assert isinstance(found, NoPrice)


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

    assert found.standing is PriceStanding.OPERATORS
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
