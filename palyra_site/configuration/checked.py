"""The settings, checked: what the rest of Palyra is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palyra_site.configuration.sources import NOTHING, Layers


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
    # What this process was started with, for whoever asks where a setting comes from.
    layers: Layers = field(default=NOTHING, compare=False, repr=False)

    @property
    def local_url(self) -> str:
        """Where the web process answers on this very machine."""
        return local_url(self.host, self.port)


def local_url(host: str, port: int) -> str:
    """The address of a server on this machine; one on every interface is found on loopback."""
    reachable = "127.0.0.1" if host in {"0.0.0.0", "::"} else host  # noqa: S104
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"
