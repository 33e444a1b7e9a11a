"""The console's pages of teams, keys, prices, budgets, approvals and the ledger."""

from governance.admin.alerts import AlertAdmin
from governance.admin.approvals import ApprovalAdmin
from governance.admin.audit import AuditEntryAdmin
from governance.admin.budgets import BudgetPolicyAdmin, BudgetWindowAdmin
from governance.admin.calls import ModelCallAdmin
from governance.admin.channels import ChannelAdmin, DeliveryAdmin
from governance.admin.keys import ApiKeyAdmin
from governance.admin.prices import PriceAdmin
from governance.admin.processes import ProcessHeartbeatAdmin
from governance.admin.settings import GovernanceSettingsAdmin
from governance.admin.teams import TeamAdmin

__all__ = [
    "AlertAdmin",
    "ApiKeyAdmin",
    "ApprovalAdmin",
    "AuditEntryAdmin",
    "BudgetPolicyAdmin",
    "BudgetWindowAdmin",
    "ChannelAdmin",
    "DeliveryAdmin",
    "GovernanceSettingsAdmin",
    "ModelCallAdmin",
    "PriceAdmin",
    "ProcessHeartbeatAdmin",
    "TeamAdmin",
]
