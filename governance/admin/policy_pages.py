"""Beside a budget policy's form: where it would stand as it is written, what its windows came to,
what raises its limit now, and the same policy for other teams. `BudgetPolicyAdmin` inherits it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods, require_safe

from governance import policy_copies, scope_names
from governance.admin.policy_facts import history_shown, overrides_shown
from governance.models import BudgetPolicy, Team
from governance.policy_preview import PolicyPreview, foreseen, preview
from governance.policy_words import names_of, summary
from governance.standing import Standing
from providers.admin.actions import faults_in, faults_of
from providers.admin.base import ObjectLink

if TYPE_CHECKING:
    from django.contrib import admin

    from providers.admin.base import ConsoleAdmin as Base
else:
    from django.contrib import admin

    Base = object

# Of a policy with a window for each of many, so many are shown while it is written.
SHOWN_STANDINGS = 5
# What the preview may be without: it says nothing of where a policy stands.
NOT_ASKED = frozenset({"name", "enabled", "routing_mode"})


class PolicyPages(Base):
    """Mixed into the console's page of a policy."""

    change_form_outer_after_template = "admin/governance/budgetpolicy/after.html"
    actions = ("enable_selected", "disable_selected")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("preview/", view(self.preview_view), name="governance_budgetpolicy_preview"),
            path(
                "<path:object_id>/duplicate/",
                view(self.duplicate_view),
                name="governance_budgetpolicy_duplicate",
            ),
        ]
        return [*own, *super().get_urls()]

    def object_context(self, request: HttpRequest, obj: BudgetPolicy) -> dict[str, Any]:
        now = timezone.now()
        return {
            "history": history_shown(obj, request.GET.get("whose"), now),
            "overrides": overrides_shown(obj, request.user, now),
        }

    def object_links(self, request: HttpRequest, obj: BudgetPolicy) -> list[ObjectLink]:
        if not self.has_add_permission(request) or policy_copies.cannot_be_copied(obj):
            return []
        address = reverse("admin:governance_budgetpolicy_duplicate", args=[quote(obj.pk)])
        return [ObjectLink(label="Duplicate to teams", address=address, icon="content_copy")]

    @admin.display(description="as it is written")
    def preview(self, policy: BudgetPolicy) -> str:
        stored = policy if policy.created_at else None
        address = "admin/governance/budgetpolicy/preview_box.html"
        return render_to_string(address, {"policy": stored})

    @method_decorator(require_safe)
    def preview_view(self, request: HttpRequest) -> HttpResponse:
        """Where the policy would stand now, while it is being written."""
        key = request.GET.get("policy")
        policy = self.get_object(request, key) if key else None
        allowed = (
            self.has_add_permission(request)
            if policy is None
            else self.has_change_permission(request, policy)
        )
        if not allowed:
            raise PermissionDenied
        form_class = self.get_form(request, policy, change=policy is not None)
        form: Any = form_class(request.GET, instance=policy)
        faults = [
            fault
            for name, texts in form.errors.items()
            if name not in NOT_ASKED
            for fault in faults_in({name: texts}, form)  # type: ignore[arg-type]
        ]
        begun = any(request.GET.get(name) for name in ("soft_limit", "hard_limit"))
        found = None if faults or not begun else preview(form.instance, now=timezone.now())
        context = {
            "is_begun": begun,
            "faults": faults,
            **_said(form.instance, found),
        }
        return TemplateResponse(request, "admin/governance/budgetpolicy/preview.html", context)

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def duplicate_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The teams that may have the same; posted, those picked are given it, or none."""
        policy = self.get_object(request, unquote(object_id))
        if policy is None or not self.has_view_permission(request, policy):
            raise PermissionDenied
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._duplicating(request, policy)
        picked = request.POST.getlist("teams")
        numbers = [int(one) for one in picked if scope_names.is_number(one)]
        teams = list(Team.objects.filter(pk__in=numbers, enabled=True))
        try:
            if len(teams) < len(picked):
                raise ValidationError("A team that was picked is gone or disabled; pick again.")
            made = policy_copies.copy_to(policy, teams)
        except ValidationError as error:
            for fault in faults_of(error):
                messages.error(request, fault)
            return self._duplicating(request, policy, picked)
        count = "1 team has" if len(made) == 1 else f"{len(made)} teams have"
        messages.success(request, f"{count} a policy like “{policy}” now, each of its own.")
        return HttpResponseRedirect(reverse("admin:governance_budgetpolicy_changelist"))

    def _duplicating(
        self, request: HttpRequest, policy: BudgetPolicy, picked: list[str] | None = None
    ) -> HttpResponse:
        found = policy_copies.recipients(policy)
        standing = _standings_as_of(policy)
        rows = [
            {
                "recipient": one,
                "is_picked": str(one.team.pk) in (picked or ()),
                "standing": standing.get(str(one.team.pk)),
            }
            for one in found
        ]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": f"Duplicate “{policy}” to teams",
            "original": policy,
            "policy": policy,
            "summary": summary(policy, names_of([policy])),
            "fault": policy_copies.cannot_be_copied(policy),
            "rows": rows,
            "free": sum(one.has is None for one in found),
            "shows_standing": policy.scope == "team" and policy.interval != "run",
        }
        return TemplateResponse(request, "admin/governance/budgetpolicy/duplicate.html", context)

    @admin.action(description="Enable the selected policies", permissions=["change"])
    def enable_selected(self, request: HttpRequest, chosen: QuerySet[BudgetPolicy]) -> None:
        self._switch(request, chosen, enabled=True)

    @admin.action(description="Disable the selected policies", permissions=["change"])
    def disable_selected(self, request: HttpRequest, chosen: QuerySet[BudgetPolicy]) -> None:
        self._switch(request, chosen, enabled=False)

    def _switch(
        self, request: HttpRequest, chosen: QuerySet[BudgetPolicy], *, enabled: bool
    ) -> None:
        word = "enabled" if enabled else "disabled"
        keys = list(chosen.values_list("pk", flat=True))
        others = BudgetPolicy.objects.filter(pk__in=keys, enabled=not enabled)
        changed = others.update(enabled=enabled)
        already = len(keys) - changed
        said = f"{changed} {'policy is' if changed == 1 else 'policies are'} {word} now"
        if already:
            said += f"; {already} {'was' if already == 1 else 'were'} already"
        does = "They limit calls from now on." if enabled else "They stop nothing, and count on."
        messages.success(request, f"{said}. {does if changed else ''}".strip())


def _said(policy: BudgetPolicy, found: PolicyPreview | None) -> dict[str, Any]:
    if found is None:
        return {}
    return {
        "preview": found,
        "summary": summary(policy, names_of([policy])),
        "standings": found.standings[:SHOWN_STANDINGS],
        "more": max(0, len(found.standings) - SHOWN_STANDINGS),
    }


def _standings_as_of(policy: BudgetPolicy) -> dict[str, Standing]:
    """How a team's policy would stand for every team, by team's number."""
    if policy.scope != "team" or policy.interval == "run":
        return {}
    everyone = BudgetPolicy(
        **{name: getattr(policy, name) for name in policy_copies.COPIED}, name=policy.name
    )
    return {one.scope_value: one for one in foreseen(everyone, timezone.now())}
