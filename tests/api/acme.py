"""A provider's credential as the API gives it, and another secret."""

from __future__ import annotations

OTHER = "sk-another-credential-9876"
ACME = {"name": "vault:acme", "last_four": "1234", "enabled": True}
