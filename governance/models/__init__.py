"""Governance's tables, by what they are about."""

from governance.models.budgets import (
    Approval,
    ApprovalStatus,
    BudgetInterval,
    BudgetMetric,
    BudgetPolicy,
    BudgetScope,
    BudgetWindow,
)
from governance.models.ledger import (
    CallStatus,
    ModelCall,
    ProcessHeartbeat,
    ProviderLease,
    Surface,
    TaskClass,
)
from governance.models.prices import Price, PricePrecision
from governance.models.teams import ApiKey, Membership, MembershipRole, Team

__all__ = [
    "ApiKey",
    "Approval",
    "ApprovalStatus",
    "BudgetInterval",
    "BudgetMetric",
    "BudgetPolicy",
    "BudgetScope",
    "BudgetWindow",
    "CallStatus",
    "Membership",
    "MembershipRole",
    "ModelCall",
    "Price",
    "PricePrecision",
    "ProcessHeartbeat",
    "ProviderLease",
    "Surface",
    "TaskClass",
    "Team",
]
