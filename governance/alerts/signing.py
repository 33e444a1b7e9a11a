"""Signatures as Standard Webhooks specify them: pure, but for making a secret."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
NEW = 32


def new_secret() -> str:
    """A secret that nobody has used yet."""
    return PREFIX + base64.b64encode(secrets.token_bytes(NEW)).decode()


class UnusableSecret(ValueError):
    """Nothing can be signed with it; the message says what can."""


def key_of(secret: str) -> bytes:
    """The key in `whsec_…`. Raises `UnusableSecret` for anything else."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(PREFIX) or not SHORTEST <= len(key) <= LONGEST:
        raise UnusableSecret(f"Give {PREFIX} and 24 to 64 random bytes in Base64.")
    return key


def headers(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers by which a receiver knows who sent `body`, and when."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = hmac.new(key_of(secret), signed, hashlib.sha256).digest()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{base64.b64encode(digest).decode()}",
    }
