"""Governance's tables, by what they are about."""

from governance.models.alerts import (
    Alert,
    AlertKind,
    AlertSeverity,
    Channel,
    ChannelFormat,
    ChannelKind,
    ChannelPurpose,
    Delivery,
    DeliveryStatus,
)
from governance.models.approvals import Approval, ApprovalStatus, ApprovalUntil, KeptCall
from governance.models.audit import AuditEntry
from governance.models.budgets import (
    DEFAULT_THRESHOLDS,
    IDENTITY,
    BudgetAction,
    BudgetInterval,
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
    thresholds_fault,
)
from governance.models.ledger import (
    CallStatus,
    ModelCall,
    ProcessHeartbeat,
    ProviderLease,
    Surface,
    TaskClass,
)
from governance.models.modes import GovernanceSettings, RoutingMode, governance_settings
from governance.models.people import Preferences
from governance.models.prices import Price, PricePrecision, PriceTier
from governance.models.teams import ApiKey, Membership, MembershipRole, Team, patterns_fault
from governance.models.texts import CallText
from governance.models.usage import LatencyHour, UsageDay, UsageHour, UsageSession

__all__ = [
    "DEFAULT_THRESHOLDS",
    "IDENTITY",
    "Alert",
    "AlertKind",
    "AlertSeverity",
    "ApiKey",
    "Approval",
    "ApprovalStatus",
    "ApprovalUntil",
    "AuditEntry",
    "BudgetAction",
    "BudgetInterval",
    "BudgetMetric",
    "BudgetPolicy",
    "BudgetScope",
    "BudgetWindow",
    "CallStatus",
    "CallText",
    "Channel",
    "ChannelFormat",
    "ChannelKind",
    "ChannelPurpose",
    "Delivery",
    "DeliveryStatus",
    "GovernanceSettings",
    "KeptCall",
    "LatencyHour",
    "Membership",
    "MembershipRole",
    "ModelCall",
    "Preferences",
    "Price",
    "PricePrecision",
    "PriceTier",
    "ProcessHeartbeat",
    "ProviderLease",
    "RoutingMode",
    "Surface",
    "TaskClass",
    "Team",
    "UsageDay",
    "UsageHour",
    "UsageSession",
    "governance_settings",
    "patterns_fault",
    "thresholds_fault",
]
