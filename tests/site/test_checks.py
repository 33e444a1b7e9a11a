"""Operators' mistakes, each with an id and a hint."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks

from palyra_site import checks
from palyra_site.configuration import layers

SERVED = "https://palyra.example"


@pytest.fixture
def given(settings: Any) -> Callable[..., None]:
    """Change settings, and the configuration behind them."""

    def change(*, configuration: dict[str, Any] | None = None, **changes: Any) -> None:
        settings.CONFIGURATION = replace(settings.CONFIGURATION, **(configuration or {}))
        for name, value in changes.items():
            setattr(settings, name, value)

    return change


def only(messages: list[CheckMessage]) -> CheckMessage:
    (message,) = messages
    assert message.hint
    return message


def test_the_defaults_are_without_fault() -> None:
    for check in checks.ALWAYS:
        assert check() == []


def test_all_are_registered() -> None:
    assert [str(one.id) for one in run_checks() if str(one.id).startswith("palyra.")] == []
    ids = {str(one.id) for one in run_checks(include_deployment_checks=True)}
    # Django's own, to show that those for a deployment run, and none of ours for this machine.
    assert any(one.startswith("security.") for one in ids)


def test_every_check_is_reached_through_django(given: Any) -> None:
    given(
        configuration={"layers": layers({"PALYRA_PROT": "81"})},
        DEBUG=True,
        ALLOWED_HOSTS=["*"],
        PALYRA_PUBLIC_URL="http://palyra.example",
        PALYRA_VAULT_KEY="broken",
    )
    found = {str(one.id) for one in run_checks(include_deployment_checks=True)}
    expected = {"palyra.E001", "palyra.W001", "palyra.W003", "palyra.W004", "palyra.W005"}
    assert expected <= found


def test_a_vault_key_that_is_none(given: Any) -> None:
    given(PALYRA_VAULT_KEY="broken")
    message = only(checks.check_vault_key())
    assert message.id == "palyra.E001"
    assert "broken" not in message.msg


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PALYRA_PROT", "Did you mean PALYRA_PORT?"),
        ("PALYRA_VAULT_KEYS", "Did you mean PALYRA_VAULT_KEY?"),
        ("PALYRA_XYZZY_QUUX", "Every setting is described in .env.example."),
    ],
)
def test_a_name_that_nothing_reads(name: str, hint: str, given: Any) -> None:
    given(configuration={"layers": layers({"PALYRA_ENV_FILE": "/dev/null", name: "81"})})
    message = only(checks.check_names())
    assert (message.id, message.hint) == ("palyra.W001", hint)
    assert message.msg.startswith(name)


def test_a_key_file_that_others_may_read(given: Any, data_dir: Path) -> None:
    given(DATA_DIR=data_dir)
    (data_dir / "secret.key").write_text("x")
    (data_dir / "secret.key").chmod(0o600)
    (data_dir / "vault.key").write_text("x")
    (data_dir / "vault.key").chmod(0o640)
    message = only(checks.check_key_files())
    assert message.id == "palyra.W002"
    assert message.hint == f"Run: chmod 600 {data_dir / 'vault.key'}"


@pytest.mark.parametrize(
    ("host", "public_url", "warned"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", False),
        ("::1", "http://[::1]:8000", False),
        ("0.0.0.0", "http://127.0.0.1:8000", True),
        ("127.0.0.1", "http://palyra.example", True),
    ],
)
def test_what_matters_only_beyond_this_machine(
    given: Any, host: str, public_url: str, warned: bool
) -> None:
    given(
        DEBUG=True,
        ALLOWED_HOSTS=["*"],
        PALYRA_PUBLIC_URL=public_url,
        configuration={"host": host},
    )
    for check in (checks.check_debug, checks.check_transport, checks.check_allowed_hosts):
        assert bool(check()) is warned


def test_a_deployment_in_good_order(given: Any) -> None:
    given(
        ALLOWED_HOSTS=["palyra.example"],
        PALYRA_PUBLIC_URL=SERVED,
        configuration={"secret_key": "s" * 40, "vault_key": "v"},
    )
    for check in (*checks.WHERE_DEPLOYED, checks.check_debug):
        assert check() == []


def test_the_hint_for_names_is_the_line_to_write(given: Any) -> None:
    given(ALLOWED_HOSTS=["*"], PALYRA_PUBLIC_URL=SERVED)
    hint = only(checks.check_allowed_hosts()).hint
    assert hint == "Set PALYRA_ALLOWED_HOSTS=palyra.example"


@pytest.mark.parametrize(
    ("engine", "secret_key", "warned"),
    [
        ("django.db.backends.sqlite3", "", False),
        ("django.db.backends.postgresql", "", True),
        ("django.db.backends.postgresql", "s" * 40, False),
    ],
)
def test_keys_that_other_machines_do_not_have(
    given: Any, engine: str, secret_key: str, warned: bool
) -> None:
    given(
        configuration={
            "secret_key": secret_key,
            "vault_key": secret_key,
            "database": {"ENGINE": engine},
        }
    )
    assert bool(checks.check_shared_keys()) is warned
