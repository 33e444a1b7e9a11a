"""Budget policies and their windows in the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList as DjangoChangeList
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from governance import scope_names
from governance.admin.call_links import calls_links
from governance.admin.policy_form import PolicyForm
from governance.admin.policy_pages import PolicyPages
from governance.admin.teams import ZoneInput
from governance.admin.window_limits import limits_of
from governance.amounts import amount_text
from governance.display import resets, standing_badge, standing_meter
from governance.models import IDENTITY, BudgetInterval, BudgetPolicy, BudgetScope, BudgetWindow
from governance.policy_words import names_of, now_text, summary
from governance.standing import Standing, named_value, standings
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ObjectLink, ReadOnlyAdmin, remembered
from providers.display import (
    NOTHING,
    bar,
    enabled_badge,
    link,
    moment,
    muted,
    two_lines,
)

if TYPE_CHECKING:
    ChangeList = DjangoChangeList
else:
    from unfold.views import ChangeList

KINDS = {
    BudgetScope.GLOBAL: "windows",
    BudgetScope.TEAM: "teams",
    BudgetScope.USER: "people",
    BudgetScope.SESSION: "sessions",
    BudgetScope.API_KEY: "keys",
    BudgetScope.JOB: "scheduled jobs",
    BudgetScope.PROVIDER: "providers",
    BudgetScope.MODEL: "models",
}
# What was counted so far was counted by these.
FIXED = tuple(name.removesuffix("_id") for name in IDENTITY)


class PolicyList(ChangeList):
    """The list of policies, each with where it stands now: one question for the whole page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        policies: list[Any] = list(self.result_list)
        standing_of = tightest_by_policy(standings(now=timezone.now())) if policies else {}
        names = names_of(policies)
        for policy in policies:
            policy.standing, policy.window_count = standing_of.get(policy.pk, (None, 0))
            policy.summary = summary(policy, names)
        self.result_list = policies


def tightest_by_policy(found: list[Standing]) -> dict[int, tuple[Standing, int]]:
    """Of each policy its tightest window, and how many windows it has now."""
    tightest: dict[int, tuple[Standing, int]] = {}
    for standing in found:
        first, count = tightest.get(standing.policy.pk, (standing, 0))
        tightest[standing.policy.pk] = (first, count + 1)
    return tightest


@admin.register(BudgetPolicy)
class BudgetPolicyAdmin(PolicyPages, ConsoleAdmin):
    """Limits: whose calls, what is counted, how long, how much."""

    form = PolicyForm
    list_display = ("name", "says", "stands", "state", "resets_at")
    list_filter = (
        "scope",
        "metric",
        "interval",
        "rolling",
        "action",
        "routing_mode",
        "enabled",
        "team",
    )
    search_fields = ("name", "team__name")
    search_help_text = "Name or team"
    list_select_related = ("team",)
    empty_text = (
        "A policy limits what is spent: cost, tokens or requests, of a team, a person, a key, a "
        "model or everyone."
    )
    empty_action = ("admin:governance_budgetpolicy_add", "Set the first limit")
    object_actions = ("disable", "enable")
    fieldsets = (
        (None, {"fields": ("name", "enabled")}),
        ("Whose calls", {"fields": ("scope", "team", "value")}),
        ("How much", {"fields": ("metric", "soft_limit", "hard_limit")}),
        ("How long", {"fields": ("interval", "rolling", "zone")}),
        ("What then", {"fields": ("action", "thresholds", "routing_mode")}),
    )
    previewed: Any = (("Where it would stand", {"fields": ("preview",)}),)
    # What is filled in stays in sight, so that it can be taken out again.
    conditional_fields = {
        "team": "scope != 'global' || team",
        "value": "!['global', 'team'].includes(scope) || value",
        "rolling": "!['run', 'total'].includes(interval) || rolling",
    }

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PolicyList]:
        return PolicyList

    def get_fieldsets(self, request: HttpRequest, obj: BudgetPolicy | None = None) -> Any:
        found: Any = super().get_fieldsets(request, obj)
        may_write = obj is None or self.has_change_permission(request, obj)
        if may_write:
            # After the limits, before what depends on them.
            found = (*found[:4], *self.previewed, *found[4:])
        return found if obj is None else (("Now", {"fields": ("says", "standing_now")}), *found)

    def get_readonly_fields(self, request: HttpRequest, obj: BudgetPolicy | None = None) -> Any:
        if obj is None:
            return ("preview",)
        return ("says", "standing_now", "preview", *(FIXED if _has_counted(obj) else ()))

    def render_change_form(  # noqa: PLR0917 - Django's own signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if obj is not None and _has_counted(obj):
            # The fields that others depend on are no longer fields.
            self.show_all_fields(context)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "zone":
            kwargs["widget"] = ZoneInput()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: BudgetPolicy | None = None) -> bool:
        """What has counted something is disabled, not deleted."""
        if obj is not None and _has_counted(obj):
            return False
        return super().has_delete_permission(request, obj)

    @admin.display(description="in words")
    def says(self, policy: BudgetPolicy) -> str:
        said: str = remembered(policy, "summary", lambda: _stored_summary(policy.pk))
        return said

    @admin.display(description="consumed, held, limit")
    def stands(self, policy: Any) -> str:
        if policy.standing is None:
            return NOTHING
        shown = standing_meter(policy.standing)
        if policy.window_count == 1:
            return shown
        address = reverse("admin:governance_budgetwindow_changelist")
        kind = "runs" if policy.interval == BudgetInterval.RUN else KINDS[policy.scope]
        more = link(f"{address}?policy__id__exact={policy.pk}", f"all {policy.window_count} {kind}")
        return two_lines(shown, format_html("{}, the tightest of {}", policy.standing.whose, more))

    @admin.display(description="state", ordering="enabled")
    def state(self, policy: Any) -> str:
        if not policy.enabled or policy.standing is None:
            return enabled_badge(policy.enabled)
        return standing_badge(policy.standing)

    @admin.display(description="resets")
    def resets_at(self, policy: Any) -> str:
        return resets(policy.standing) if policy.standing else NOTHING

    @admin.display(description="stands at")
    def standing_now(self, policy: BudgetPolicy) -> str:
        found = remembered(policy, "standings_now", lambda: _standings_of(policy))
        if not found:
            return "It is disabled, so it stops nothing." if not policy.enabled else NOTHING
        tightest = found[0]
        rows = format_html("{}{}", standing_meter(tightest), standing_badge(tightest))
        more = f", the tightest of {len(found)}" if len(found) > 1 else ""
        note = format_html("{}{}; resets {}", tightest.whose, more, resets(tightest))
        return format_html("{} {}", rows, muted(note))

    @object_action(
        label="Disable",
        permission="change",
        icon="block",
        consequence="Calls are no longer stopped by this policy. Its windows go on counting, so "
        "that it knows all when it is enabled again. Nothing is deleted.",
        applies=lambda policy: policy.enabled,
    )
    def disable(self, _request: HttpRequest, policy: BudgetPolicy, _data: Any) -> str:
        BudgetPolicy.objects.filter(pk=policy.pk).update(enabled=False)
        return f"“{policy}” is disabled: it no longer limits anything."

    @object_action(
        label="Enable", permission="change", icon="check", applies=lambda policy: not policy.enabled
    )
    def enable(self, _request: HttpRequest, policy: BudgetPolicy, _data: Any) -> str:
        BudgetPolicy.objects.filter(pk=policy.pk).update(enabled=True)
        return f"“{policy}” is enabled: it limits calls from now on."


def _stored_summary(policy_id: int) -> str:
    # As it is stored: a form that was refused has changed the object that it is shown with.
    policy = BudgetPolicy.objects.select_related("team").get(pk=policy_id)
    return summary(policy, names_of([policy]))


def _has_counted(policy: BudgetPolicy) -> bool:
    return bool(remembered(policy, "has_counted", policy.windows.exists))


def _standings_of(policy: BudgetPolicy) -> list[Standing]:
    return [one for one in standings(now=timezone.now()) if one.policy.pk == policy.pk]


class WindowList(ChangeList):
    """The list of windows, each with its names, where the row itself holds only identifiers, and
    with its limit."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        windows: list[Any] = list(self.result_list)
        names = scope_names.names(_named(window) for window in windows)
        limits = limits_of(windows, timezone.now()) if windows else {}
        for window in windows:
            window.names, window.limit = names, limits[window.pk]
        self.result_list = windows


def _named(window: BudgetWindow) -> tuple[str, str]:
    return window.policy.scope, named_value(window.policy, window.scope_value)


@admin.register(BudgetWindow)
class BudgetWindowAdmin(ReadOnlyAdmin):
    """The counters: what each policy counted, for whom, from when until when."""

    list_display = (
        "policy",
        "whose",
        "lasts",
        "amount_consumed",
        "amount_held",
        "amount_limit",
        "meter",
    )
    list_filter = ("policy", "policy__scope", "policy__metric", "policy__interval")
    search_fields = ("policy__name",)
    search_help_text = "Policy"
    list_select_related = ("policy",)
    fields = (
        "policy",
        "whose",
        "starts",
        "ends",
        "amount_consumed",
        "amount_held",
        "amount_limit",
        "amount_raised",
        "meter",
    )
    readonly_fields = fields[1:]
    empty_text = "A window opens with the first call that a policy counts."
    empty_action = ("admin:governance_budgetpolicy_changelist", "See policies")

    def object_links(self, request: HttpRequest, obj: BudgetWindow) -> list[ObjectLink]:
        return calls_links(request, "Calls it counts", window=obj.pk)

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WindowList]:
        return WindowList

    @admin.display(description="whose calls", ordering="scope_value")
    def whose(self, window: Any) -> str:
        named = _named(window)
        names = remembered(window, "names", lambda: scope_names.names([named]))
        whose: str = names.whose(*named)
        one_run = window.policy.interval == BudgetInterval.RUN
        return two_lines(whose, muted("one run")) if one_run else whose

    @admin.display(description="from", ordering="starts_at")
    def starts(self, window: BudgetWindow) -> str:
        if window.ends_at is None:
            return "The beginning"
        return moment(window.starts_at, zone_of(window))

    @admin.display(description="resets", ordering="ends_at")
    def ends(self, window: BudgetWindow) -> str:
        return "never" if window.ends_at is None else moment(window.ends_at, zone_of(window))

    @admin.display(description="from, until", ordering="starts_at")
    def lasts(self, window: BudgetWindow) -> str:
        until = format_html("until {}", self.ends(window))
        if window.policy.rolling:
            until = format_html("{}, a part of {}", until, now_text(window.policy)[3:])
        return two_lines(self.starts(window), until)

    @admin.display(description="consumed", ordering="consumed")
    def amount_consumed(self, window: BudgetWindow) -> str:
        return amount_text(window.policy.metric, window.consumed)

    @admin.display(description="held", ordering="held")
    def amount_held(self, window: BudgetWindow) -> str:
        return amount_text(window.policy.metric, window.held)

    @admin.display(description="limit")
    def amount_limit(self, window: BudgetWindow) -> str:
        limit = limit_of(window)
        if limit is None:
            return "No hard limit"
        shown = amount_text(window.policy.metric, limit)
        together = muted(now_text(window.policy))
        return two_lines(shown, together) if window.policy.rolling else shown

    @admin.display(description="of which approved on request")
    def amount_raised(self, window: BudgetWindow) -> str:
        limit, hard = limit_of(window), window.policy.hard_limit
        raised = window.raised_by if limit is None or hard is None else limit - hard
        return amount_text(window.policy.metric, raised)

    @admin.display(description="used")
    def meter(self, window: BudgetWindow) -> str:
        if window.policy.rolling:
            # The limit is that of all parts together.
            return muted(f"part of {now_text(window.policy)[3:]}")
        limit = limit_of(window)
        if not limit:
            return NOTHING
        used = (window.consumed + window.held) * 100 / limit
        label = f"{used:.0f} % consumed or held"
        shown = bar(
            consumed=window.consumed * 100 / limit, held=window.held * 100 / limit, label=label
        )
        return format_html('<span class="palyra-budget">{}{}</span>', shown, muted(f"{used:.0f} %"))


def limit_of(window: BudgetWindow) -> int | None:
    """The window's hard limit with what was approved on request; None without one."""
    limit: int | None = remembered(
        window, "limit", lambda: limits_of([window], timezone.now())[window.pk]
    )
    return limit


def zone_of(window: BudgetWindow) -> ZoneInfo:
    """The zone whose calendar the window follows."""
    return ZoneInfo(window.policy.zone)
