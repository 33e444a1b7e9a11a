"""Which provider addresses may be stored."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from providers.addresses import validate_base_url
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
