"""What is proposed of a host's listing: pure."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters.listing import ListedModel
from providers.discovery import (
    NoPrice,
    Proposal,
    ProposedPrice,
    Standing,
    proposals,
)
from providers.discovery.facts import NO_ROLE, cost_tier, guessed, guessed_role
from providers.discovery.price_list import list_price
from providers.discovery.prices import propose
from providers.models import (
    CostTier,
    LatencyTier,
    MetadataSource,
    ProviderModel,
)
from tests.providers.entries import anthropic_entry, remote_entry

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OPENAI = "https://api.openai.com/v1"


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


def test_a_long_context_has_rates_of_its_own() -> None:
    host = "https://api.anthropic.com"
    found = price(list_price("claude-sonnet-4-5", "chat", base_url=host, at=NOW))

    assert (found.cache_write_5m, found.cache_write_1h) == (Decimal("3.75"), Decimal(6))
    (tier,) = found.tiers
    assert tier.above == 200_000
    assert (tier.uncached_input, tier.output) == (Decimal(6), Decimal("22.5"))
    assert (tier.cache_read, tier.cache_write_1h) == (Decimal("0.6"), Decimal(12))


@pytest.mark.parametrize("amount", ["-1", "1e9"])
def test_an_absurd_price_is_not_believed(amount: str) -> None:
    model = listed("x", input_price=Decimal(amount), output_price=Decimal(1))

    found = propose(model, "chat", provider="acme", base_url="http://x", at=NOW)

    assert isinstance(found, NoPrice)
