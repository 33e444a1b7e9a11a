"""Encrypts what one-time codes are made from, so that a copy of the database does not give it away.

Under a key derived from PALYRA_SECRET_KEY, which API keys' hashes hang on as well. With another
secret key, people set up two-step sign-in anew.
"""

from __future__ import annotations

import base64
import secrets

from cryptography.fernet import Fernet, InvalidToken
from django.utils.crypto import salted_hmac

SALT = "palyra.access.two-step"


def _fernet() -> Fernet:
    digest = salted_hmac(SALT, "", algorithm="sha256").digest()
    return Fernet(base64.urlsafe_b64encode(digest))


def seal(text: str) -> str:
    """`text`, encrypted."""
    return _fernet().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """What was sealed; if it cannot be read, a secret that nobody has, so that no code is right."""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken:
        return base64.b32encode(secrets.token_bytes(20)).decode()
