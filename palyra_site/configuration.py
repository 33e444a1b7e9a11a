"""The settings an operator may give, read from the environment and `.env`, checked in one place.

Nothing here touches Django or creates a file: `read` is called by the settings module and by the
command line, which turns a `ConfigurationError` into plain lines, one a fault. Each variable is
described in `.env.example` and `docs/settings.md`; a test keeps the three the same.
"""

from __future__ import annotations

import io
import ipaddress
import os
import re
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ
from environ.fileaware_mapping import FileAwareMapping

from providers.keyfile import split_keys

PACKAGE_PARENT = Path(__file__).resolve().parent.parent
# A checkout keeps `.env` and `var/` beside manage.py; an installed wheel, where it is started.
HOME = PACKAGE_PARENT if (PACKAGE_PARENT / "manage.py").is_file() else Path.cwd()
ENV_FILE = "PALYRA_ENV_FILE"
DATABASE_SCHEMES = ("sqlite", "postgres", "postgresql")
EMAIL_SCHEMES = ("smtp", "smtp+tls", "smtp+ssl")
REDIS_SCHEMES = ("redis", "rediss", "unix")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
WORDS = {"1": True, "true": True, "yes": True, "on": True} | {
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
HIGHEST_PORT = 65535
SHORTEST_SECRET = 32
LONGEST_NAME = 60
# Days that things are kept if nothing else is said.
RETENTION = {
    "runs": 90,
    "short_windows": 7,
    "windows": 400,
    "deliveries": 30,
    "alerts": 180,
    "metrics": 90,
}
# Values of these may hold a credential, so a fault does not repeat them.
CONFIDENTIAL = ("_KEY", "_URL", "_SECRET")
# The names by which this machine calls itself.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
WHO_MUST = ("nobody", "administrators", "everyone")
# Read elsewhere: by `up` and its children, by the tests, and by a person's own curl lines.
NOT_OURS = (
    "PALYRA_ROLE",
    "PALYRA_TEST_",
    "PALYRA_REQUIRE_BROWSER",
    "PALYRA_CHROMIUM",
    "PALYRA_KEY",
)
ENV_LINE = re.compile(r"(export )?[A-Za-z_][A-Za-z_0-9]*=")
ValueT = TypeVar("ValueT")


class ConfigurationError(Exception):
    """One or more settings cannot be used; `faults` holds a line for each, naming its variable."""

    def __init__(self, *faults: str) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleSignOn:
    """The identity provider that people may sign in with (OpenID Connect).

    `domains` are those of e-mail addresses whose owners get an account at their first sign-in.
    """

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str
    domains: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Every setting, checked; what may hold a credential is not part of its `repr`."""

    data_dir: Path
    host: str
    port: int
    public_url: str
    database: dict[str, Any] = field(repr=False)
    redis_url: str = field(repr=False)
    secret_key: str = field(repr=False)
    vault_key: str = field(repr=False)
    debug: bool
    log_level: str
    allowed_hosts: tuple[str, ...]
    worker_count: int
    request_body_limit: int
    owner_timeout: float
    environment_proxies: bool
    ca_file: str
    email: dict[str, Any] = field(repr=False)
    email_from: str
    retention: dict[str, int]
    trusted_proxies: tuple[str, ...]
    session_hours: int
    require_two_step: str
    oidc: SingleSignOn | None
    # Where the secrets above came from. None of these is lent to a provider.
    own_files: tuple[Path, ...] = field(default=(), compare=False)

    @property
    def local_url(self) -> str:
        """Where the web process answers on this very machine."""
        return local_url(self.host, self.port)


class _Reader:
    """Reads variables one by one and gathers their names and what is wrong with them."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self.source = source
        self.names: list[str] = []
        self.defaults: dict[str, str] = {}
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The variable's text; an empty one counts as not given."""
        self.names.append(name)
        self.defaults[name] = default
        try:
            return self.source.get(name, "").strip() or default
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            self.faults.append(f"{name}_FILE names a file that cannot be read ({reason}).")
            return default

    def parsed(self, name: str, default: str, parse: Callable[[str], ValueT], wants: str) -> ValueT:
        """What `parse` makes of it; its ValueError is a fault, and the default is used then."""
        raw = self.text(name, default)
        try:
            return parse(raw)
        except ValueError:
            shown = "the value given" if name.endswith(CONFIDENTIAL) else repr(raw)
            self.faults.append(f"{name}: {shown} is not {wants}.")
            return parse(default)


def read(environment: Mapping[str, str] | None = None) -> Configuration:
    """Check every setting in `environment` (the process's own by default) over those in `.env`.

    A name with `_FILE` behind it gives the path of a file that holds the value, as container
    secrets do. Raises `ConfigurationError` with a line for each setting that cannot be used.
    """
    variables = dict(os.environ if environment is None else environment)
    given, faults = _over_env_file(variables)
    reader = _Reader(FileAwareMapping(given, cache=False))
    configuration = _read(reader)
    faults += [
        f"{name} and {name}_FILE are both given: keep one of them."
        for name in reader.names
        if given.get(name) and given.get(f"{name}_FILE")
    ]
    if faults or reader.faults:
        raise ConfigurationError(*faults, *reader.faults)
    return replace(configuration, own_files=_own_files(configuration, given, reader.names))


def _own_files(
    configuration: Configuration, given: Mapping[str, str], read_names: Iterable[str]
) -> tuple[Path, ...]:
    """The files that Palyra's own secrets are in: settings, what they name, and the database."""
    named = [given.get(f"{name}_FILE", "").strip() for name in read_names]
    files = [_env_file(given), *(Path(name).expanduser() for name in named if name)]
    if configuration.database["ENGINE"].endswith("sqlite3"):
        files.append(Path(configuration.database["NAME"]))
    return tuple(files)


def _env_file(environment: Mapping[str, str]) -> Path:
    named = environment.get(ENV_FILE, "").strip()
    return Path(named).expanduser() if named else HOME / ".env"


def names() -> tuple[str, ...]:
    """Every variable that is read."""
    reader = _Reader({})
    _read(reader)
    return (ENV_FILE, *reader.names)


def layers(environment: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The variables given, with what `.env` gives below the environment; and the default of each
    variable that is read."""
    given, _ = _over_env_file(dict(environment))
    reader = _Reader({})
    _read(reader)
    return given, {ENV_FILE: str(_env_file(environment)), **reader.defaults}


def unknown_names(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The PALYRA_ variables given that nothing reads: most likely misspelt."""
    given, _ = _over_env_file(dict(os.environ if environment is None else environment))
    known = {*names(), *(f"{name}_FILE" for name in names())}
    return tuple(
        sorted(
            name
            for name in given
            if name.startswith("PALYRA_") and name not in known and not name.startswith(NOT_OURS)
        )
    )


def local_url(host: str, port: int) -> str:
    """The address of a server on this machine; one on every interface is found on loopback."""
    reachable = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _read(reader: _Reader) -> Configuration:
    data_dir = Path(reader.text("PALYRA_DATA_DIR", str(HOME / "var"))).expanduser().resolve()
    if reason := unusable(data_dir):
        reader.faults.append(f"PALYRA_DATA_DIR: {data_dir} cannot hold Palyra's files: {reason}.")
    host = reader.parsed("PALYRA_HOST", "127.0.0.1", _host, "a host name or an IP address")
    port = reader.parsed("PALYRA_PORT", "8000", _port, "a whole number from 1 to 65535")
    public_url = reader.parsed(
        "PALYRA_PUBLIC_URL",
        "",
        _public_url,
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
            _database,
            "the address of a database, such as postgres://user:password@host/name or "
            "sqlite:////path/to/file",
        ),
        redis_url=reader.parsed(
            "REDIS_URL", "", _redis, "an address such as redis://host:6379/0 or unix:///path"
        ),
        secret_key=reader.parsed(
            "PALYRA_SECRET_KEY", "", _secret_key, f"a text of {SHORTEST_SECRET} characters or more"
        ),
        vault_key=reader.parsed(
            "PALYRA_VAULT_KEY",
            "",
            _vault_key,
            "a vault key (32 bytes in URL-safe base64), or several with commas between",
        ),
        debug=reader.parsed("PALYRA_DEBUG", "no", _boolean, "yes or no"),
        log_level=reader.parsed(
            "PALYRA_LOG_LEVEL", "INFO", _log_level, "DEBUG, INFO, WARNING or ERROR"
        ),
        allowed_hosts=_allowed_hosts(
            reader.parsed(
                "PALYRA_ALLOWED_HOSTS", "", _host_names, "a list of host names with commas between"
            ),
            public_url,
        ),
        worker_count=reader.parsed(
            "PALYRA_WORKERS", "2", _between(1, 64, int), "a whole number from 1 to 64"
        ),
        request_body_limit=reader.parsed(
            "PALYRA_REQUEST_BODY_LIMIT",
            str(10 * 1024 * 1024),
            _between(1024, 1024**3, int),
            "a number of bytes from 1024 to 1073741824",
        ),
        owner_timeout=reader.parsed(
            "PALYRA_OWNER_TIMEOUT",
            "15",
            _between(2.0, 3600.0, float),
            "a number of seconds from 2 to 3600",
        ),
        environment_proxies=reader.parsed(
            "PALYRA_ENVIRONMENT_PROXIES", "no", _boolean, "yes or no"
        ),
        ca_file=reader.parsed(
            "PALYRA_CA_FILE", "", _ca_file, "a file of certificates in PEM that can be read"
        ),
        email=reader.parsed(
            "PALYRA_EMAIL_URL",
            "",
            _email,
            "the address of a mail server, such as smtp+tls://user:password@host:587",
        ),
        email_from=reader.parsed(
            "PALYRA_EMAIL_FROM", "palyra@localhost", _email_from, "an e-mail address"
        ),
        retention=_retention(reader),
        trusted_proxies=reader.parsed(
            "PALYRA_TRUSTED_PROXIES",
            "127.0.0.1,::1",
            _addresses,
            "a list of IP addresses or networks with commas between",
        ),
        session_hours=reader.parsed(
            "PALYRA_SESSION_HOURS", "24", _between(1, 2160, int), "a number of hours from 1 to 2160"
        ),
        require_two_step=reader.parsed(
            "PALYRA_REQUIRE_TWO_STEP", "nobody", _who_must, "nobody, administrators or everyone"
        ),
        oidc=_single_sign_on(reader),
    )


def _single_sign_on(reader: _Reader) -> SingleSignOn | None:
    """The identity provider, if one is given; then its three parts must be."""
    issuer = reader.parsed(
        "PALYRA_OIDC_ISSUER",
        "",
        _issuer,
        "the https address of an identity provider, such as https://login.example/realm",
    )
    client_id = reader.text("PALYRA_OIDC_CLIENT_ID")
    client_secret = reader.text("PALYRA_OIDC_CLIENT_SECRET")
    name = reader.parsed(
        "PALYRA_OIDC_NAME", "single sign-on", _short, f"a text of {LONGEST_NAME} characters or less"
    )
    domains = reader.parsed(
        "PALYRA_OIDC_DOMAINS", "", _domains, "a list of domains with commas between"
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
    elif domains and missing:
        reader.faults.append(f"PALYRA_OIDC_DOMAINS: it takes {' and '.join(missing)} as well.")
    if missing:
        return None
    return SingleSignOn(
        issuer=issuer, client_id=client_id, client_secret=client_secret, name=name, domains=domains
    )


def _retention(reader: _Reader) -> dict[str, int]:
    """How many days each kind of thing is kept; 0 is for ever."""
    return {
        name: reader.parsed(
            f"PALYRA_RETENTION_{name.upper()}_DAYS",
            str(days),
            _between(0, 36500, int),
            "a whole number of days from 0 (for ever) to 36500",
        )
        for name, days in RETENTION.items()
    }


def _over_env_file(environment: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """`environment` with what the `.env` file gives below it, and the file's faults.

    A variable of the environment also outranks its `_FILE` form in the file, and the reverse.
    """
    named, path = environment.get(ENV_FILE, "").strip(), _env_file(environment)
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, FileNotFoundError) and not named:
            return environment, []
        return environment, [f"{ENV_FILE}: {path} cannot be read."]
    faults = [
        f"{ENV_FILE}: line {number} of {path} is not NAME=value."
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#") and not ENV_LINE.match(line)
    ]
    if faults:
        return environment, faults

    class Source(environ.Env):  # type: ignore[misc]
        ENVIRON: dict[str, str] = {}

    Source.read_env(io.StringIO("\n".join(lines)))
    below = {
        name: text
        for name, text in Source.ENVIRON.items()
        if f"{name}_FILE" not in environment and name.removesuffix("_FILE") not in environment
    }
    return {**below, **environment}, []


def unusable(directory: Path) -> str | None:
    """Why files cannot be made in `directory`, there or yet to be made; None if they can."""
    existing = directory
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a directory"
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return f"{existing} may not be written by this user"
    return None


def _host(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", raw):
        raise ValueError(raw)
    return raw


def _allowed_hosts(given: tuple[str, ...], public_url: str) -> tuple[str, ...]:
    """The names given, this machine's own, and the one that people are told."""
    told = urlsplit(public_url).hostname or ""
    told = f"[{told}]" if ":" in told else told
    return tuple(dict.fromkeys((*given, told, *LOOPBACK_NAMES)))


def _names(raw: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in raw.split(",") if name.strip())


def _host_names(raw: str) -> tuple[str, ...]:
    hosts = _names(raw)
    usable = all(re.fullmatch(r"\*|\.?[A-Za-z0-9._:\[\]-]+", name) for name in hosts)
    if not usable or (raw and not hosts):
        raise ValueError(raw)
    return hosts


def _addresses(raw: str) -> tuple[str, ...]:
    """Addresses and networks, each checked; ValueError is what the check raises."""
    found = _names(raw)
    for one in found:
        ipaddress.ip_network(one)
    return found


def _who_must(raw: str) -> str:
    if raw.lower() not in WHO_MUST:
        raise ValueError(raw)
    return raw.lower()


def _domains(raw: str) -> tuple[str, ...]:
    found = tuple(name.lower().removeprefix("@") for name in _names(raw))
    if not all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name) for name in found):
        raise ValueError(raw)
    return found


def _short(raw: str) -> str:
    if len(raw) > LONGEST_NAME:
        raise ValueError(raw)
    return raw


def _issuer(raw: str) -> str:
    """What says who somebody is must not be spoken to in clear, but on this machine."""
    parts = urlsplit(raw)
    near = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    safe = parts.scheme == "https" or near
    if raw and (not safe or not parts.hostname or parts.query or parts.fragment or parts.username):
        raise ValueError(raw)
    return raw.rstrip("/")


def _port(raw: str) -> int:
    return _between(1, HIGHEST_PORT, int)(raw)


def _boolean(raw: str) -> bool:
    try:
        return WORDS[raw.lower()]
    except KeyError:
        raise ValueError(raw) from None


def _log_level(raw: str) -> str:
    if raw.upper() not in LOG_LEVELS:
        raise ValueError(raw)
    return raw.upper()


NumberT = TypeVar("NumberT", int, float)


def _between(
    lowest: NumberT, highest: NumberT, kind: Callable[[str], NumberT]
) -> Callable[[str], NumberT]:
    def parse(raw: str) -> NumberT:
        number = kind(raw)
        if not lowest <= number <= highest:
            raise ValueError(raw)
        return number

    return parse


def _database(raw: str) -> dict[str, Any]:
    if urlsplit(raw).scheme not in DATABASE_SCHEMES:
        raise ValueError(raw)
    database = dict(environ.Env.db_url_config(raw))
    # Several processes share it, so a database in memory is none.
    if database["NAME"] in {"", ":memory:"}:
        raise ValueError(raw)
    if database["ENGINE"].endswith("sqlite3"):
        database["NAME"] = str(Path(database["NAME"]).expanduser().resolve())
    return database


def _redis(raw: str) -> str:
    parts = urlsplit(raw)
    usable = parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
    if raw and (parts.scheme not in REDIS_SCHEMES or not usable):
        raise ValueError(raw)
    return raw


def _email(raw: str) -> dict[str, Any]:
    """Django's settings for a mail server; none without one."""
    if not raw:
        return {}
    parts = urlsplit(raw)
    if parts.scheme not in EMAIL_SCHEMES or not parts.hostname or parts.port == 0:
        raise ValueError(raw)
    found: dict[str, Any] = environ.Env.email_url_config(raw)
    return found


def _email_from(raw: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", raw):
        raise ValueError(raw)
    return raw


def _public_url(raw: str) -> str:
    address = raw.rstrip("/")
    parts = urlsplit(address)
    usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    if raw and (not usable or parts.path or parts.query or parts.fragment or parts.username):
        raise ValueError(raw)
    return address


def _secret_key(raw: str) -> str:
    if raw and len(raw) < SHORTEST_SECRET:
        raise ValueError(raw)
    return raw


def _vault_key(raw: str) -> str:
    return ",".join(split_keys(raw)) if raw else ""


def _ca_file(raw: str) -> str:
    if not raw:
        return ""
    path = Path(raw).expanduser().resolve()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # which `ssl.SSLError` is one of
        raise ValueError(raw) from None
    return str(path)
