"""Reads and checks every setting, all faults at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from environ.fileaware_mapping import FileAwareMapping

from palyra_site.configuration import values
from palyra_site.configuration.checked import (
    Configuration,
    ConfigurationError,
    SingleSignOn,
    local_url,
)
from palyra_site.configuration.reader import Reader
from palyra_site.configuration.sources import ENV_FILE, HOME, Layers, layers

# Days that things are kept if nothing else is said.
RETENTION = {
    "runs": 90,
    "short_windows": 7,
    "windows": 400,
    "deliveries": 30,
    "alerts": 180,
    "metrics": 90,
}
# What the button of the sign-in page says if nothing else is said.
PROVIDER_NAME = "single sign-on"
# Read elsewhere: by `up` and its children, by the tests, and by a person's own curl lines.
NOT_OURS = (
    "PALYRA_ROLE",
    "PALYRA_TEST_",
    "PALYRA_REQUIRE_BROWSER",
    "PALYRA_CHROMIUM",
    "PALYRA_KEY",
)


def read(environment: Mapping[str, str] | None = None) -> Configuration:
    """Check every setting in `environment` (the process's own by default) over those in `.env`.

    A name with `_FILE` behind it gives the path of a file that holds the value, as container
    secrets do. Raises `ConfigurationError` with a line for each setting that cannot be used.
    """
    given_at_start = layers(environment)
    given = given_at_start.given
    reader = Reader(FileAwareMapping(given, cache=False))
    configuration = _read(reader)
    faults = [*given_at_start.file.faults]
    faults += [
        f"{name} and {name}_FILE are both given: keep one of them."
        for name in reader.names
        if given.get(name) and given.get(f"{name}_FILE")
    ]
    if faults or reader.faults:
        raise ConfigurationError(*faults, *reader.faults)
    own_files = _own_files(configuration, given_at_start, reader.names)
    return replace(configuration, own_files=own_files, layers=given_at_start)


def _own_files(
    configuration: Configuration, given: Layers, read_names: Iterable[str]
) -> tuple[Path, ...]:
    """The files that Palyra's own secrets are in: settings, what they name, and the database."""
    variables = given.given
    named = [variables.get(f"{name}_FILE", "").strip() for name in read_names]
    files = [given.file.path, *(Path(name).expanduser() for name in named if name)]
    if configuration.database["ENGINE"].endswith("sqlite3"):
        files.append(Path(configuration.database["NAME"]))
    return tuple(files)


def names() -> tuple[str, ...]:
    """Every variable that is read."""
    return (ENV_FILE, *_read_nothing().names)


def defaults() -> dict[str, str]:
    """What each variable is if it is not given."""
    return _read_nothing().defaults


def _read_nothing() -> Reader:
    reader = Reader({})
    _read(reader)
    return reader


def unknown_names(given: Layers) -> tuple[str, ...]:
    """The PALYRA_ variables given that nothing reads: most likely misspelt."""
    known = {*names(), *(f"{name}_FILE" for name in names())}
    return tuple(
        sorted(
            name
            for name in given.given
            if name.startswith("PALYRA_") and name not in known and not name.startswith(NOT_OURS)
        )
    )


def _read(reader: Reader) -> Configuration:
    data_dir = Path(reader.text("PALYRA_DATA_DIR", str(HOME / "var"))).expanduser().resolve()
    if reason := values.unusable(data_dir):
        reader.faults.append(f"PALYRA_DATA_DIR: {data_dir} cannot hold Palyra's files: {reason}.")
    host = reader.parsed("PALYRA_HOST", "127.0.0.1", values.host, "a host name or an IP address")
    port = reader.parsed("PALYRA_PORT", "8000", values.port, "a whole number from 1 to 65535")
    public_url = reader.parsed(
        "PALYRA_PUBLIC_URL",
        "",
        values.public_url,
        "an http or https address without a path, such as https://palyra.example",
    ) or local_url(host, port)
    return Configuration(
        data_dir=data_dir,
        host=host,
        port=port,
        public_url=public_url,
        database=reader.parsed(
            "DATABASE_URL",
            f"sqlite:///{data_dir / 'palyra.sqlite3'}",
            values.database,
            "the address of a database, such as postgres://user:password@host/name or "
            "sqlite:////path/to/file",
        ),
        redis_url=reader.parsed(
            "REDIS_URL", "", values.redis, "an address such as redis://host:6379/0 or unix:///path"
        ),
        secret_key=reader.parsed(
            "PALYRA_SECRET_KEY",
            "",
            values.secret_key,
            f"a text of {values.SHORTEST_SECRET} characters or more",
        ),
        vault_key=reader.parsed(
            "PALYRA_VAULT_KEY",
            "",
            values.vault_key,
            "a vault key (32 bytes in URL-safe base64), or several with commas between",
        ),
        debug=reader.parsed("PALYRA_DEBUG", "no", values.boolean, "yes or no"),
        log_level=reader.parsed(
            "PALYRA_LOG_LEVEL", "INFO", values.log_level, "DEBUG, INFO, WARNING or ERROR"
        ),
        allowed_hosts=values.allowed_hosts(
            reader.parsed(
                "PALYRA_ALLOWED_HOSTS",
                "",
                values.host_names,
                "a list of host names with commas between",
            ),
            public_url,
        ),
        worker_count=reader.parsed(
            "PALYRA_WORKERS", "2", values.between(1, 64, int), "a whole number from 1 to 64"
        ),
        request_body_limit=reader.parsed(
            "PALYRA_REQUEST_BODY_LIMIT",
            str(10 * 1024 * 1024),
            values.between(1024, 1024**3, int),
            "a number of bytes from 1024 to 1073741824",
        ),
        owner_timeout=reader.parsed(
            "PALYRA_OWNER_TIMEOUT",
            "15",
            values.between(2.0, 3600.0, float),
            "a number of seconds from 2 to 3600",
        ),
        environment_proxies=reader.parsed(
            "PALYRA_ENVIRONMENT_PROXIES", "no", values.boolean, "yes or no"
        ),
        ca_file=reader.parsed(
            "PALYRA_CA_FILE", "", values.ca_file, "a file of certificates in PEM that can be read"
        ),
        email=reader.parsed(
            "PALYRA_EMAIL_URL",
            "",
            values.email,
            "the address of a mail server, such as smtp+tls://user:password@host:587",
        ),
        email_from=reader.parsed(
            "PALYRA_EMAIL_FROM", "palyra@localhost", values.email_from, "an e-mail address"
        ),
        retention=_retention(reader),
        trusted_proxies=reader.parsed(
            "PALYRA_TRUSTED_PROXIES",
            "127.0.0.1,::1",
            values.addresses,
            "a list of IP addresses or networks with commas between",
        ),
        session_hours=reader.parsed(
            "PALYRA_SESSION_HOURS",
            "24",
            values.between(1, 2160, int),
            "a number of hours from 1 to 2160",
        ),
        require_two_step=reader.parsed(
            "PALYRA_REQUIRE_TWO_STEP",
            "nobody",
            values.who_must,
            "nobody, administrators or everyone",
        ),
        oidc=_single_sign_on(reader),
    )


def _single_sign_on(reader: Reader) -> SingleSignOn | None:
    """The identity provider, if one is given; then its three parts must be."""
    issuer = reader.parsed(
        "PALYRA_OIDC_ISSUER",
        "",
        values.issuer,
        "the https address of an identity provider, such as https://login.example/realm",
    )
    client_id = reader.text("PALYRA_OIDC_CLIENT_ID")
    client_secret = reader.text("PALYRA_OIDC_CLIENT_SECRET")
    name = reader.parsed(
        "PALYRA_OIDC_NAME",
        PROVIDER_NAME,
        values.short,
        f"a text of {values.LONGEST_NAME} characters or less",
    )
    domains = reader.parsed(
        "PALYRA_OIDC_DOMAINS", "", values.domains, "a list of domains with commas between"
    )
    parts = {
        "PALYRA_OIDC_ISSUER": issuer,
        "PALYRA_OIDC_CLIENT_ID": client_id,
        "PALYRA_OIDC_CLIENT_SECRET": client_secret,
    }
    missing = [variable for variable, text in parts.items() if not text]
    given = next((variable for variable in parts if variable not in missing), None)
    if given and missing:
        reader.faults.append(f"{given}: it also takes {' and '.join(missing)}.")
    elif missing:
        without_effect = {
            "PALYRA_OIDC_NAME": name != PROVIDER_NAME,
            "PALYRA_OIDC_DOMAINS": bool(domains),
        }
        reader.faults += [
            f"{variable}: it takes {' and '.join(missing)} as well."
            for variable, is_given in without_effect.items()
            if is_given
        ]
    if missing:
        return None
    return SingleSignOn(
        issuer=issuer, client_id=client_id, client_secret=client_secret, name=name, domains=domains
    )


def _retention(reader: Reader) -> dict[str, int]:
    """How many days each kind of thing is kept; 0 is for ever."""
    return {
        name: reader.parsed(
            f"PALYRA_RETENTION_{name.upper()}_DAYS",
            str(days),
            values.between(0, 36500, int),
            "a whole number of days from 0 (for ever) to 36500",
        )
        for name, days in RETENTION.items()
    }
