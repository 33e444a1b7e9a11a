"""Which provider addresses may be stored, and which may be connected to."""

from __future__ import annotations

import socket
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from urllib.parse import unquote, urlsplit

import httpx
from django.core.exceptions import ValidationError

PRIVATE = (
    "This address leads to this machine or a private network. Allow private addresses for this "
    "provider if that is meant."
)
# What IANA's registries of special purposes (RFC 6890) do not call globally reachable. Python's own
# `is_global` has changed between its releases, and this must not.
NOT_PUBLIC_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network, and the unspecified address
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata
        "127.0.0.0/8",
        "168.63.129.16/32",  # Azure's metadata, the same in every virtual network
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation, with 198.51.100 and 203.0.113
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
# Only these have been given out for use on the internet; what they hold that is special follows.
GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo (2001::/32) among them
        "2001:db8::/32",  # documentation, with 3fff::/20
        "2002::/16",  # 6to4, which wraps an IPv4 address and is no longer used
        "3fff::/20",
    )
)
# An IPv4 address in its last 32 bits, to which the network translates (NAT64, RFC 6052).
TRANSLATED = IPv6Network("64:ff9b::/96")
# Names that mean this machine or its cloud's metadata wherever they are looked up.
PRIVATE_NAMES = frozenset(
    {
        "localhost",
        "localhost.localdomain",
        "ip6-localhost",
        "ip6-loopback",
        "instance-data",
        "instance-data.ec2.internal",
        "metadata",
        "metadata.goog",
        "metadata.google.internal",
    }
)


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


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether `address` is anyone's on the internet: not loopback, private, link-local (where cloud
    metadata is), carrier-grade NAT, multicast, reserved, or one of those written as IPv6."""
    if isinstance(address, IPv6Address):
        wrapped = _wrapped(address)
        if wrapped is None:
            return address in GLOBAL_UNICAST and not any(
                address in network for network in NOT_PUBLIC_6
            )
        address = wrapped
    return not any(address in network for network in NOT_PUBLIC_4)


def _wrapped(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a connection to `address` really goes to, if it is one."""
    if address in TRANSLATED:
        return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address.ipv4_mapped


def may_connect(numeric: str) -> bool:
    """Whether a socket may be connected to `numeric`, an address as a socket takes it, by a
    provider that allows public ones only. What is not an address is refused as well."""
    try:
        return is_public(ip_address(numeric))
    except ValueError:
        return False


def is_plainly_private(host: str) -> bool:
    """Whether `host` is private by its looks, without being looked up."""
    name = unquote(host).rstrip(".").lower()
    if name in PRIVATE_NAMES or name.endswith(".localhost"):
        return True
    try:
        return not is_public(ip_address(name))
    except ValueError:
        pass
    try:
        # The other spellings of IPv4 that resolvers take: 127.1, 0x7f.1, 2130706433.
        return not is_public(IPv4Address(socket.inet_aton(name)))
    except (OSError, ValueError):
        return False


def refuse_private_literal(base_url: str) -> None:
    """Refuse a base URL whose host is plainly private. Names are looked up when connecting."""
    try:
        host = httpx.URL(base_url).raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        return  # `validate_base_url` says what is wrong with it.
    if is_plainly_private(host):
        raise ValidationError({"base_url": ValidationError(PRIVATE, code="base_url_private")})
