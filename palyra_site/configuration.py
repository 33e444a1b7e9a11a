"""The settings an operator may give, read from the environment and `.env`, checked in one place.

Nothing here touches Django: `read` is called by the settings module and by the command line, which
turns a `ConfigurationError` into plain lines, one a fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import environ
from cryptography.fernet import Fernet
from environ.fileaware_mapping import FileAwareMapping

REPOSITORY = Path(__file__).resolve().parent.parent
DATABASE_SCHEMES = ("sqlite", "postgres", "postgresql")
REDIS_SCHEMES = ("redis", "rediss", "unix")
TRUE_WORDS = {"1", "true", "yes", "on"}
FALSE_WORDS = {"0", "false", "no", "off"}
HIGHEST_PORT = 65535


class ConfigurationError(Exception):
    """One or more settings cannot be used; `faults` holds a line for each, naming its variable."""

    def __init__(self, faults: tuple[str, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join(faults))


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """Every setting, checked. Secrets are kept out of `repr` by `settings` never printing this."""

    data_dir: Path
    host: str
    port: int
    public_url: str
    database: dict[str, Any]
    redis_url: str
    secret_key: str
    vault_key: str
    debug: bool
    log_level: str
    allowed_hosts: tuple[str, ...]
    worker_count: int
    request_body_limit: int
    owner_timeout: float


class _Reader:
    """Reads variables one by one and gathers what is wrong with them."""

    def __init__(self, source: Mapping[str, str]) -> None:
        self.source = source
        self.faults: list[str] = []

    def text(self, name: str, default: str = "") -> str:
        """The variable's text; an empty one counts as not given."""
        try:
            return self.source.get(name, "").strip() or default
        except (OSError, UnicodeDecodeError):
            self.faults.append(f"{name}_FILE names a file that cannot be read.")
            return default

    def parsed(self, name: str, default: str, parse: Callable[[str], Any], wants: str) -> Any:
        raw = self.text(name, default)
        try:
            return parse(raw)
        except (ValueError, KeyError):
            # The value is not repeated for names that may hold a credential.
            shown = "the value given" if name.endswith(("_KEY", "_URL")) else repr(raw)
            self.faults.append(f"{name}: {shown} is not {wants}.")
            return parse(default)


def _port(raw: str) -> int:
    port = int(raw)
    if not 1 <= port <= HIGHEST_PORT:
        raise ValueError(raw)
    return port


def _boolean(raw: str) -> bool:
    word = raw.lower()
    if word not in TRUE_WORDS | FALSE_WORDS:
        raise ValueError(raw)
    return word in TRUE_WORDS


def _between(lowest: float, highest: float, kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(raw: str) -> float:
        number = kind(raw)
        if not lowest <= number <= highest:
            raise ValueError(raw)
        return number

    return parse


def _database(raw: str) -> dict[str, Any]:
    if urlsplit(raw).scheme not in DATABASE_SCHEMES:
        raise ValueError(raw)
    return dict(environ.Env.db_url_config(raw))


def _redis(raw: str) -> str:
    if raw and urlsplit(raw).scheme not in REDIS_SCHEMES:
        raise ValueError(raw)
    return raw


def _public_url(raw: str) -> str:
    parts = urlsplit(raw)
    if raw and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError(raw)
    return raw.rstrip("/")


def _vault_key(raw: str) -> str:
    if raw:
        Fernet(raw)
    return raw


def _log_level(raw: str) -> str:
    level = raw.upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ValueError(raw)
    return level


def read(
    environment: Mapping[str, str] | None = None, *, env_file: Path | None = None
) -> Configuration:
    """Check every setting in `environment` (the process's own by default) over those in `.env`.

    A name with `_FILE` behind it gives the path of a file that holds the value, as container
    secrets do. Raises `ConfigurationError` with a line for each setting that cannot be used.
    """
    variables = _with_dotenv(
        dict(os.environ if environment is None else environment), env_file or REPOSITORY / ".env"
    )
    reader = _Reader(FileAwareMapping(variables, cache=False))

    data_dir = Path(reader.text("PALYRA_DATA_DIR", str(REPOSITORY / "var"))).expanduser().resolve()
    port = reader.parsed("PALYRA_PORT", "8000", _port, "a whole number from 1 to 65535")
    host = reader.text("PALYRA_HOST", "127.0.0.1")
    configuration = Configuration(
        data_dir=data_dir,
        host=host,
        port=port,
        public_url=reader.parsed(
            "PALYRA_PUBLIC_URL",
            "",
            _public_url,
            "an http or https address such as https://palyra.example",
        )
        or f"http://{_reachable(host)}:{port}",
        database=reader.parsed(
            "DATABASE_URL",
            f"sqlite:///{data_dir / 'palyra.sqlite3'}",
            _database,
            "a database address that begins with sqlite:// or postgres://",
        ),
        redis_url=reader.parsed("REDIS_URL", "", _redis, "an address that begins with redis://"),
        secret_key=reader.text("PALYRA_SECRET_KEY"),
        vault_key=reader.parsed(
            "PALYRA_VAULT_KEY", "", _vault_key, "a vault key (32 bytes in URL-safe base64)"
        ),
        debug=reader.parsed("PALYRA_DEBUG", "no", _boolean, "yes or no"),
        log_level=reader.parsed(
            "PALYRA_LOG_LEVEL", "INFO", _log_level, "DEBUG, INFO, WARNING or ERROR"
        ),
        allowed_hosts=tuple(
            name.strip()
            for name in reader.text("PALYRA_ALLOWED_HOSTS", "*").split(",")
            if name.strip()
        ),
        worker_count=int(
            reader.parsed("PALYRA_WORKERS", "2", _between(1, 64, int), "a whole number, 1 to 64")
        ),
        request_body_limit=int(
            reader.parsed(
                "PALYRA_REQUEST_BODY_LIMIT",
                str(10 * 1024 * 1024),
                _between(1024, 1024**3, int),
                "a number of bytes from 1024 to 1073741824",
            )
        ),
        owner_timeout=reader.parsed(
            "PALYRA_OWNER_TIMEOUT",
            "15",
            _between(2, 3600, float),
            "a number of seconds from 2 to 3600",
        ),
    )
    if reader.faults:
        raise ConfigurationError(tuple(reader.faults))
    return configuration


def _reachable(host: str) -> str:
    """The address to print for a server that listens on every interface."""
    return "127.0.0.1" if host in {"0.0.0.0", "::", ""} else host  # noqa: S104


def _with_dotenv(environment: dict[str, str], path: Path) -> dict[str, str]:
    """`environment`, and below it what the `.env` file gives."""

    class Source(environ.Env):  # type: ignore[misc]
        ENVIRON = environment

    if path.is_file():
        Source.read_env(str(path))
    return environment
