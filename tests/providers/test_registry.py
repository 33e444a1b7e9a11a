"""The registry as calls see it: what is in it, what it is called, and what `auto` stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from providers import registry
from providers.models import FailoverPolicy, Provider, Secret
from providers.registry import ModelEntry, Registry
from providers.vault import SecretText
from tests.providers.entries import model_entry, provider_entry
from tests.support.factories import (
    make_credential,
    make_model,
    make_provider,
    make_remote,
    make_secret,
    saved,
)


def names(found: tuple[ModelEntry, ...]) -> list[str]:
    return [model.qualified_name for model in found]


class TestNames:
    east, west = provider_entry(name="east"), provider_entry(name="west")
    known = Registry(
        (
            model_entry(east, name="chat"),
            model_entry(east, name="solo"),
            model_entry(west, name="chat"),
            model_entry(west, name="east/chat"),
            model_entry(west, name="listen", role="audio_transcription"),
            model_entry(west, name="big-1", aliases=("big", "solo", "east/chat", "listen")),
            model_entry(east, name="big-2", aliases=("big",)),
        )
    )

    @pytest.mark.parametrize(
        ("name", "found"),
        [
            ("solo", ["east/solo"]),
            ("chat", ["east/chat", "west/chat"]),
            ("west/chat", ["west/chat"]),
            ("west/east/chat", ["west/east/chat"]),
            ("west/solo", []),
            # Of this role there is none of that name, so the alias counts.
            ("listen", ["west/big-1"]),
            ("CHAT", []),
            ("", []),
            ("auto", []),
            ("big-1", ["west/big-1"]),
            ("big", ["west/big-1", "east/big-2"]),
        ],
    )
    def test_a_name_finds_every_model_that_answers_to_it(self, name: str, found: list[str]) -> None:
        assert names(self.known.find(name)) == found

    def test_a_providers_own_model_comes_before_anothers_of_that_name(self) -> None:
        assert names(self.known.find("east/chat")) == ["east/chat"]

    def test_a_name_comes_before_an_alias(self) -> None:
        assert names(self.known.find("solo")) == ["east/solo"]

    def test_a_role_finds_only_its_models(self) -> None:
        assert names(self.known.find("listen", "audio_transcription")) == ["west/listen"]
        assert self.known.find("chat", "audio_transcription") == ()


@pytest.mark.parametrize(
    ("models", "default"),
    [
        pytest.param((), None, id="no model"),
        pytest.param((("one", False),), "one", id="the only one"),
        pytest.param((("one", False), ("two", False)), None, id="none is marked"),
        pytest.param((("one", False), ("two", True)), "two", id="one is marked"),
    ],
)
def test_what_auto_stands_for(models: tuple[tuple[str, bool], ...], default: str | None) -> None:
    known = Registry(tuple(model_entry(name=name, is_default=marked) for name, marked in models))
    found = known.default()
    assert (found.name if found else None) == default


def test_a_default_is_of_its_role() -> None:
    listening = model_entry(name="listen", role="audio_transcription", is_default=True)
    chat = model_entry(name="chat")
    known = Registry((listening, chat))
    assert known.default() == chat
    assert known.default("audio_transcription") == listening


def test_a_registry_cannot_be_changed() -> None:
    known: Any = Registry((model_entry(),))
    with pytest.raises(AttributeError):
        known.models = ()
    with pytest.raises(AttributeError):
        known.models[0].name = "another"


@pytest.mark.django_db
class TestLoad:
    def test_a_model_comes_with_all_that_calling_it_takes(self) -> None:
        provider = make_remote(
            name="remote",
            display_name="Remote",
            base_url="https://example.com/v1/",
            connect_timeout=2.5,
            first_token_timeout=10,
            total_timeout=30,
            max_retries=1,
            retry_backoff_ms=20,
            breaker_threshold=7,
            breaker_cooldown=1.5,
            concurrency_limit=9,
            credential_concurrency_limit=3,
            output_cap_field="max_tokens",
            cache_seconds=0,
        )
        model = make_model(
            provider=provider,
            name="nice",
            upstream_name="vendor/nice",
            context_window=1000,
            max_output_tokens=100,
            is_default=True,
            aliases=["fine", "good"],
            tools=False,
            vision=True,
            cost_tier=1,
            latency_tier=3,
        )
        make_credential(provider, "sk-second", position=1, secret=make_secret(name="second"))
        make_credential(provider, secret=make_secret("sk-secret", name="first"), position=0)
        make_credential(provider, "sk-unused", enabled=False)
        (entry,) = registry.load().models
        assert (entry.id, entry.qualified_name, entry.upstream_name) == (
            model.pk,
            "remote/nice",
            "vendor/nice",
        )
        assert (entry.context_window, entry.max_output_tokens, entry.is_default) == (
            1000,
            100,
            True,
        )
        assert (entry.aliases, entry.tools, entry.vision) == (("fine", "good"), False, True)
        assert (entry.cost_tier, entry.latency_tier) == (1, 3)
        remote = entry.provider
        assert (remote.id, remote.display_name) == (provider.pk, "Remote")
        assert remote.base_url == "https://example.com/v1"
        for column in registry.PROVIDER_COLUMNS:
            assert getattr(remote, column) == getattr(provider, column), column
        first, second = remote.credentials
        assert (first.name, first.secret, first.fault) == ("first", SecretText("sk-secret"), "")
        assert second.name == "second"

    def test_without_an_upstream_name_the_model_has_its_own(self) -> None:
        make_model(name="nice")
        assert registry.load().models[0].upstream_name == "nice"

    def test_what_is_disabled_is_not_there(self) -> None:
        make_model(provider=make_provider(enabled=False), name="of-a-disabled-provider")
        make_model(name="disabled", enabled=False)
        make_model(name="enabled")
        make_provider(name="without-models")
        assert [model.name for model in registry.load().models] == ["enabled"]

    def test_a_disabled_default_stands_for_nothing(self) -> None:
        make_model(is_default=True, enabled=False)
        make_model()
        make_model()
        assert registry.load().default() is None

    def test_a_secret_that_cannot_be_read_is_only_its_credentials_fault(
        self, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        provider = make_remote()
        make_model(provider=provider)
        make_credential(provider, "sk-lost")
        settings.PALYRA_VAULT_KEY = Fernet.generate_key().decode()
        make_credential(provider, "sk-good")
        for name in ("PRESENT", "ABSENT"):
            secret = Secret(name=name.lower())
            secret.set_reference(f"env:REGISTRY_TEST_{name}")
            make_credential(provider, secret=saved(secret))
        monkeypatch.setenv("REGISTRY_TEST_PRESENT", "sk-of-the-environment\n")

        lost, good, present, absent = registry.load().models[0].provider.credentials
        assert lost.secret is None
        assert "PALYRA_VAULT_KEY" in lost.fault
        assert (good.secret, good.fault) == (SecretText("sk-good"), "")
        assert present.secret == SecretText("sk-of-the-environment")
        assert absent.secret is None
        assert "REGISTRY_TEST_ABSENT is not set" in absent.fault

    def test_a_provider_can_be_read_alone_enabled_or_not(self) -> None:
        provider = make_remote(enabled=False)
        make_credential(provider, "sk-here")
        entry = registry.entry(provider)
        assert [one.secret for one in entry.credentials] == [SecretText("sk-here")]

    def test_failover_is_on_unless_the_policy_says_otherwise(self) -> None:
        known = registry.load()
        assert (known.failover, known.failover_pinned) == (True, False)
        saved(FailoverPolicy(enabled=False, pinned=True))
        known = registry.load()
        assert (known.failover, known.failover_pinned) == (False, True)

    def test_models_of_one_provider_share_it(self) -> None:
        provider = make_provider()
        make_model(provider=provider)
        make_model(provider=provider)
        first, second = registry.load().models
        assert first.provider is second.provider

    def test_the_order_is_that_of_names(self) -> None:
        for provider, model in (("b", "two"), ("b", "one"), ("a", "three")):
            found = Provider.objects.filter(name=provider).first() or make_provider(name=provider)
            make_model(provider=found, name=model)
        assert names(registry.load().models) == ["a/three", "b/one", "b/two"]

    def test_it_takes_three_queries_however_large(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        for _ in range(5):
            provider = make_remote()
            for _ in range(3):
                make_credential(provider)
                make_model(provider=provider)
        with django_assert_num_queries(3):
            assert len(registry.load().models) == 15
