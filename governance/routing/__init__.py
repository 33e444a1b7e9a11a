"""Which model a call goes to, and why: a pure decision that explains itself."""

from governance.routing.conditions import NO_CONDITIONS, Conditions
from governance.routing.deciding import Route, cheaper, clamped, counted, decide, degraded
from governance.routing.decision import MOST_CANDIDATES, Candidate, Compared, RoutingDecision
from governance.routing.modes import DRY_RUN, ENFORCED, SUGGEST, Mode, resolve
from governance.routing.options import Option

__all__ = [
    "DRY_RUN",
    "ENFORCED",
    "MOST_CANDIDATES",
    "NO_CONDITIONS",
    "SUGGEST",
    "Candidate",
    "Compared",
    "Conditions",
    "Mode",
    "Option",
    "Route",
    "RoutingDecision",
    "cheaper",
    "clamped",
    "counted",
    "decide",
    "degraded",
    "resolve",
]
