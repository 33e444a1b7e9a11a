"""The registry as calls see it: what is in it, what it is called, and what `auto` stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.fernet import Fernet
from pytest_django import Settings

from providers import registry
from providers.models import Provider, ProviderKind, Secret
from providers.registry import ModelEntry, Registry
from tests.providers.entries import model_entry, provider_entry
from tests.support.factories import make_model, make_provider


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
            ("listen", []),
            ("CHAT", []),
            ("", []),
            ("auto", []),
        ],
    )
    def test_a_name_finds_every_model_that_answers_to_it(self, name: str, found: list[str]) -> None:
        assert names(self.known.find(name)) == found

    def test_a_providers_own_model_comes_before_anothers_of_that_name(self) -> None:
        assert names(self.known.find("east/chat")) == ["east/chat"]

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


def secret(text: str, name: str = "key") -> Secret:
    made = Secret(name=name)
    made.set_text(text)
    made.save()
    return made


@pytest.mark.django_db
class TestLoad:
    def test_a_model_comes_with_all_that_calling_it_takes(self) -> None:
        provider = make_provider(
            name="remote",
            display_name="Remote",
            kind=ProviderKind.OPENAI_COMPATIBLE,
            base_url="https://example.com/v1/",
            credential=secret("sk-secret"),
            connect_timeout=2.5,
            total_timeout=30,
        )
        model = make_model(
            provider=provider,
            name="nice",
            upstream_name="vendor/nice",
            context_window=1000,
            max_output_tokens=100,
            is_default=True,
        )
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
        remote = entry.provider
        assert (remote.id, remote.display_name, remote.kind) == (
            provider.pk,
            "Remote",
            "openai_compatible",
        )
        assert remote.base_url == "https://example.com/v1"
        assert (remote.connect_timeout, remote.total_timeout) == (2.5, 30)
        assert remote.credential is not None
        assert remote.credential.text == "sk-secret"
        assert remote.credential_fault == ""

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

    def test_a_credential_of_another_vault_key_is_only_its_providers_fault(
        self, settings: Settings
    ) -> None:
        make_model(provider=make_provider(name="lost", credential=secret("sk-lost", "lost")))
        settings.PALYRA_VAULT_KEY = Fernet.generate_key().decode()
        make_model(provider=make_provider(name="good", credential=secret("sk-good", "good")))

        by_provider = {model.provider.name: model.provider for model in registry.load().models}
        assert by_provider["lost"].credential is None
        assert "PALYRA_VAULT_KEY" in by_provider["lost"].credential_fault
        assert by_provider["good"].credential_fault == ""
        assert by_provider["good"].credential is not None

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

    def test_it_takes_one_query_however_large(
        self, django_assert_num_queries: Callable[[int], Any]
    ) -> None:
        for number in range(5):
            make_model(provider=make_provider(credential=secret("sk", f"key-{number}")))
        with django_assert_num_queries(1):
            assert len(registry.load().models) == 5
