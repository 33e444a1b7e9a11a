"""What is stored of providers: the registry, the vault's secrets, and how providers are doing."""

from providers.models.catalogue import CAPABILITIES, ProviderModel
from providers.models.choices import (
    AUTO,
    ROLES_OF_KIND,
    CostTier,
    LatencyTier,
    MetadataSource,
    ModelRole,
    ProviderKind,
)
from providers.models.health import (
    Breaker,
    BreakerState,
    DiscoveryListing,
    ProviderMetric,
    ProviderProbe,
)
from providers.models.registry import Credential, FailoverPolicy, Provider, failover_policy
from providers.models.secrets import Secret
from providers.versioned import SnapshotVersion

__all__ = [
    "AUTO",
    "CAPABILITIES",
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
    "failover_policy",
]
