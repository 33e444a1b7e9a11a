"""Every setting: what it is when nothing is given, what is taken, and what is refused and how."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import certifi
import pytest
from cryptography.fernet import Fernet

from palyra_site import configuration
from palyra_site.configuration import (
    RETENTION,
    Configuration,
    ConfigurationError,
    local_url,
    names,
    read,
)

# Addresses of databases are read here, and none is opened.
pytestmark = pytest.mark.any_database
VAULT_KEY = Fernet.generate_key().decode()
OTHER_KEY = Fernet.generate_key().decode()
SECRET_KEY = "s" * 32
# (variable, what is given, the field, what it becomes)
TAKEN: list[tuple[str, str, str, Any]] = [
    ("PALYRA_HOST", "0.0.0.0", "host", "0.0.0.0"),
    ("PALYRA_HOST", "::1", "host", "::1"),
    ("PALYRA_PORT", "65535", "port", 65535),
    ("PALYRA_PORT", " 80 ", "port", 80),
    ("PALYRA_PORT", "", "port", 8000),
    ("PALYRA_PUBLIC_URL", "https://palyra.example/", "public_url", "https://palyra.example"),
    ("PALYRA_PUBLIC_URL", "http://[::1]:81", "public_url", "http://[::1]:81"),
    ("REDIS_URL", "redis://:secret@cache:6379/1", "redis_url", "redis://:secret@cache:6379/1"),
    ("REDIS_URL", "rediss://cache", "redis_url", "rediss://cache"),
    ("REDIS_URL", "unix:///run/redis.sock", "redis_url", "unix:///run/redis.sock"),
    ("PALYRA_EMAIL_URL", "", "email", {}),
    ("PALYRA_EMAIL_FROM", "palyra@example.com", "email_from", "palyra@example.com"),
    ("PALYRA_SECRET_KEY", SECRET_KEY, "secret_key", SECRET_KEY),
    ("PALYRA_VAULT_KEY", VAULT_KEY, "vault_key", VAULT_KEY),
    ("PALYRA_VAULT_KEY", f" {VAULT_KEY}, {OTHER_KEY},", "vault_key", f"{VAULT_KEY},{OTHER_KEY}"),
    ("PALYRA_DEBUG", "Yes", "debug", True),
    ("PALYRA_DEBUG", "off", "debug", False),
    ("PALYRA_LOG_LEVEL", "warning", "log_level", "WARNING"),
    (
        "PALYRA_ALLOWED_HOSTS",
        "a.example, .b.example,",
        "allowed_hosts",
        ("a.example", ".b.example", "127.0.0.1", "localhost", "[::1]"),
    ),
    (
        "PALYRA_PUBLIC_URL",
        "https://palyra.example",
        "allowed_hosts",
        ("palyra.example", "localhost", "127.0.0.1", "[::1]"),
    ),
    ("PALYRA_TRUSTED_PROXIES", "10.0.0.0/8, ::1", "trusted_proxies", ("10.0.0.0/8", "::1")),
    ("PALYRA_SESSION_HOURS", "8", "session_hours", 8),
    ("PALYRA_REQUIRE_TWO_STEP", "Administrators", "require_two_step", "administrators"),
    ("PALYRA_OIDC_NAME", "single sign-on", "oidc", None),
    ("PALYRA_WORKERS", "64", "worker_count", 64),
    ("PALYRA_REQUEST_BODY_LIMIT", "1024", "request_body_limit", 1024),
    ("PALYRA_OWNER_TIMEOUT", "2.5", "owner_timeout", 2.5),
    ("PALYRA_RETENTION_RUNS_DAYS", "0", "retention", {**RETENTION, "runs": 0}),
    ("PALYRA_ENVIRONMENT_PROXIES", "yes", "environment_proxies", True),
    ("PALYRA_CA_FILE", "", "ca_file", ""),
    ("PALYRA_CA_FILE", certifi.where(), "ca_file", str(Path(certifi.where()).resolve())),
]
REFUSED = [
    ("PALYRA_HOST", "http://localhost"),
    ("PALYRA_HOST", "a b"),
    ("PALYRA_PORT", "0"),
    ("PALYRA_PORT", "65536"),
    ("PALYRA_PORT", "eighty"),
    ("PALYRA_PORT", "80.5"),
    ("PALYRA_PUBLIC_URL", "palyra.example"),
    ("PALYRA_PUBLIC_URL", "ftp://palyra.example"),
    ("PALYRA_PUBLIC_URL", "https://palyra.example/below"),
    ("PALYRA_PUBLIC_URL", "https://palyra.example:port"),
    ("PALYRA_PUBLIC_URL", "https://"),
    ("DATABASE_URL", "mysql://host/name"),
    ("DATABASE_URL", "postgres://host:port/name"),
    ("DATABASE_URL", "postgres://host"),
    ("DATABASE_URL", "sqlite://:memory:"),
    ("DATABASE_URL", "sqlite://"),
    ("PALYRA_EMAIL_URL", "http://mail.example"),
    ("PALYRA_EMAIL_URL", "smtp://"),
    ("PALYRA_EMAIL_FROM", "nobody"),
    ("REDIS_URL", "http://cache"),
    ("REDIS_URL", "redis://"),
    ("REDIS_URL", "redis://cache:port"),
    ("REDIS_URL", "unix://"),
    ("PALYRA_SECRET_KEY", "short"),
    ("PALYRA_VAULT_KEY", "not a key"),
    ("PALYRA_VAULT_KEY", f"{VAULT_KEY},not a key"),
    ("PALYRA_VAULT_KEY", ","),
    ("PALYRA_VAULT_KEY", "clé"),
    ("PALYRA_DEBUG", "perhaps"),
    ("PALYRA_LOG_LEVEL", "LOUD"),
    ("PALYRA_ALLOWED_HOSTS", ","),
    ("PALYRA_ALLOWED_HOSTS", "https://a.example"),
    ("PALYRA_TRUSTED_PROXIES", "proxy.example"),
    ("PALYRA_TRUSTED_PROXIES", "10.0.0.1/8"),
    ("PALYRA_SESSION_HOURS", "0"),
    ("PALYRA_SESSION_HOURS", "2161"),
    ("PALYRA_REQUIRE_TWO_STEP", "yes"),
    ("PALYRA_OIDC_ISSUER", "http://login.example"),
    ("PALYRA_OIDC_ISSUER", "https://login.example"),
    ("PALYRA_OIDC_CLIENT_ID", "palyra"),
    ("PALYRA_OIDC_CLIENT_SECRET", "hunter2"),
    ("PALYRA_OIDC_NAME", "x" * 61),
    ("PALYRA_OIDC_NAME", "Example"),
    ("PALYRA_OIDC_DOMAINS", "example"),
    ("PALYRA_OIDC_DOMAINS", "example.com"),
    ("PALYRA_OIDC_DOMAINS", "someone@example.com"),
    ("PALYRA_WORKERS", "0"),
    ("PALYRA_WORKERS", "65"),
    ("PALYRA_WORKERS", "two"),
    ("PALYRA_REQUEST_BODY_LIMIT", "1023"),
    ("PALYRA_REQUEST_BODY_LIMIT", "10MB"),
    ("PALYRA_OWNER_TIMEOUT", "1"),
    *((f"PALYRA_RETENTION_{name.upper()}_DAYS", "-1") for name in RETENTION),
    ("PALYRA_OWNER_TIMEOUT", "nan"),
    ("PALYRA_OWNER_TIMEOUT", "inf"),
    ("PALYRA_ENVIRONMENT_PROXIES", "http://proxy:3128"),
    ("PALYRA_CA_FILE", "/nowhere/authority.pem"),
    ("PALYRA_CA_FILE", "/"),
    ("PALYRA_CA_FILE", __file__),
]
Read = Callable[..., Configuration]


@pytest.fixture
def settings_of(data_dir: Path) -> Read:
    """Read settings from nothing but what is given, and a data directory."""

    def read_these(**given: str) -> Configuration:
        return read({"PALYRA_DATA_DIR": str(data_dir), "PALYRA_ENV_FILE": "/dev/null", **given})

    return read_these


def faults_of(call: Callable[[], object]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        call()
    return caught.value.faults


def test_what_is_so_when_nothing_is_given(settings_of: Read, data_dir: Path) -> None:
    found = settings_of()
    assert found.data_dir == data_dir.resolve()
    assert (found.host, found.port) == ("127.0.0.1", 8000)
    assert found.public_url == found.local_url == "http://127.0.0.1:8000"
    assert found.database["ENGINE"] == "django.db.backends.sqlite3"
    assert found.database["NAME"] == str(data_dir.resolve() / "palyra.sqlite3")
    assert (found.redis_url, found.secret_key, found.vault_key) == ("", "", "")
    assert (found.debug, found.log_level) == (False, "INFO")
    assert found.allowed_hosts == ("127.0.0.1", "localhost", "[::1]")
    assert (found.session_hours, found.require_two_step, found.oidc) == (24, "nobody", None)
    assert (found.worker_count, found.request_body_limit) == (2, 10_485_760)
    assert found.owner_timeout == 15
    assert (found.environment_proxies, found.ca_file) == (False, "")


@pytest.mark.parametrize(("name", "given", "field", "becomes"), TAKEN)
def test_what_is_taken(
    settings_of: Read, name: str, given: str, field: str, becomes: object
) -> None:
    assert getattr(settings_of(**{name: given}), field) == becomes


def test_an_identity_provider_takes_three_settings(settings_of: Read) -> None:
    found = settings_of(
        PALYRA_OIDC_ISSUER="https://login.example/realm/",
        PALYRA_OIDC_CLIENT_ID="palyra",
        PALYRA_OIDC_CLIENT_SECRET="hunter2",
        PALYRA_OIDC_DOMAINS="Example.com, @other.example",
    ).oidc
    assert found is not None
    assert (found.issuer, found.name) == ("https://login.example/realm", "single sign-on")
    assert found.domains == ("example.com", "other.example")
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(("name", "given"), REFUSED)
def test_what_is_refused_is_one_line_naming_the_variable(
    settings_of: Read, name: str, given: str
) -> None:
    (fault,) = faults_of(lambda: settings_of(**{name: given}))
    assert fault.startswith(f"{name}: ")
    assert "\n" not in fault


def test_every_variable_is_tried_above() -> None:
    elsewhere = {"PALYRA_ENV_FILE", "PALYRA_DATA_DIR"}
    assert {name for name, _ in REFUSED} == set(names()) - elsewhere


def test_all_faults_are_said_at_once(settings_of: Read) -> None:
    faults = faults_of(
        lambda: settings_of(PALYRA_PORT="x", DATABASE_URL="y", PALYRA_DEBUG="z", REDIS_URL="w")
    )
    named = [fault.partition(":")[0] for fault in faults]
    assert sorted(named) == ["DATABASE_URL", "PALYRA_DEBUG", "PALYRA_PORT", "REDIS_URL"]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("DATABASE_URL", "mysql://someone:hunter2@host/name"),
        ("REDIS_URL", "http://:hunter2@host"),
        ("PALYRA_SECRET_KEY", "hunter2"),
        ("PALYRA_VAULT_KEY", "hunter2"),
    ],
)
def test_a_fault_does_not_repeat_a_credential(settings_of: Read, name: str, given: str) -> None:
    (fault,) = faults_of(lambda: settings_of(**{name: given}))
    assert "hunter2" not in fault


def test_the_configuration_does_not_show_credentials(settings_of: Read) -> None:
    found = settings_of(
        DATABASE_URL="postgres://u:hunter2@h/d",
        REDIS_URL="redis://:hunter2@h",
        PALYRA_SECRET_KEY="hunter2" * 5,
        PALYRA_VAULT_KEY=VAULT_KEY,
    )
    assert found.database["PASSWORD"] == "hunter2"
    assert "hunter2" not in repr(found)
    assert VAULT_KEY not in repr(found)


def test_a_relative_database_file_counts_from_where_it_is_started(
    settings_of: Read, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data_dir)
    found = settings_of(DATABASE_URL="sqlite:///here.sqlite3")
    assert found.database["NAME"] == str(data_dir.resolve() / "here.sqlite3")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:81"),
        ("0.0.0.0", "http://127.0.0.1:81"),
        ("::", "http://127.0.0.1:81"),
        ("::1", "http://[::1]:81"),
        ("palyra.example", "http://palyra.example:81"),
    ],
)
def test_where_the_server_is_found_on_this_machine(host: str, address: str) -> None:
    assert local_url(host, 81) == address


def test_a_data_directory_that_is_no_directory(settings_of: Read, data_dir: Path) -> None:
    file = data_dir / "file"
    file.touch()
    for path in (file, file / "below"):
        (fault,) = faults_of(partial(settings_of, PALYRA_DATA_DIR=str(path)))
        assert fault.startswith("PALYRA_DATA_DIR: ")
        assert f"{file.resolve()} is not a directory" in fault


def test_a_data_directory_that_may_not_be_written(
    settings_of: Read, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so what the system would say to an ordinary user is said for it.
    monkeypatch.setattr("palyra_site.configuration.values.os.access", lambda path, mode: False)
    (fault,) = faults_of(lambda: settings_of(PALYRA_DATA_DIR=str(data_dir / "new" / "deep")))
    assert fault.startswith("PALYRA_DATA_DIR: ")
    assert f"{data_dir.resolve()} may not be written by this user" in fault


def test_reading_makes_nothing(settings_of: Read, data_dir: Path) -> None:
    found = settings_of(PALYRA_DATA_DIR=str(data_dir / "new"))
    assert not found.data_dir.exists()
    assert list(data_dir.iterdir()) == []


class TestFiles:
    """`NAME_FILE` gives a value in a file, as container secrets do."""

    def test_the_value_is_the_text_of_the_file(self, settings_of: Read, data_dir: Path) -> None:
        file = data_dir / "secret"
        file.write_text(f"{SECRET_KEY}\n")
        assert settings_of(PALYRA_SECRET_KEY_FILE=str(file)).secret_key == SECRET_KEY

    def test_a_missing_file_is_a_fault(self, settings_of: Read, data_dir: Path) -> None:
        (fault,) = faults_of(lambda: settings_of(PALYRA_PORT_FILE=str(data_dir / "none")))
        assert fault.startswith("PALYRA_PORT_FILE names a file that cannot be read")

    def test_a_file_that_is_not_text_is_a_fault(self, settings_of: Read, data_dir: Path) -> None:
        file = data_dir / "noise"
        file.write_bytes(b"\xff\xfe\x00")
        (fault,) = faults_of(lambda: settings_of(PALYRA_SECRET_KEY_FILE=str(file)))
        assert fault.startswith("PALYRA_SECRET_KEY_FILE names a file that cannot be read")

    def test_both_forms_at_once_are_a_fault(self, settings_of: Read, data_dir: Path) -> None:
        file = data_dir / "port"
        file.write_text("81")
        (fault,) = faults_of(lambda: settings_of(PALYRA_PORT="82", PALYRA_PORT_FILE=str(file)))
        assert fault == "PALYRA_PORT and PALYRA_PORT_FILE are both given: keep one of them."


class TestEnvFile:
    """`.env`, or the file that PALYRA_ENV_FILE names, stands below the environment."""

    @pytest.fixture
    def file(self, data_dir: Path) -> Path:
        return data_dir / "settings.env"

    def given(self, settings_of: Read, file: Path, text: str, **more: str) -> Configuration:
        file.write_text(text, encoding="utf-8")
        return settings_of(PALYRA_ENV_FILE=str(file), **more)

    def test_its_lines_are_settings(self, settings_of: Read, file: Path) -> None:
        text = "# a comment\n\n  # another\nexport PALYRA_PORT=81\nPALYRA_LOG_LEVEL='ERROR'\n"
        found = self.given(settings_of, file, text)
        assert (found.port, found.log_level) == (81, "ERROR")

    def test_the_environment_outranks_it(self, settings_of: Read, file: Path) -> None:
        assert self.given(settings_of, file, "PALYRA_PORT=81", PALYRA_PORT="82").port == 82

    def test_the_environment_outranks_its_file_form_too(
        self, settings_of: Read, file: Path, data_dir: Path
    ) -> None:
        (data_dir / "port").write_text("81")
        text = f"PALYRA_PORT_FILE={data_dir / 'port'}"
        assert self.given(settings_of, file, text).port == 81
        assert self.given(settings_of, file, text, PALYRA_PORT="82").port == 82

    def test_a_password_may_hold_any_character(self, settings_of: Read, file: Path) -> None:
        found = self.given(settings_of, file, "DATABASE_URL=postgres://u:a%23b$c@h/d")
        assert found.database["PASSWORD"] == "a#b$c"

    def test_a_line_that_is_no_setting_is_named_and_not_repeated(
        self, settings_of: Read, file: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        text = "PALYRA_PORT=81\nhunter2\nPALYRA_DEBUG yes\n"
        faults = faults_of(lambda: self.given(settings_of, file, text))
        assert [fault.split(" of ")[0] for fault in faults] == [
            "PALYRA_ENV_FILE: line 2",
            "PALYRA_ENV_FILE: line 3",
        ]
        assert "hunter2" not in "".join(faults) + caplog.text

    def test_one_that_was_named_must_be_there(self, settings_of: Read, file: Path) -> None:
        (fault,) = faults_of(lambda: settings_of(PALYRA_ENV_FILE=str(file)))
        assert fault == f"PALYRA_ENV_FILE: {file} cannot be read."

    def test_one_that_was_not_named_may_be_missing(
        self, data_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("palyra_site.configuration.sources.HOME", data_dir)
        assert read({"PALYRA_DATA_DIR": str(data_dir)}).port == 8000
        (data_dir / ".env").write_text("PALYRA_PORT=81")
        assert read({"PALYRA_DATA_DIR": str(data_dir)}).port == 81


def test_names_that_nothing_reads() -> None:
    given = {
        "PALYRA_PROT": "81",
        "PALYRA_PORT": "81",
        "PALYRA_VAULT_KEY_FILE": "/run/secrets/vault",
        "PALYRA_ROLE": "web",
        "PALYRA_KEY": "ply_…",
        "PATH": "/bin",
        "PALYRA_ENV_FILE": "/dev/null",
    }
    assert configuration.unknown_names(configuration.layers(given)) == ("PALYRA_PROT",)


def test_where_palyras_own_secrets_are(data_dir: Path) -> None:
    (data_dir / "env").write_text(f"PALYRA_VAULT_KEY_FILE={data_dir}/vault\n")
    (data_dir / "vault").write_text(VAULT_KEY)
    (data_dir / "secret").write_text(SECRET_KEY)
    found = read(
        {
            "PALYRA_ENV_FILE": f"{data_dir}/env",
            "PALYRA_SECRET_KEY_FILE": f"{data_dir}/secret",
            "DATABASE_URL": f"sqlite:///{data_dir}/palyra.sqlite3",
        }
    )
    expected = ("env", "secret", "vault", "palyra.sqlite3")
    assert sorted(found.own_files) == sorted(data_dir / name for name in expected)
