"""Which provider addresses may be stored, and which may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from urllib.parse import urlsplit

import httpx
from django.core.exceptions import ValidationError


def validate_base_url(value: str) -> None:
    """Refuse what is not an http(s) address of a host, or carries a user name or password."""
    try:
        parts = urlsplit(value)
        host, _port = parts.hostname, parts.port
        httpx.URL(value)
        # The former drops line breaks and outer blanks, the latter sends blanks as `%20`.
        if any(character.isspace() for character in value):
            raise ValueError
    except (ValueError, httpx.InvalidURL):
        raise ValidationError(
            "This is not an address. Use one such as https://api.example.com/v1.", code="base_url"
        ) from None
    if parts.scheme not in {"http", "https"}:
        raise ValidationError(
            "The address must begin with http:// or https://.", code="base_url_scheme"
        )
    if not host:
        raise ValidationError("The address names no host.", code="base_url_host")
    if parts.username or parts.password:
        raise ValidationError(
            "The address must not carry a user name or password; store the key as a secret.",
            code="base_url_credential",
        )
    if parts.query or parts.fragment:
        raise ValidationError(
            "The address must end with its path, without ? or #.", code="base_url_query"
        )


PRIVATE = (
    "This address leads to this machine or a private network. Allow private addresses for this "
    "provider if that is meant."
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether `address` is anyone's on the internet: not loopback, private, link-local (where cloud
    metadata is), carrier-grade NAT, multicast, or one of those written as IPv6."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        address = mapped
    return address.is_global and not address.is_multicast


def refuse_private_literal(base_url: str) -> None:
    """Refuse a base URL whose host is plainly private. Names are looked up when connecting."""
    host = (urlsplit(base_url).hostname or "").rstrip(".")
    try:
        public = is_public(ip_address(host))
    except ValueError:
        public = host != "localhost" and not host.endswith(".localhost")
    if not public:
        raise ValidationError({"base_url": ValidationError(PRIVATE, code="base_url_private")})
