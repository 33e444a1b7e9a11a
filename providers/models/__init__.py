"""What is stored of providers: the registry, the vault's secrets, and how providers are doing."""

from providers.models.health import (
    Breaker,
    BreakerState,
    DiscoveryListing,
    ProviderMetric,
    ProviderProbe,
)
from providers.models.registry import (
    ROLES_OF_KIND,
    CostTier,
    Credential,
    FailoverPolicy,
    LatencyTier,
    MetadataSource,
    ModelRole,
    Provider,
    ProviderKind,
    ProviderModel,
)
from providers.models.secrets import Secret
from providers.versioned import SnapshotVersion

__all__ = [
    "ROLES_OF_KIND",
    "Breaker",
    "BreakerState",
    "CostTier",
    "Credential",
    "DiscoveryListing",
    "FailoverPolicy",
    "LatencyTier",
    "MetadataSource",
    "ModelRole",
    "Provider",
    "ProviderKind",
    "ProviderMetric",
    "ProviderModel",
    "ProviderProbe",
    "Secret",
    "SnapshotVersion",
]
