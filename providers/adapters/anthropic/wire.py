"""What every request of this protocol has in common."""

from __future__ import annotations

from providers.vault import SecretText

VERSION = "2023-06-01"


def headers(secret: SecretText | None, *, stream: bool = False) -> dict[str, str]:
    """The headers of every request; without a credential, none is sent."""
    sent = {
        "accept": "text/event-stream" if stream else "application/json",
        "anthropic-version": VERSION,
    }
    if secret is not None:
        sent["x-api-key"] = secret.text
    return sent
