"""What the registry refuses to store, whoever asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from providers.models import (
    ROLES_OF_KIND,
    FailoverPolicy,
    ModelRole,
    Provider,
    ProviderKind,
    ProviderModel,
    Secret,
    failover_policy,
)
from tests.support.factories import (
    make_credential,
    make_model,
    make_provider,
    make_remote,
    make_secret,
)

pytestmark = pytest.mark.django_db

HERE = "https://api.example.com/v1"


def faults_of(row: Any, **changes: Any) -> dict[str, str]:
    """What is wrong with the row once it is changed so, by field; nothing is stored."""
    for field, value in changes.items():
        setattr(row, field, value)
    try:
        row.full_clean()
    except ValidationError as error:
        return {field: " ".join(texts) for field, texts in error.message_dict.items()}
    return {}


class TestProvider:
    @pytest.mark.parametrize(
        ("changes", "fields"),
        [
            ({}, ()),
            ({"base_url": ""}, ("base_url",)),
            ({"kind": "deterministic"}, ("base_url",)),
            ({"kind": "deterministic", "base_url": ""}, ()),
            ({"kind": "telepathic"}, ("kind",)),
            ({"base_url": "http://localhost:11434/v1"}, ("base_url",)),
            ({"base_url": "http://10.0.0.1/v1", "allow_private_base_url": True}, ()),
            ({"first_token_timeout": 61.0}, ("first_token_timeout",)),
            ({"first_token_timeout": 60.0}, ()),
            ({"total_timeout": 20.0, "first_token_timeout": 20.1}, ("first_token_timeout",)),
            ({"total_timeout": "soon"}, ("total_timeout",)),
            ({"max_retries": 11}, ("max_retries",)),
            ({"max_retries": 0}, ()),
            ({"retry_backoff_ms": 0}, ("retry_backoff_ms",)),
            ({"breaker_threshold": 0}, ("breaker_threshold",)),
            ({"concurrency_limit": 0}, ("concurrency_limit",)),
            ({"concurrency_limit": None}, ()),
            ({"output_cap_field": "max_words"}, ("output_cap_field",)),
            ({"rehearsal_failure_class": "bad_luck"}, ("rehearsal_failure_class",)),
        ],
    )
    @pytest.mark.any_database
    def test_rules(self, changes: dict[str, Any], fields: tuple[str, ...]) -> None:
        provider = Provider(name="host", kind="openai_compatible", base_url=HERE)
        assert tuple(faults_of(provider, **changes)) == fields

    @pytest.mark.parametrize(
        ("base_url", "refused"),
        [
            ("https://api.example.com/v2", False),
            ("https://API.example.com/v1", False),
            ("https://api.example.net/v1", True),
            ("https://api.example.com:8443/v1", True),
            ("https://evil.example.com/api.example.com/v1", True),
            ("http://api.example.com/v1", True),
        ],
    )
    def test_a_key_is_not_sent_to_another_host(self, base_url: str, refused: bool) -> None:
        provider = make_remote(base_url=HERE)
        credential = make_credential(provider)
        found = faults_of(provider, base_url=base_url)
        assert ("disable or replace them first" in found.get("base_url", "")) is refused

        credential.enabled = False
        credential.save()
        assert faults_of(provider) == {}

    def test_nor_by_way_of_no_host(self) -> None:
        provider = make_remote(base_url=HERE)
        make_credential(provider)
        provider.kind, provider.base_url = ProviderKind.DETERMINISTIC, ""
        provider.save()
        elsewhere = {"kind": ProviderKind.OPENAI_COMPATIBLE, "base_url": "https://example.net/v1"}
        assert faults_of(provider, **elsewhere).keys() == {"base_url"}

    def test_a_host_that_becomes_private_to_its_callers_keeps_its_keys(self) -> None:
        provider = make_remote(base_url="http://api.example.com/v1")
        make_credential(provider)
        assert faults_of(provider, base_url=HERE) == {}

    def test_a_kind_that_its_models_forbid(self) -> None:
        provider = make_remote()
        make_model(provider=provider)
        assert faults_of(provider, kind=ProviderKind.ANTHROPIC) == {}
        provider.refresh_from_db()
        make_model(provider=provider, role=ModelRole.EMBEDDINGS)
        found = faults_of(provider, kind=ProviderKind.ANTHROPIC)
        assert found.keys() == {"kind"}
        assert "embeddings" in found["kind"]

    def test_a_secret_is_a_providers_once(self) -> None:
        provider = make_remote()
        secret = make_credential(provider).secret
        with pytest.raises(ValidationError, match="has that secret already"):
            make_credential(provider, secret=secret)
        make_credential(make_remote(), secret=secret)


class TestModel:
    @pytest.mark.parametrize(
        ("kind", "role"), [(kind, role) for kind in ProviderKind for role in ModelRole]
    )
    @pytest.mark.any_database
    def test_a_role_is_one_that_the_kind_can_have(
        self, kind: ProviderKind, role: ModelRole
    ) -> None:
        remote = kind != ProviderKind.DETERMINISTIC
        provider = make_provider(kind=kind, base_url=HERE if remote else "")
        found = faults_of(ProviderModel(provider=provider, name="new", role=role))
        assert ("role" not in found) is (role in ROLES_OF_KIND[kind])

    def test_even_of_a_provider_that_is_stored_with_it(self) -> None:
        provider = Provider(name="new", kind=ProviderKind.ANTHROPIC, base_url=HERE)
        model = ProviderModel(provider=provider, name="new", role=ModelRole.EMBEDDINGS)
        with pytest.raises(ValidationError) as caught:
            model.clean()
        assert caught.value.message_dict.keys() == {"role"}

    @pytest.mark.parametrize(
        ("role", "refused"), [("chat", True), ("audio_transcription", True), ("embeddings", False)]
    )
    def test_an_output_fits_the_window_where_there_is_one(self, role: str, refused: bool) -> None:
        sizes = {"context_window": 512, "max_output_tokens": 4096}
        model = ProviderModel(provider=make_provider(), name="new", role=role, **sizes)
        assert ("max_output_tokens" in faults_of(model)) is refused

    def test_one_default_for_each_role(self) -> None:
        for role in ModelRole:
            make_model(role=role, is_default=True)
            assert faults_of(ProviderModel(provider=make_provider(), name="new", role=role)) == {}
        second = ProviderModel(provider=make_provider(), name="new", is_default=True)
        assert "already the default" in str(faults_of(second))

    @pytest.mark.parametrize(
        ("aliases", "refused"),
        [
            ([], False),
            (["small", "vendor/small"], False),
            # Another model's name: that model is meant by it, as long as it is enabled.
            (["other"], False),
            (["east/other"], True),
            (["west/other"], False),
            (["same"], True),
            (["west/same"], True),
            (["twice", "twice"], True),
            (["auto"], True),
            ([""], True),
            (["two words"], True),
            (["x" * 201], True),
            ([f"name-{number}" for number in range(20)], False),
            ([f"name-{number}" for number in range(21)], True),
            ("small", True),
            ([1], True),
            ({"small": 1}, True),
        ],
    )
    @pytest.mark.any_database
    def test_aliases(self, aliases: Any, refused: bool) -> None:
        make_model(provider=make_provider(name="east"), name="other")
        west = make_provider(name="west")
        model = ProviderModel(provider=west, name="same", aliases=aliases)
        assert faults_of(model).keys() == ({"aliases"} if refused else set())

    def test_a_model_keeps_its_aliases_when_it_is_saved_again(self) -> None:
        model = make_model(aliases=["small"])
        assert faults_of(model, enabled=False) == {}

    def test_a_new_model_does_not_take_anothers_alias(self) -> None:
        east = make_provider(name="east")
        other = make_model(provider=make_provider(name="west"), aliases=["east/new"])
        found = faults_of(ProviderModel(provider=east, name="new"))
        assert found.keys() == {"name"}
        assert str(other) in found["name"]

    @pytest.mark.parametrize(
        ("fields", "source"),
        [
            (["enabled", "cost_tier", "aliases"], "discovery"),
            ([], "discovery"),
            (["enabled", "tools"], "operator_override"),
            (["context_window"], "operator_override"),
        ],
    )
    def test_who_said_what_it_can_do(self, fields: Iterable[str], source: str) -> None:
        model = ProviderModel(metadata_source="discovery")
        model.note_changes(fields)
        assert model.metadata_source == source


class TestFailoverPolicy:
    def test_it_is_made_once(self) -> None:
        assert failover_policy() == failover_policy()
        assert FailoverPolicy.objects.count() == 1

    def test_a_second_is_refused(self) -> None:
        failover_policy()
        assert "one failover policy" in str(faults_of(FailoverPolicy()))
        for key in (1, 2):
            with pytest.raises(IntegrityError), transaction.atomic():
                FailoverPolicy(pk=key).save(force_insert=True)
        with pytest.raises(IntegrityError), transaction.atomic():
            FailoverPolicy().save()

    def test_the_one_is_changed(self) -> None:
        assert faults_of(failover_policy(), enabled=False, pinned=True) == {}


class TestSecret:
    def test_it_is_stored_or_referred_to(self) -> None:
        secret = Secret(name="key")
        assert "a reference to where it is kept" in str(faults_of(secret))
        secret.set_text("sk-text-0123456789")
        assert faults_of(secret) == {}
        secret.set_reference("env:SOME_KEY")
        assert faults_of(secret) == {}
        assert (secret.ciphertext, secret.last_four) == ("", "")
        secret.set_text("sk-text-0123456789")
        assert (secret.reference, secret.last_four) == ("", "6789")

    def test_never_both(self) -> None:
        secret = make_secret()
        secret.reference = "env:SOME_KEY"
        assert faults_of(secret)
        with pytest.raises(IntegrityError), transaction.atomic():
            secret.save()
