"""Whether the budgets let a call begin: pure decisions over policies and their counters.

Amounts are nano-dollars, tokens or requests, as the policy's metric says.
"""

from governance.budgets.admission import Admission, Demand, Hold, admit, largest
from governance.budgets.counters import Counter, together
from governance.budgets.evaluation import (
    APPROVAL_REQUIRED,
    BLOCKED,
    HARD_LIMIT,
    OK,
    OVERRIDE_APPLIED,
    SOFT_LIMIT,
    UNKNOWN,
    BudgetEvaluation,
    evaluate,
    tightest,
)
from governance.budgets.policies import OF_RUN, Override, Policy, Subject, WindowKey, scope_value

__all__ = [
    "APPROVAL_REQUIRED",
    "BLOCKED",
    "HARD_LIMIT",
    "OF_RUN",
    "OK",
    "OVERRIDE_APPLIED",
    "SOFT_LIMIT",
    "UNKNOWN",
    "Admission",
    "BudgetEvaluation",
    "Counter",
    "Demand",
    "Hold",
    "Override",
    "Policy",
    "Subject",
    "WindowKey",
    "admit",
    "evaluate",
    "largest",
    "scope_value",
    "tightest",
    "together",
]
