"""Requests for more budget in the console: read with their context, decided once."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db.models import Case, QuerySet, Value, When
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.text import Truncator

from governance import approval_words, approvals, overrides
from governance.admin.approval_effects import (
    asked_for,
    is_kept,
    is_pending,
    raises_now,
    what_approving_does,
    what_denying_does,
    what_ending_does,
)
from governance.admin.policy_facts import History, history_of_request
from governance.amounts import amount_text
from governance.approvals import ApprovalAlreadyDecided, ApprovalNotAllowed
from governance.display import APPROVAL_TONES, resets, standing_badge, standing_meter
from governance.models import (
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    BudgetInterval,
)
from governance.standing import Standing, standings
from providers.admin.actions import ObjectAction, object_action
from providers.admin.base import ObjectLink, ReadOnlyAdmin, remembered
from providers.display import (
    NOTHING,
    badge,
    link,
    moment,
    moment_text,
    muted,
    preformatted,
    two_lines,
)

__all__ = ["ApprovalAdmin", "asked_for"]


# A list shows the beginning of why somebody asks.
SHOWN_OF_REASON = 90


class CommentForm(forms.Form):
    """What the requester is told with the decision."""

    comment = forms.CharField(
        required=False,
        max_length=Approval._meta.get_field("comment").max_length,
        label="Comment",
        help_text="The team reads it with the decision.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


class ApproveForm(CommentForm):
    """The same, and for how long a request for one call is approved."""

    until = forms.ChoiceField(
        required=False,
        label="For how long",
        choices=(
            (ApprovalUntil.CALL.value, "Once: for this call only"),
            (ApprovalUntil.RESET.value, "Until the window resets: for everyone it counts"),
        ),
    )
    field_order = ("until", "comment")


@admin.register(Approval)
class ApprovalAdmin(ReadOnlyAdmin):
    """Requests for more, those that wait first."""

    list_display = (
        "what",
        "team",
        "amount_asked",
        "lasts",
        "requester",
        "asked",
        "state",
        "decision",
    )
    list_filter = ("status", "until", "team", "policy")
    search_fields = ("team__name", "policy__name", "reason", "requested_by__username")
    search_help_text = "Team, budget, reason or person"
    list_select_related = ("team", "policy", "requested_by", "decided_by", "ended_by", "window")
    empty_text = "Nobody has asked for more. Teams ask on their own pages when a budget is short."
    empty_action = ("admin:governance_budgetpolicy_changelist", "See policies")
    change_form_outer_after_template = "admin/governance/approval_after.html"
    object_actions = ("approve", "deny", "end")
    readonly_fields = (
        "budget",
        "whose",
        "team",
        "amount_asked",
        "lasts",
        "call",
        "why",
        "requester",
        "asked",
        "stands",
        "would_be",
        "before",
        "state",
        "decision",
        "said",
    )
    fieldsets = (
        (
            "Asked",
            {
                "fields": (
                    "team",
                    "budget",
                    "whose",
                    "amount_asked",
                    "lasts",
                    "call",
                    "why",
                    "requester",
                    "asked",
                )
            },
        ),
        ("Where the budget stands", {"fields": ("stands", "would_be", "before")}),
        ("Decision", {"fields": ("state", "decision", "said")}),
    )

    def form_of_action(self, action: ObjectAction, obj: Approval) -> forms.Form:
        """Only what is asked for one call can be approved for longer."""
        form = super().form_of_action(action, obj)
        longer = obj.until == ApprovalUntil.CALL and obj.policy.interval != BudgetInterval.RUN
        if action.name == "approve" and not longer:
            del form.fields["until"]
        return form

    def object_context(self, request: HttpRequest, obj: Approval) -> dict[str, Any]:
        return {"history": _history(obj)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Approval]:
        found: QuerySet[Approval] = super().get_queryset(request)
        return found.select_related(*self.list_select_related)

    def get_ordering(self, request: HttpRequest) -> Any:
        waiting = Case(When(status=ApprovalStatus.PENDING, then=Value(0)), default=Value(1))
        return (waiting, "-requested_at")

    def has_decide_permission(self, request: HttpRequest, obj: Approval | None = None) -> bool:
        """Those with the permission, and never the one who asked."""
        own = obj is not None and approvals.is_own(obj, request.user)
        return not own and request.user.has_perm(approvals.DECIDE_PERMISSION)

    def has_end_permission(self, request: HttpRequest, obj: Approval | None = None) -> bool:
        """Whoever may decide may take back; also what they asked for themselves."""
        return request.user.has_perm(approvals.DECIDE_PERMISSION)

    def object_links(self, request: HttpRequest, obj: Approval) -> list[ObjectLink]:
        if not request.user.has_perm("governance.view_budgetpolicy"):
            return []
        address = reverse("admin:governance_budgetpolicy_change", args=[obj.policy_id])
        return [ObjectLink(label="The policy", address=address, icon="speed")]

    def object_note(self, request: HttpRequest, obj: Approval) -> str:
        if obj.ended_at is not None:
            by = _person(obj.ended_by) if obj.ended_by else "somebody since deleted"
            return f"It was ended before its time by {by}, {moment_text(obj.ended_at)}."
        if not is_pending(obj) or self.has_decide_permission(request, obj):
            return ""
        if approvals.is_own(obj, request.user):
            return approvals.OWN
        return "It waits for somebody who may decide requests."

    @object_action(
        label="Approve",
        permission="decide",
        icon="check",
        consequence=what_approving_does,
        tone="primary",
        form_class=ApproveForm,
        applies=is_pending,
    )
    def approve(self, request: HttpRequest, approval: Approval, data: dict[str, Any]) -> str:
        decided = _decide(request, approval, data, approve=True)
        if decided.until == ApprovalUntil.CALL:
            return f"Approved: one call may take “{approval.policy}” past its limit."
        return f"Approved: {decided.team} has {asked_for(approval)} more of “{approval.policy}”."

    @object_action(
        label="Deny",
        permission="decide",
        icon="close",
        consequence=what_denying_does,
        form_class=CommentForm,
        applies=is_pending,
    )
    def deny(self, request: HttpRequest, approval: Approval, data: dict[str, Any]) -> str:
        _decide(request, approval, data, approve=False)
        return f"Denied: the limit of “{approval.policy}” stays as it is."

    @object_action(
        label="End early",
        permission="end",
        icon="timer_off",
        consequence=what_ending_does,
        applies=raises_now,
    )
    def end(self, request: HttpRequest, approval: Approval, _data: Any) -> str:
        try:
            overrides.end(approval_id=approval.pk, by=cast(User, request.user), now=timezone.now())
        except (overrides.OverrideIsOver, ApprovalNotAllowed) as refused:
            raise ValidationError(str(refused)) from None
        return f"Ended: the limit of “{approval.policy}” is the policy's own again."

    @admin.display(description="budget", ordering="policy__name")
    def what(self, approval: Approval) -> str:
        reason = Truncator(approval.reason).chars(SHOWN_OF_REASON)
        return two_lines(approval.policy.name, muted(reason))

    @admin.display(description="budget")
    def budget(self, approval: Approval) -> str:
        return approval.policy.name

    @admin.display(description="more", ordering="amount")
    def amount_asked(self, approval: Approval) -> str:
        return asked_for(approval)

    @admin.display(description="whose")
    def whose(self, approval: Approval) -> str:
        return approval_words.whose(approval)

    @admin.display(description="how long", ordering="until")
    def lasts(self, approval: Approval) -> str:
        words = approval_words.lasts(approval)
        return words[:1].upper() + words[1:]

    @admin.display(description="call")
    def call(self, approval: Approval) -> str:
        if approval.call_id is None:
            return NOTHING
        shown = _call_link(approval.call_id)
        waits = is_pending(approval) and is_kept(approval)
        return two_lines(shown, muted("It waits for this")) if waits else shown

    @admin.display(description="reason")
    def why(self, approval: Approval) -> str:
        return preformatted(approval.reason)

    @admin.display(description="asked by", ordering="requested_by__username")
    def requester(self, approval: Approval) -> str:
        return approval_words.requester(approval)

    @admin.display(description="asked", ordering="requested_at")
    def asked(self, approval: Approval) -> str:
        return moment(approval.requested_at)

    @admin.display(description="state", ordering="status")
    def state(self, approval: Approval) -> str:
        shown = badge(approval.get_status_display(), APPROVAL_TONES.get(approval.status, "quiet"))
        return two_lines(shown, muted("ended early")) if approval.ended_at else shown

    @admin.display(description="decided", ordering="decided_at")
    def decision(self, approval: Approval) -> str:
        if approval.decided_at is None:
            return NOTHING
        by = _person(approval.decided_by) if approval.decided_by else "somebody since deleted"
        return two_lines(moment(approval.decided_at), muted(f"by {by}"))

    @admin.display(description="comment")
    def said(self, approval: Approval) -> str:
        return preformatted(approval.comment)

    @admin.display(description="now")
    def stands(self, approval: Approval) -> str:
        standing = _standing(approval)
        if standing is None:
            return "The budget no longer counts this team's calls."
        when = muted(f"resets {resets(standing)}")
        return format_html("{} {} {}", standing_meter(standing), standing_badge(standing), when)

    @admin.display(description="limit if approved")
    def would_be(self, approval: Approval) -> str:
        standing = _standing(approval)
        if not is_pending(approval) or standing is None or standing.hard_limit is None:
            return NOTHING
        if approval.until == ApprovalUntil.CALL:
            return "As now, but for this one call"
        return amount_text(approval.policy.metric, standing.hard_limit + approval.amount)

    @admin.display(description="earlier requests")
    def before(self, approval: Approval) -> str:
        return str(remembered(approval, "earlier", lambda: _earlier(approval)))


def _history(approval: Approval) -> History:
    value = approval_words.scope_value(approval)
    return history_of_request(approval.policy, value, timezone.now())


def _earlier(approval: Approval) -> str:
    earlier = Approval.objects.filter(
        team=approval.team,
        policy=approval.policy,
        scope_value=approval.scope_value,
        requested_at__lt=approval.requested_at,
    )
    approved = earlier.filter(status=ApprovalStatus.APPROVED).count()
    denied = earlier.filter(status=ApprovalStatus.DENIED).count()
    if not approved and not denied:
        return "There are none"
    query = urlencode(
        {"policy__id__exact": approval.policy_id, "team__id__exact": approval.team_id}
    )
    address = f"{reverse('admin:governance_approval_changelist')}?{query}"
    return link(address, f"{approved} approved, {denied} denied")


def _decide(
    request: HttpRequest, approval: Approval, data: dict[str, Any], *, approve: bool
) -> Approval:
    try:
        return approvals.decide(
            approval_id=approval.pk,
            decided_by=cast(User, request.user),
            approve=approve,
            comment=data["comment"],
            until=data.get("until") or "" if approval.until == ApprovalUntil.CALL else "",
            now=timezone.now(),
        )
    except (ApprovalAlreadyDecided, ApprovalNotAllowed) as refused:
        raise ValidationError(str(refused)) from None


def _call_link(call_id: UUID) -> str:
    """The call in the ledger."""
    address = reverse("admin:governance_modelcall_change", args=[call_id])
    return format_html('<a href="{}">{}</a>', address, call_id)


def _standing(approval: Approval) -> Standing | None:
    def find() -> Standing | None:
        found = standings(
            team=approval.team, person_id=approval.requested_by_id, now=timezone.now()
        )
        value, policy = approval_words.scope_value(approval), approval.policy
        return next(
            (
                one
                for one in found
                if one.policy.pk == policy.pk
                and approval_words.without_run(policy, one.scope_value) in {"", value}
            ),
            None,
        )

    standing: Standing | None = remembered(approval, "standing", find)
    return standing


def _person(user: Any) -> str:
    return str(user.get_full_name() or user.get_username())
