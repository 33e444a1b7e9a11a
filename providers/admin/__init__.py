"""The console's pages of the registry, and what every room's pages are built from."""

from providers.admin.registry import ProviderAdmin, ProviderModelAdmin
from providers.admin.secrets import SecretAdmin

__all__ = ["ProviderAdmin", "ProviderModelAdmin", "SecretAdmin"]
