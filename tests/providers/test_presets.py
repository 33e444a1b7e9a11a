"""The usual hosts: each can be added as it stands, and says what is so."""

from __future__ import annotations

import dataclasses
from typing import Any

import genai_prices.data
import pytest
from django.core.exceptions import ValidationError

from providers import registry, vault
from providers.models import ROLES_OF_KIND, Provider, ProviderKind, ProviderModel, Secret
from providers.presets import BY_KEY, PRESETS, Preset, add_from_preset
from tests.support.factories import make_model, make_provider, make_secret

KEY = "sk-a-pasted-key-0123456789"
# Under these names genai-prices has the hosts that are not named alike.
ELSEWHERE = {"azure-openai": "azure"}

every = pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.key)


def added(preset: Preset, **given: Any) -> Provider:
    where = {"base_url": "https://mine.openai.azure.com/openai/v1"} if preset.needs_base_url else {}
    return add_from_preset(preset, **{"key": KEY, **where, **given})


def faults(preset: Preset, **given: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as caught:
        add_from_preset(preset, **given)
    assert not Provider.objects.filter(display_name=preset.display_name).exists()
    return caught.value.message_dict


def test_those_of_the_issue_are_there() -> None:
    assert list(BY_KEY) == [
        *("openai", "anthropic", "minimax", "azure-openai", "openrouter", "groq", "mistral"),
        *("ollama", "vllm", "lm-studio"),
    ]


@every
def test_it_cannot_be_changed(preset: Preset) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset.base_url = "https://example.com"  # type: ignore[misc]


@every
@pytest.mark.django_db
def test_it_is_added_as_it_stands(preset: Preset) -> None:
    provider = added(preset)
    assert provider.name == preset.key
    (entry,) = provider.credentials.all()
    assert (entry.secret.name, vault.decrypt(entry.secret.ciphertext).text) == (preset.key, KEY)
    found = {model.name for model in registry.load().models}
    assert found == {model.name for model in preset.models}
    assert set(provider.models.values_list("metadata_source", flat=True)) <= {"static"}


@every
def test_its_models_are_such_as_its_kind_can_have(preset: Preset) -> None:
    possible = ROLES_OF_KIND[ProviderKind(preset.kind)]
    assert all(model.role in possible for model in preset.models)


@every
def test_sizes_are_those_that_others_know(preset: Preset) -> None:
    known = {
        model.id: model.context_window
        for host in genai_prices.data.providers
        if host.id == ELSEWHERE.get(preset.key, preset.key)
        for model in host.models
        if model.context_window
    }
    for model in preset.models:
        assert model.context_window == known.get(model.name, model.context_window), model.name


@every
def test_a_pattern_is_completed_by_the_operator(preset: Preset) -> None:
    assert preset.needs_base_url == (preset.key == "azure-openai")
    assert preset.key_from.endswith(".")


@pytest.mark.django_db
class TestAdding:
    def test_only_the_models_that_were_picked(self) -> None:
        provider = added(BY_KEY["openai"], models=["gpt-5.4-mini"])
        assert list(provider.models.values_list("name", flat=True)) == ["gpt-5.4-mini"]
        assert not added(BY_KEY["anthropic"], models=[]).models.exists()

    def test_the_first_of_a_role_becomes_its_default_and_no_other(self) -> None:
        mine = make_model(provider=make_provider(), is_default=False)
        added(BY_KEY["openai"])
        added(BY_KEY["mistral"])
        defaults = ProviderModel.objects.filter(is_default=True).values_list("role", "name")
        assert dict(defaults) == {
            "embeddings": "text-embedding-3-small",
            "audio_transcription": "gpt-4o-mini-transcribe",
        }
        mine.refresh_from_db()
        assert not mine.is_default

    def test_one_host_twice_under_names_of_their_own(self) -> None:
        added(BY_KEY["openai"])
        second = added(BY_KEY["openai"], name="openai-eu", base_url="https://eu.api.openai.com/v1")
        assert second.base_url == "https://eu.api.openai.com/v1"
        assert Secret.objects.count() == 2

    def test_a_secret_that_is_stored_already(self) -> None:
        secret = make_secret(name="mine")
        provider = added(BY_KEY["groq"], key="", secret=secret)
        assert [one.secret for one in provider.credentials.all()] == [secret]
        assert Secret.objects.count() == 1

    def test_where_no_key_is_asked_for_none_is_needed(self) -> None:
        provider = added(BY_KEY["ollama"], key="")
        assert not provider.credentials.exists()
        assert provider.allow_private_base_url

    def test_a_host_that_wants_a_key_says_where_from(self) -> None:
        found = faults(BY_KEY["openai"], key=" ")
        assert found.keys() == {"key"}
        assert "platform.openai.com" in found["key"][0]

    @pytest.mark.parametrize("base_url", [None, "", "  ", "https://{resource}.openai.azure.com"])
    def test_a_pattern_is_no_address(self, base_url: str | None) -> None:
        assert faults(BY_KEY["azure-openai"], key=KEY, base_url=base_url).keys() == {"base_url"}

    def test_all_faults_are_said_at_once_and_nothing_is_stored(self) -> None:
        found = faults(BY_KEY["openai"], name="no slug", base_url="ftp://x", models=["gpt-1"])
        assert found.keys() == {"name", "base_url", "key", "models"}
        assert not Secret.objects.exists()

    def test_a_model_that_cannot_be_stores_nothing(self) -> None:
        make_model(provider=make_provider(name="other"), aliases=["openai/gpt-5.4"])
        found = faults(BY_KEY["openai"], key=KEY)
        assert found["models"][0].startswith("gpt-5.4: ")
        assert not Secret.objects.exists()

    def test_a_name_that_is_taken(self) -> None:
        make_provider(name="openai")
        assert faults(BY_KEY["openai"], key=KEY).keys() == {"name"}
