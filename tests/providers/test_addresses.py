"""Which provider addresses may be stored, and which may be connected to."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from providers.addresses import (
    TRANSLATED,
    is_plainly_private,
    is_public,
    may_connect,
    refuse_private_literal,
    validate_base_url,
)
from providers.models import Provider, ProviderKind


@pytest.mark.parametrize(
    "address",
    [
        "https://api.example.com/v1",
        "http://ollama:11434/v1",
        "http://127.0.0.1:8000",
        "http://[::1]:8000/v1",
        "HTTPS://API.EXAMPLE.COM/v1/",
        "https://münchen.example/v1",
    ],
)
def test_an_address_of_a_host_is_good(address: str) -> None:
    provider = Provider(name="p", kind=ProviderKind.OPENAI_COMPATIBLE, base_url=address)
    provider.clean_fields()


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("", "base_url_scheme"),
        ("api.example.com/v1", "base_url_scheme"),
        ("ftp://example.com", "base_url_scheme"),
        ("file:///etc/passwd", "base_url_scheme"),
        ("javascript:alert(1)", "base_url_scheme"),
        ("https://", "base_url_host"),
        ("https:///v1", "base_url_host"),
        ("http://:8000/v1", "base_url_host"),
        ("http://example.com:99999/v1", "base_url"),
        ("http://example.com:port/v1", "base_url"),
        ("http://[::1/v1", "base_url"),
        ("http://0177.0.0.1/v1", "base_url"),
        ("http://exa mple.com/v1", "base_url"),
        (" http://example.com/v1", "base_url"),
        ("http://example.com/v1\n", "base_url"),
        ("http://exam\tple.com/v1", "base_url"),
        ("http://example.com/v\x001", "base_url"),
        ("https://me@example.com/v1", "base_url_credential"),
        ("https://me:hunter2@example.com/v1", "base_url_credential"),
        ("https://:hunter2@example.com/v1", "base_url_credential"),
        ("https://example.com/v1?key=hunter2", "base_url_query"),
        ("https://example.com/v1#part", "base_url_query"),
    ],
)
def test_anything_else_is_refused_saying_why(address: str, code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        validate_base_url(address)
    assert caught.value.code == code
    assert "hunter2" not in caught.value.message


PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.0",
    "168.63.129.15",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "223.255.255.255",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:0.0.0.0",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:8.8.8.8",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::169.254.169.254",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:808:808::1",
    "2002:7f00:1::1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::1%1",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_an_address_on_the_internet_may_be_connected_to(text: str) -> None:
    assert is_public(ip_address(text))
    assert may_connect(text)
    assert not is_plainly_private(text)


@pytest.mark.parametrize("text", NOT_PUBLIC)
def test_any_other_address_may_not(text: str) -> None:
    assert not is_public(ip_address(text))
    assert not may_connect(text)
    assert is_plainly_private(text)


@pytest.mark.parametrize("text", ["", "localhost", "api.example.com", "127.1", "8.8.8", "8.8.8.8 "])
def test_a_socket_is_given_addresses_and_nothing_to_look_up(text: str) -> None:
    assert not may_connect(text)


ADDRESSES = st.ip_addresses(v=4) | st.ip_addresses(v=6)


@given(ADDRESSES)
def test_nothing_is_public_that_python_knows_to_be_private(
    address: IPv4Address | IPv6Address,
) -> None:
    if is_public(address):
        unwrapped = getattr(address, "ipv4_mapped", None) or address
        assert not unwrapped.is_private or address in TRANSLATED
        assert not unwrapped.is_multicast
        assert not unwrapped.is_reserved or address in TRANSLATED
        assert not unwrapped.is_unspecified


@given(st.ip_addresses(v=4))
def test_an_address_is_the_same_in_whatever_it_is_wrapped(address: IPv4Address) -> None:
    public = is_public(address)
    assert is_public(ip_address(f"::ffff:{address}")) is public
    assert is_public(ip_address(f"64:ff9b::{address}")) is public
    assert is_plainly_private(str(int(address))) is not public
    assert is_plainly_private(hex(int(address))) is not public


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "ollama.localhost",
        "metadata.google.internal",
        "127.1",
        "2130706433",
        "0x7f000001",
        "10.0.0.5.",
        "%31%32%37.0.0.1",
    ],
)
def test_hosts_that_are_private_by_their_looks(host: str) -> None:
    assert is_plainly_private(host)
    with pytest.raises(ValidationError) as caught:
        refuse_private_literal(f"https://{host}:8443/v1")
    assert caught.value.error_dict["base_url"][0].code == "base_url_private"


@pytest.mark.parametrize(
    "host",
    ["api.example.com", "8.8.8.8", "ollama", "localhost.example.com", "10.example", "0x.com"],
)
def test_hosts_that_must_be_looked_up_to_know(host: str) -> None:
    assert not is_plainly_private(host)
    refuse_private_literal(f"https://{host}/v1")


@pytest.mark.parametrize("address", ["http://[::1]/v1", "http://[::ffff:10.0.0.1]:8000"])
def test_a_literal_in_brackets_is_seen(address: str) -> None:
    with pytest.raises(ValidationError):
        refuse_private_literal(address)


@pytest.mark.parametrize("address", ["", "https://", "http://[::1/v1", "http://example.com:x"])
def test_what_is_no_address_is_left_to_the_other_rule(address: str) -> None:
    refuse_private_literal(address)
