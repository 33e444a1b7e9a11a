"""API keys: made once, shown once, proved by a hash, refused once revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone
from pytest_django import Settings

from governance import keys
from governance.keys import ParsedKey, parse
from governance.models import ApiKey, Team
from providers.versioned import current_version
from tests.support.factories import make_team

NOW = datetime(2026, 3, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("ply_abc_def", ParsedKey("abc", "def")),
        ("ply_abc_def_ghi", ParsedKey("abc", "def_ghi")),
        ("ply_abc_ÿ", ParsedKey("abc", "ÿ")),
        ("", None),
        ("ply", None),
        ("ply_", None),
        ("ply__", None),
        ("ply_abc", None),
        ("ply_abc_", None),
        ("ply__def", None),
        ("PLY_abc_def", None),
        ("sk-abc_def_ghi", None),
        (" ply_abc_def", None),
        ("_ply_abc_def", None),
    ],
)
def test_a_keys_text_has_two_halves(text: str, parsed: ParsedKey | None) -> None:
    assert parse(text) == parsed


def test_halves_do_not_print_the_secret() -> None:
    assert "def" not in repr(ParsedKey("abc", "def"))
    assert "def" not in str([ParsedKey("abc", "def")])


@pytest.fixture
def team(db: None) -> Team:
    return make_team()


def test_a_key_is_shown_once_and_only_its_hash_is_kept(team: Team) -> None:
    made = keys.create(team=team, name=" Nightly report ")
    parsed = parse(made.text)
    assert parsed is not None
    (stored,) = ApiKey.objects.values()
    assert parsed.secret not in str(stored)
    assert (stored["public_id"], stored["last_four"]) == (parsed.public_id, parsed.secret[-4:])
    assert (stored["name"], stored["team_id"]) == ("Nightly report", team.pk)
    assert stored["secret_hash"] not in {parsed.secret, made.text}
    assert len(stored["secret_hash"]) == 64
    assert len(bytes.fromhex(parsed.secret)) == 32
    for shown in (repr(made), str(made.record), made.record.shown):
        assert parsed.secret not in shown


def test_no_two_keys_are_alike(team: Team) -> None:
    texts = {keys.create(team=team, name="key").text for _ in range(20)}
    assert len(texts) == len({text.split("_")[1] for text in texts}) == 20


def test_only_the_secret_matches(team: Team) -> None:
    made, other = keys.create(team=team, name="key"), keys.create(team=team, name="other")
    parsed, others = parse(made.text), parse(other.text)
    assert parsed is not None
    assert others is not None
    assert keys.matches(parsed.secret, made.record.secret_hash)
    assert not keys.matches(others.secret, made.record.secret_hash)
    assert not keys.matches(parsed.secret[:-1], made.record.secret_hash)
    assert not keys.matches(made.record.secret_hash, made.record.secret_hash)
    assert not keys.matches("", made.record.secret_hash)


def test_a_hash_is_worth_nothing_without_the_installations_secret(settings: Settings) -> None:
    hashed = keys.secret_hash("abc")
    assert keys.secret_hash("abc") == hashed
    settings.SECRET_KEY = "another installation's"
    assert keys.secret_hash("abc") != hashed


def test_every_fault_is_told_at_once_and_nothing_is_stored(team: Team) -> None:
    with pytest.raises(ValidationError) as caught:
        keys.create(team=team, name="  ", expires_at=timezone.now() - timedelta(seconds=1))
    assert set(caught.value.message_dict) == {"name", "expires_at"}
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_a_name_must_be_one(team: Team, name: str) -> None:
    with pytest.raises(ValidationError) as caught:
        keys.create(team=team, name=name)
    assert set(caught.value.message_dict) == {"name"}


def test_a_key_may_expire_later(team: Team) -> None:
    tomorrow = timezone.now() + timedelta(days=1)
    assert keys.create(team=team, name="key", expires_at=tomorrow).record.expires_at == tomorrow


def test_a_key_is_revoked_once(team: Team) -> None:
    record = keys.create(team=team, name="key").record
    before = current_version()
    assert keys.revoke(record, now=NOW)
    assert current_version() > before
    assert not keys.revoke(record, now=NOW + timedelta(days=1))
    record.refresh_from_db()
    assert record.revoked_at == NOW


def test_revoking_one_leaves_the_others(team: Team) -> None:
    record = keys.create(team=team, name="key").record
    other = keys.create(team=team, name="other").record
    keys.revoke(record)
    other.refresh_from_db()
    assert other.revoked_at is None
