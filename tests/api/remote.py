"""A provider with a credential, as the API is sent it, and what is stored and shown of it."""

from __future__ import annotations

from typing import Any

from providers import vault
from providers.models import Secret
from tests.api.callers import Reply, body_of

TEXT = "sk-a-very-secret-credential-1234"
REMOTE = {
    "name": "acme",
    "kind": "openai_compatible",
    "base_url": "https://api.acme.example/v1",
    "credentials": [{"secret": TEXT}],
}
# What somebody may who sets providers up.
KEEPER = (
    *("providers.view_provider", "providers.add_provider", "providers.change_provider"),
    *("providers.add_providermodel",),
)


def stored_text(name: str) -> str:
    return vault.decrypt(Secret.objects.get(name=name).ciphertext).text


def credentials_of(reply: Reply) -> list[dict[str, Any]]:
    assert reply.status_code < 300, reply.content
    found: list[dict[str, Any]] = body_of(reply)["credentials"]
    return found


def names_of(reply: Reply) -> list[str]:
    return [one["name"] for one in credentials_of(reply)]
