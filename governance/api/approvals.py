"""Requests for more budget in the JSON API."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db.models import Q
from django.utils import timezone
from ninja import Query, Router, Schema, Status
from pydantic import Field, StrictBool

from governance import approvals
from governance.amounts import amount_json
from governance.api.conventions import ActorRequest, Amount, RowId, counted
from governance.models import Approval, ApprovalStatus, ApprovalUntil, BudgetPolicy
from providers.api.conventions import Input, Moment, find, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()
_SHOWN_WITH = ("team", "policy", "requested_by", "decided_by", "ended_by")


class ApprovalIn(Input):
    """A request for more of a budget, until it resets or until a date."""

    team: str | None = Field(None, description="A team's slug; your only team if left out.")
    policy: RowId = Field(description="The policy's identifier, as /budgets gives it.")
    amount: Amount
    reason: str = Field(description="Whoever decides reads this.")
    scope_value: str | None = Field(
        None,
        description="Whose budget, where the policy has one for each person, session and so on, as "
        "/budgets gives it; the team's or everyone's if left out.",
    )
    until: Literal["reset", "date"] = "reset"
    expires_at: Moment | None = Field(None, description="When it ends, if it lasts until a date.")


class DecisionIn(Input):
    """What becomes of a request."""

    approve: StrictBool
    comment: str = ""


class ApprovalQuery(PageQuery):
    """Which requests."""

    team: str | None = Field(None, description="A team's slug.")
    status: ApprovalStatus | None = None


class ApprovalOut(Schema):
    """A request for more budget, and what was decided of it."""

    id: str
    team: str
    policy: str = Field(description="The policy's identifier.")
    policy_name: str
    metric: str
    amount: str
    scope_value: str = Field(description="Whose budget; empty for everyone's.")
    until: ApprovalUntil
    expires_at: Moment | None
    call_id: str | None = Field(description="The call that was blocked, if one was.")
    reason: str
    requested_by: str | None = Field(description="Nobody, where a call made with a key asked.")
    requested_at: Moment
    status: ApprovalStatus
    decided_by: str | None
    decided_at: Moment | None
    comment: str
    ended_by: str | None = Field(description="Who ended before its time what was approved.")
    ended_at: Moment | None = Field(description="When, if it was ended before its time.")

    @classmethod
    def of(cls, approval: Approval) -> ApprovalOut:
        return cls(
            id=str(approval.pk),
            team=approval.team.slug,
            policy=str(approval.policy_id),
            policy_name=approval.policy.name,
            metric=approval.policy.metric,
            amount=str(amount_json(approval.policy.metric, approval.amount)),
            scope_value=approval.scope_value,
            until=ApprovalUntil(approval.until),
            expires_at=approval.expires_at,
            call_id=str(approval.call_id) if approval.call_id else None,
            reason=approval.reason,
            requested_by=approval.requested_by.get_username() if approval.requested_by else None,
            requested_at=approval.requested_at,
            status=ApprovalStatus(approval.status),
            decided_by=approval.decided_by.get_username() if approval.decided_by else None,
            decided_at=approval.decided_at,
            comment=approval.comment,
            ended_by=approval.ended_by.get_username() if approval.ended_by else None,
            ended_at=approval.ended_at,
        )


@router.get(
    "/approvals",
    response=Page[ApprovalOut],
    operation_id="list_approvals",
    summary="List requests for more budget",
    openapi_extra=refusals({404: "There is no such team, or you do not act for it."}),
)
def list_approvals(request: ActorRequest, page: Query[ApprovalQuery]) -> Page[ApprovalOut]:
    """Those of your teams, newest first; with `governance.view_approval` or
    `governance.decide_approval`, everyone's."""
    rows = Approval.objects.select_related(*_SHOWN_WITH)
    rows = rows.filter(request.auth.within(_seeing(request)))
    if page.team is not None:
        rows = rows.filter(team=request.auth.team(page.team, _seeing(request)))
    if page.status is not None:
        rows = rows.filter(status=page.status)
    shown, following = read_page(rows, page, by="-requested_at")
    return Page[ApprovalOut](items=[ApprovalOut.of(row) for row in shown], next_cursor=following)


@router.get(
    "/approvals/{uuid:approval_id}",
    response=ApprovalOut,
    operation_id="get_approval",
    summary="Show a request for more budget",
)
def get_approval(request: ActorRequest, approval_id: UUID) -> ApprovalOut:
    """Where it stands, and what was decided of it."""
    rows = Approval.objects.select_related(*_SHOWN_WITH)
    return ApprovalOut.of(find(rows.filter(request.auth.within(_seeing(request))), pk=approval_id))


@router.post(
    "/approvals",
    response={201: ApprovalOut},
    operation_id="request_approval",
    summary="Ask for more budget",
    openapi_extra=refusals(
        {
            403: "A key cannot ask: sign in.",
            404: "There is no such team or policy, or it does not count your team's calls.",
        }
    ),
)
def request_approval(request: ActorRequest, body: ApprovalIn) -> Status[ApprovalOut]:
    """What is approved raises the limit until it resets, or until a date. Asked by a person,
    decided by another. A call that is blocked asks for itself."""
    person = request.auth.require_person("Asking for more budget")
    team = request.auth.team(body.team, "governance.add_approval")
    policies = BudgetPolicy.objects.filter(Q(team=team) | Q(team__isnull=True))
    policy = find(policies, pk=body.policy)
    try:
        amount = counted(policy.metric, body.amount)
    except ValueError as error:
        raise ValidationError({"amount": str(error)}) from None
    made = approvals.request_more(
        team=team,
        policy=policy,
        requested_by=person,
        amount=amount,
        reason=body.reason,
        scope_value=body.scope_value,
        until=body.until,
        expires_at=body.expires_at,
        now=timezone.now(),
    )
    return Status(201, ApprovalOut.of(made))


@router.post(
    "/approvals/{uuid:approval_id}/decide",
    response=ApprovalOut,
    operation_id="decide_approval",
    summary="Approve or deny a request for more budget",
    openapi_extra=refusals(
        {
            403: "You may not decide requests, or this one is your own.",
            409: "Somebody has decided it already.",
        }
    ),
)
def decide_approval(request: ActorRequest, approval_id: UUID, body: DecisionIn) -> ApprovalOut:
    """Once, and never one's own. Needs the permission `governance.decide_approval`."""
    visible = Approval.objects.filter(request.auth.within(_seeing(request)))
    asked = find(visible, pk=approval_id)
    decided = approvals.decide(
        approval_id=asked.pk,
        decided_by=request.auth.require_person("Deciding a request"),
        approve=body.approve,
        comment=body.comment,
        now=timezone.now(),
    )
    return ApprovalOut.of(decided)


def _seeing(request: ActorRequest) -> str:
    """The permission under which requests are seen: who decides them sees them as well."""
    deciding = approvals.DECIDE_PERMISSION
    return deciding if request.auth.may(deciding) else "governance.view_approval"
