"""What would become of a call if it were made now: decided and held against budgets in thought."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from governance.budgets import Admission, BudgetEvaluation, admit, largest
from governance.calls import counting
from governance.calls.conditions import stored_conditions
from governance.calls.planning import CallPlan, Spending, plan
from governance.calls.request import CallRequest
from governance.ledger.looking import look
from governance.routing import RoutingDecision, cheaper
from governance.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Foreseen:
    """The decision of a call that was not made, and what the budgets would say of it."""

    decision: RoutingDecision
    evaluations: tuple[BudgetEvaluation, ...]


def foresee(request: CallRequest, snapshot: Snapshot, now: datetime) -> Foreseen:
    """What would be decided of the call. Nothing is held, and no provider is asked.

    Raises as `execute` does where the request cannot be made at all; of a call that budgets would
    refuse, the decision says that and why.
    """
    planned = plan(
        request,
        snapshot,
        now,
        conditions=stored_conditions(snapshot, now),
        most_candidates=len(snapshot.registry.models),
    )
    planned, admission = _asked(planned, snapshot, now)
    if admission.may_degrade:
        because = admission.refusals[0].explanation
        for option in cheaper(planned.route):
            instead, said = _asked(planned.instead(option, because), snapshot, now, whole=True)
            if said.blocking is None:
                return _foreseen(instead, said)
    if admission.blocking is not None:
        planned, admission = _shortened(planned, admission, snapshot, now)
    return _foreseen(planned, admission)


def _asked(
    planned: CallPlan, snapshot: Snapshot, now: datetime, *, whole: bool = False
) -> tuple[CallPlan, Admission]:
    """What budgets say of the call at its model, its input counted if that may change it."""
    option = planned.route.chosen
    standing = look(planned.subject(option), snapshot.policies, now)
    admission = admit(Spending(option).demand, standing)
    least = counting.tightest(planned, option, whole=whole) if admission.blocking else None
    if least is None or admit(least, standing).blocking is not None:
        return planned, admission
    planned = counting.counted(planned, option)
    return planned, admit(Spending(planned.route.chosen).demand, standing)


def _shortened(
    planned: CallPlan, refused: Admission, snapshot: Snapshot, now: datetime
) -> tuple[CallPlan, Admission]:
    """The call with the output that budgets pay for, if that is worth asking for."""
    option, least = planned.route.chosen, planned.asked.least_output
    if least is None:
        return planned, refused
    standing = look(planned.subject(option), snapshot.policies, now)

    def said(cap: int) -> Admission:
        return admit(Spending(replace(option, cap=cap)).demand, standing)

    floor = max(planned.output_floor, least)
    cap = largest(lambda one: said(one).blocking is None, floor, option.output_cap - 1)
    return (planned, refused) if cap is None else (planned.with_cap(option, cap), said(cap))


def _foreseen(planned: CallPlan, admission: Admission) -> Foreseen:
    decision = planned.said(admission).route.decision
    if admission.blocking is not None:
        action = "approval_required" if admission.needs_approval else "blocked"
        said = admission.blocking.explanation
        decision = replace(decision, action=action, explanation=(*decision.explanation, said))
    return Foreseen(decision, admission.evaluations)
