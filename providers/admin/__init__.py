"""The console's pages of the registry, and what every room's pages are built from."""

from providers.admin.catalogue import ProviderModelAdmin
from providers.admin.failover import FailoverPolicyAdmin
from providers.admin.registry import ProviderAdmin
from providers.admin.secrets import SecretAdmin

__all__ = ["FailoverPolicyAdmin", "ProviderAdmin", "ProviderModelAdmin", "SecretAdmin"]
