"""What each setting may be: a function for each kind, from the text given to its value.

`ValueError` is what they raise for anything else; `reading` says it in words. But for files that
are named and looked at, they are pure.
"""

from __future__ import annotations

import ipaddress
import os
import re
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import environ

from providers.keyfile import split_keys

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
# The names by which this machine calls itself.
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "[::1]")
WHO_MUST = ("nobody", "administrators", "everyone")
NumberT = TypeVar("NumberT", int, float)


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


def host(raw: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]+", raw):
        raise ValueError(raw)
    return raw


def allowed_hosts(given: tuple[str, ...], public_url: str) -> tuple[str, ...]:
    """The names given, this machine's own, and the one that people are told."""
    told = urlsplit(public_url).hostname or ""
    told = f"[{told}]" if ":" in told else told
    return tuple(dict.fromkeys((*given, told, *LOOPBACK_NAMES)))


def _names(raw: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in raw.split(",") if name.strip())


def host_names(raw: str) -> tuple[str, ...]:
    hosts = _names(raw)
    usable = all(re.fullmatch(r"\*|\.?[A-Za-z0-9._:\[\]-]+", name) for name in hosts)
    if not usable or (raw and not hosts):
        raise ValueError(raw)
    return hosts


def addresses(raw: str) -> tuple[str, ...]:
    """Addresses and networks, each checked; ValueError is what the check raises."""
    found = _names(raw)
    for one in found:
        ipaddress.ip_network(one)
    return found


def who_must(raw: str) -> str:
    if raw.lower() not in WHO_MUST:
        raise ValueError(raw)
    return raw.lower()


def domains(raw: str) -> tuple[str, ...]:
    found = tuple(name.lower().removeprefix("@") for name in _names(raw))
    if not all(re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", name) for name in found):
        raise ValueError(raw)
    return found


def short(raw: str) -> str:
    if len(raw) > LONGEST_NAME:
        raise ValueError(raw)
    return raw


def issuer(raw: str) -> str:
    """What says who somebody is must not be spoken to in clear, but on this machine."""
    parts = urlsplit(raw)
    near = parts.scheme == "http" and parts.hostname in {"localhost", "127.0.0.1", "::1"}
    safe = parts.scheme == "https" or near
    if raw and (not safe or not parts.hostname or parts.query or parts.fragment or parts.username):
        raise ValueError(raw)
    return raw.rstrip("/")


def port(raw: str) -> int:
    return between(1, HIGHEST_PORT, int)(raw)


def boolean(raw: str) -> bool:
    try:
        return WORDS[raw.lower()]
    except KeyError:
        raise ValueError(raw) from None


def log_level(raw: str) -> str:
    if raw.upper() not in LOG_LEVELS:
        raise ValueError(raw)
    return raw.upper()


def between(
    lowest: NumberT, highest: NumberT, kind: Callable[[str], NumberT]
) -> Callable[[str], NumberT]:
    def parse(raw: str) -> NumberT:
        number = kind(raw)
        if not lowest <= number <= highest:
            raise ValueError(raw)
        return number

    return parse


def database(raw: str) -> dict[str, Any]:
    if urlsplit(raw).scheme not in DATABASE_SCHEMES:
        raise ValueError(raw)
    database = dict(environ.Env.db_url_config(raw))
    # Several processes share it, so a database in memory is none.
    if database["NAME"] in {"", ":memory:"}:
        raise ValueError(raw)
    if database["ENGINE"].endswith("sqlite3"):
        database["NAME"] = str(Path(database["NAME"]).expanduser().resolve())
    return database


def redis(raw: str) -> str:
    parts = urlsplit(raw)
    usable = parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
    if raw and (parts.scheme not in REDIS_SCHEMES or not usable):
        raise ValueError(raw)
    return raw


def email(raw: str) -> dict[str, Any]:
    """Django's settings for a mail server; none without one."""
    if not raw:
        return {}
    parts = urlsplit(raw)
    if parts.scheme not in EMAIL_SCHEMES or not parts.hostname or parts.port == 0:
        raise ValueError(raw)
    found: dict[str, Any] = environ.Env.email_url_config(raw)
    return found


def email_from(raw: str) -> str:
    if not re.fullmatch(r"[^@\s]+@[^@\s]+", raw):
        raise ValueError(raw)
    return raw


def public_url(raw: str) -> str:
    address = raw.rstrip("/")
    parts = urlsplit(address)
    usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    if raw and (not usable or parts.path or parts.query or parts.fragment or parts.username):
        raise ValueError(raw)
    return address


def secret_key(raw: str) -> str:
    if raw and len(raw) < SHORTEST_SECRET:
        raise ValueError(raw)
    return raw


def vault_key(raw: str) -> str:
    return ",".join(split_keys(raw)) if raw else ""


def ca_file(raw: str) -> str:
    if not raw:
        return ""
    path = Path(raw).expanduser().resolve()
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except OSError:  # which `ssl.SSLError` is one of
        raise ValueError(raw) from None
    return str(path)
