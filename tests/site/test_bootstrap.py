"""What an empty Palyra is given, once."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth import authenticate, get_user_model

from governance import keys
from governance.models import ApiKey, BudgetPolicy, Membership, Price, Team
from palyra_site.bootstrap import FirstUse, new_password, prepare_first_use
from providers.models import Provider, ProviderModel

pytestmark = pytest.mark.django_db
MADE = (get_user_model(), Team, Membership, ApiKey, Provider, BudgetPolicy)
# One for each role.
OF_EACH_ROLE = (ProviderModel, Price)


def counts() -> list[int]:
    return [model._default_manager.count() for model in (*MADE, *OF_EACH_ROLE)]


@pytest.fixture
def first_use() -> FirstUse:
    made = prepare_first_use()
    assert made is not None
    return made


def test_the_administrator_signs_in_and_manages_the_team(first_use: FirstUse) -> None:
    administrator = authenticate(username=first_use.username, password=first_use.password)
    assert administrator is not None
    assert administrator.is_superuser
    membership = Membership.objects.get(user=administrator)
    assert (membership.team.slug, membership.role) == ("demo", "manager")


def test_the_key_is_the_teams_and_only_its_hash_is_kept(first_use: FirstUse) -> None:
    parsed = keys.parse(first_use.key)
    assert parsed is not None
    record = ApiKey.objects.get(public_id=parsed.public_id)
    assert keys.matches(parsed.secret, record.secret_hash)
    assert record.team.slug == "demo"
    stored = [str(value) for row in ApiKey.objects.values() for value in row.values()]
    assert parsed.secret not in "".join(stored)


def test_each_role_has_a_default_that_is_priced(first_use: FirstUse) -> None:
    models = ProviderModel.objects.filter(is_default=True, enabled=True).order_by("name")
    assert [(model.name, model.role) for model in models] == [
        ("demo-chat", "chat"),
        ("demo-embeddings", "embeddings"),
        ("demo-transcription", "audio_transcription"),
    ]
    assert {model.provider.kind for model in models} == {"deterministic"}
    price = Price.objects.get(model=models[0])
    assert (price.uncached_input, price.output) == (500_000_000, 1_500_000_000)
    assert Price.objects.filter(uncached_input__gt=0).count() == 3


def test_the_provider_throttles_nobody(first_use: FirstUse) -> None:
    provider = Provider.objects.get()
    assert (provider.concurrency_limit, provider.credential_concurrency_limit) == (None, None)


def test_the_team_has_a_monthly_budget(first_use: FirstUse) -> None:
    policy = BudgetPolicy.objects.get()
    assert policy.team == Team.objects.get(slug="demo")
    assert (policy.scope, policy.metric, policy.interval) == ("team", "cost", "month")
    assert (policy.soft_limit, policy.hard_limit) == (8_000_000_000, 10_000_000_000)


def test_once_is_enough(first_use: FirstUse) -> None:
    before = counts()
    assert before == [1] * len(MADE) + [3] * len(OF_EACH_ROLE)
    assert prepare_first_use() is None
    assert counts() == before


def test_what_an_operator_removed_stays_away(first_use: FirstUse) -> None:
    Provider.objects.all().delete()
    Team.objects.all().delete()
    assert prepare_first_use() is None
    assert not Team.objects.exists()


def test_an_installation_with_its_own_administrator_is_left_alone() -> None:
    get_user_model()._default_manager.create_superuser("someone", password="a long password")
    assert prepare_first_use() is None
    assert not any(counts()[1:])


def test_a_failure_on_the_way_stores_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("no key today")

    monkeypatch.setattr("governance.keys.create", fail)
    with pytest.raises(RuntimeError, match="no key today"):
        prepare_first_use()
    assert not any(counts())


def test_passwords_are_random_and_can_be_read_aloud() -> None:
    passwords = {new_password() for _ in range(200)}
    assert len(passwords) == 200
    assert all(
        re.fullmatch(r"[a-km-np-z2-9]{5}(-[a-km-np-z2-9]{5}){3}", word) for word in passwords
    )


def test_secrets_do_not_show_in_a_representation(first_use: FirstUse) -> None:
    assert first_use.password not in repr(first_use)
    assert first_use.key not in repr(first_use)
