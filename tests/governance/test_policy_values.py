"""Whom a policy names: from what people write to what is stored, and back."""

from __future__ import annotations

from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from governance import keys
from governance.models import BudgetPolicy, Team
from governance.policy_values import read_value, written_value
from scheduling import jobs
from scheduling.models import CronJob
from tests.support.factories import make_model, make_provider, make_team

pytestmark = pytest.mark.django_db


@pytest.fixture
def blue() -> Team:
    return make_team(name="Blue")


def job_of(team: Team) -> CronJob:
    return jobs.create_job(
        team=team,
        name="Digest",
        prompt="Hi.",
        schedule_kind="every",
        every_seconds=3600,
        now=timezone.now(),
    )


def assert_read(scope: str, written: str, stored: str, team: Team | None = None) -> None:
    """Read as `stored`, and once more from how that is written, and from itself."""
    assert read_value(scope, team, written) == stored
    policy = BudgetPolicy(scope=scope, team=team, value=stored)
    assert read_value(scope, team, written_value(policy)) == stored
    assert read_value(scope, team, stored) == stored


def test_a_person_is_named_by_user_name_or_number() -> None:
    pat = User.objects.create_user("pat")
    assert_read("user", " pat ", str(pat.pk))
    digits = User.objects.create_user("0")
    assert_read("user", str(digits.pk), str(digits.pk))


def test_a_person_named_by_digits_is_nobody_else() -> None:
    pat = User.objects.create_user("pat")
    digits = User.objects.create_user(str(pat.pk))
    assert read_value("user", None, str(pat.pk)) == str(digits.pk)
    for person in (pat, digits):
        written = written_value(BudgetPolicy(scope="user", value=str(person.pk)))
        assert (written, read_value("user", None, written)) == (person.username, str(person.pk))


def test_a_session_is_the_teams_own(blue: Team) -> None:
    assert_read("session", "a:b", f"{blue.pk}:a:b", blue)


def test_a_key_is_named_by_its_public_part_or_number(blue: Team) -> None:
    new = keys.create(team=blue, name="one")
    for written in (new.record.public_id, f"ply_{new.record.public_id}_…{new.record.last_four}"):
        assert_read("api_key", written, str(new.record.pk), blue)


def test_a_job_a_provider_and_a_model_are_named_as_they_are(blue: Team) -> None:
    job = job_of(blue)
    assert_read("job", str(job.pk).upper(), str(job.pk), blue)
    assert_read("job", str(job.pk), str(job.pk))
    make_model(provider=make_provider(name="house"), name="org/llama:8b")
    assert_read("provider", "house", "house")
    assert_read("model", "house/org/llama:8b", "house/org/llama:8b")


@pytest.mark.parametrize("scope", ["user", "session", "api_key", "job", "provider", "model"])
def test_nobody_named_is_each(scope: str) -> None:
    assert_read(scope, "", "")


@pytest.mark.parametrize(
    ("scope", "written"),
    [
        ("user", "nobody"),
        ("user", "404"),
        ("user", "9" * 40),
        ("user", "²"),
        ("session", "x" * 129),
        ("api_key", "404"),
        ("api_key", "nothing"),
        ("job", "digest"),
        ("job", str(uuid4())),
        ("provider", "nowhere"),
        ("model", "house"),
        ("model", "house/"),
    ],
)
def test_what_is_not_there_is_refused_in_words(blue: Team, scope: str, written: str) -> None:
    make_provider(name="house")
    with pytest.raises(ValueError, match=r"\.$"):
        read_value(scope, blue, written)


def test_another_teams_key_and_job_are_refused(blue: Team) -> None:
    other = make_team()
    key, job = keys.create(team=other, name="one").record, job_of(other)
    with pytest.raises(ValueError, match="none of Blue's"):
        read_value("api_key", blue, key.public_id)
    with pytest.raises(ValueError, match="not one of Blue's"):
        read_value("job", blue, str(job.pk))
