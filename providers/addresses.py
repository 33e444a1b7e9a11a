"""Which provider addresses may be stored."""

from __future__ import annotations

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
