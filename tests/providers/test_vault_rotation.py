"""Rotating the vault's key: everything stays readable, wherever the key is kept."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django import Settings

from providers import keyfile, registry, vault, vault_rotation
from providers.management.commands import vault as vault_command
from providers.models import Credential, Provider, Secret
from providers.vault_rotation import (
    NothingToRotate,
    RotationUnderWay,
    may_be_shared,
    rotate,
    status,
)
from providers.versioned import current_version
from tests.support.factories import make_credential, make_model, make_remote, make_secret

# Where the database may be shared, the old keys stay in the file: it is not written a second time.
LAST_WRITE = [] if may_be_shared() else ["last write"]
TEXTS = [f"sk-secret-number-{number}" for number in range(3)]


def texts() -> list[str]:
    """What a process started now would read."""
    vault._found.clear()
    rows = Secret.objects.exclude(ciphertext="").order_by("name")
    return [vault.decrypt(one.ciphertext).text for one in rows]


@pytest.fixture
def path(settings: Settings, data_dir: Path, db: None) -> Path:
    """Palyra's own key file, and three secrets under its key."""
    settings.PALYRA_VAULT_KEY = ""
    settings.PALYRA_VAULT_KEY_PATH = data_dir / "vault.key"
    for number, text in enumerate(TEXTS):
        make_secret(text, name=f"key-{number}")
    return data_dir / "vault.key"


def run(*words: str, **options: Any) -> Any:
    """What the command answers in JSON."""
    out = StringIO()
    call_command("vault", *words, "--json", stdout=out, **options)
    return json.loads(out.getvalue())


class TestOwnFile:
    def test_all_is_under_a_fresh_key_and_the_old_one_is_gone(self, path: Path) -> None:
        old, version = path.read_text().strip(), current_version()
        before = {one.pk: one.updated_at for one in Secret.objects.all()}
        done = rotate()
        new, *kept = path.read_text().strip().split(",")
        assert kept == ([old] if may_be_shared() else [])
        assert (done.rotated, done.unreadable, done.own_file) == (3, (), True)
        assert done.fingerprint == vault.fingerprint(new)
        for secret in Secret.objects.all():
            assert vault.key_of(secret.ciphertext, (new,)) == new
            assert secret.updated_at == before[secret.pk]
        assert texts() == TEXTS
        assert current_version() > version

    def test_a_running_process_reads_on(self, path: Path) -> None:
        provider = make_remote()
        make_model(provider=provider)
        make_credential(provider, secret=Secret.objects.get(name="key-0"))
        assert vault.keys()
        # Another process would not tell this one; here, what it remembers is what it had before.
        known = dict(vault._found)
        rotate()
        vault._found.clear()
        vault._found.update(known)
        (credential,) = registry.load().models[0].provider.credentials
        assert credential.secret == vault.SecretText(TEXTS[0])

    def test_a_reference_is_left_alone(self, path: Path) -> None:
        secret = Secret(name="elsewhere")
        secret.set_reference("env:SOMEWHERE")
        secret.save()
        assert rotate().rotated == 3
        secret.refresh_from_db()
        assert (secret.reference, secret.ciphertext) == ("env:SOMEWHERE", "")
        assert status().referred == 1

    def test_one_that_cannot_be_read_is_named_and_left_as_it_is(self, path: Path) -> None:
        Secret.objects.filter(name="key-1").update(ciphertext="gAAAAAbroken")
        done = rotate()
        assert (done.rotated, done.unreadable) == (2, ("key-1",))
        assert Secret.objects.get(name="key-1").ciphertext == "gAAAAAbroken"

    @pytest.mark.parametrize("step", ["first write", "transaction", *LAST_WRITE])
    def test_a_failure_at_any_step_leaves_all_readable(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        old = path.read_text().strip()
        writes: list[str] = []
        replace = keyfile.replace

        def failing(where: Path, text: str) -> None:
            writes.append(text)
            if (step, len(writes)) in {("first write", 1), ("last write", 2)}:
                raise OSError(28, "No space left on device")
            replace(where, text)

        def broken(ciphertext: str) -> str:
            if step == "transaction" and ciphertext == last:
                raise RuntimeError("in the middle")
            return under_first_key(ciphertext)

        last, under_first_key = Secret.objects.get(name="key-2").ciphertext, vault.under_first_key
        monkeypatch.setattr(keyfile, "replace", failing)
        monkeypatch.setattr(vault, "under_first_key", broken)
        with pytest.raises((OSError, RuntimeError)):
            rotate()
        assert texts() == TEXTS
        assert (path.read_text().strip() == old) == (step == "first write")
        assert [one.name for one in path.parent.iterdir() if "vault.key." in one.name] == []

        monkeypatch.undo()
        # As its fixture had it.
        assert rotate().rotated == 3
        assert texts() == TEXTS
        assert ("," in path.read_text()) is may_be_shared()

    def test_what_another_machine_stores_with_its_old_key_is_not_lost(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for module in (vault_rotation, vault_command):
            monkeypatch.setattr(module, "may_be_shared", lambda: True)
        old = path.read_text().strip()
        rotate()
        # It has a copy of the old file, and stores a secret before it is given the new one.
        Secret.objects.filter(name="key-0").update(
            ciphertext=vault._cipher(old).encrypt(b"of another machine").decode()
        )
        assert texts() == ["of another machine", *TEXTS[1:]]
        assert "still holds those before" in run("rotate")["next"]
        assert texts() == ["of another machine", *TEXTS[1:]]

    def test_two_do_not_rotate_at_once(self, path: Path) -> None:
        with vault_rotation._alone(path), pytest.raises(RotationUnderWay):
            rotate()
        rotate()

    def test_a_missing_file_is_said(self, path: Path) -> None:
        path.unlink()
        with pytest.raises(CommandError, match="is missing"):
            run("rotate")
        with pytest.raises(CommandError, match="is missing"):
            run("status")


class TestEnvironment:
    @pytest.fixture
    def given(self, settings: Settings, db: None) -> tuple[str, str]:
        """A new key in front of the one that three secrets are under."""
        old, new = vault.new_key(), vault.new_key()
        settings.PALYRA_VAULT_KEY = old
        for number, text in enumerate(TEXTS):
            make_secret(text, name=f"key-{number}")
        settings.PALYRA_VAULT_KEY = f"{new},{old}"
        return new, old

    def test_all_comes_under_the_first_and_the_next_step_is_said(
        self, given: tuple[str, str], settings: Settings
    ) -> None:
        new, old = (vault.fingerprint(key) for key in given)
        assert run("status")["keys"] == [
            {"fingerprint": new, "secrets": 0},
            {"fingerprint": old, "secrets": 3},
        ]
        answer = run("rotate")
        assert (answer["rotated"], answer["fingerprint"]) == (3, new)
        assert "take the other keys out of PALYRA_VAULT_KEY" in answer["next"]
        assert run("status")["keys"][0] == {"fingerprint": new, "secrets": 3}
        settings.PALYRA_VAULT_KEY = given[0]
        assert texts() == TEXTS

    def test_again_changes_nothing(self, given: tuple[str, str]) -> None:
        rotate()
        before = list(Secret.objects.values())
        assert rotate().rotated == 0
        assert list(Secret.objects.values()) == before

    def test_one_key_is_none_to_go_over_to(self, settings: Settings, db: None) -> None:
        settings.PALYRA_VAULT_KEY = vault.new_key()
        with pytest.raises(NothingToRotate, match="Put a new one in front of it"):
            rotate()

    def test_no_key_is_shown(self, given: tuple[str, str], capsys: Any) -> None:
        for words in (("status",), ("rotate",), ("status", "--json"), ("rotate", "--json")):
            call_command("vault", *words)
        said = capsys.readouterr()
        for key in (*given, *TEXTS):
            assert key not in said.out + said.err


class TestForget:
    @pytest.fixture
    def lost(self, settings: Settings, db: None) -> Provider:
        """A provider whose two secrets are lost, one that has another, and one that is well."""
        settings.PALYRA_VAULT_KEY = vault.new_key()
        bare, half = make_remote(name="bare"), make_remote(name="half")
        make_credential(bare)
        make_credential(bare)
        make_credential(half)
        settings.PALYRA_VAULT_KEY = vault.new_key()
        make_credential(half)
        make_credential(make_remote(name="well"))
        return bare

    def test_it_asks_first(self, lost: Provider) -> None:
        with pytest.raises(CommandError, match=r"would delete 3 secrets .* again with --yes"):
            run("forget")
        assert Secret.objects.count() == 5

    def test_only_what_cannot_be_read_goes(self, lost: Provider) -> None:
        assert len(run("forget", "--yes")["forgotten"]) == 3
        assert Secret.objects.count() == Credential.objects.count() == 2
        enabled = dict(Provider.objects.values_list("name", "enabled"))
        assert enabled == {"bare": False, "half": True, "well": True}
        assert status().unreadable == ()
        assert run("forget") == {"forgotten": []}
