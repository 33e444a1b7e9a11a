"""Budget policies and their windows in the console."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList as DjangoChangeList
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from governance.admin.teams import ZoneInput
from governance.amounts import amount_text
from governance.display import resets, standing_badge, standing_meter
from governance.models import BudgetMetric, BudgetPolicy, BudgetScope, BudgetWindow, Team
from governance.money import NANO_DOLLARS, from_nano_dollars
from governance.standing import Standing, standings
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ReadOnlyAdmin, remembered
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
    from django.forms import TextInput as UnfoldAdminTextInputWidget

    ChangeList = DjangoChangeList
else:
    from unfold.views import ChangeList
    from unfold.widgets import UnfoldAdminTextInputWidget

LARGEST_STORED = 2**63 - 1
LIMITS = frozenset({"soft_limit", "hard_limit"})


class LimitField(forms.DecimalField):
    """A limit as a person writes it: dollars for cost, otherwise a whole number."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextInputWidget({"inputmode": "decimal", "autocomplete": "off"})
        super().__init__(required=False, max_digits=28, widget=widget, **kwargs)


class PolicyForm(forms.ModelForm[BudgetPolicy]):
    """Limits in dollars where cost is counted, in whole tokens or requests otherwise."""

    soft_limit = LimitField(help_text="Past it calls still go through, with a warning.")
    hard_limit = LimitField(
        help_text="No call is begun that might pass it. US dollars for cost; otherwise a whole "
        "number of tokens or requests."
    )

    class Meta:
        model = BudgetPolicy
        fields = (
            "name",
            "scope",
            "team",
            "metric",
            "interval",
            "zone",
            "soft_limit",
            "hard_limit",
            "enabled",
        )

    def _update_errors(self, errors: ValidationError) -> None:
        # A limit that could not be read is missing from the policy, which is not the fault to say.
        if not LIMITS.isdisjoint(self.errors):
            for name in LIMITS:
                errors.error_dict.pop(name, None)
        super()._update_errors(errors)  # type: ignore[misc]

    def get_initial_for_field(self, field: forms.Field, field_name: str) -> Any:
        value = super().get_initial_for_field(field, field_name)
        if field_name in LIMITS and isinstance(value, int):
            return _as_written(value, self.instance.metric)
        return value

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        metric = data.get("metric") or self.instance.metric
        for name in sorted(LIMITS):
            written = data.get(name)
            if written is None:
                continue
            fault = _fault(written, metric)
            if fault:
                self.add_error(name, fault)
            else:
                data[name] = _as_stored(written, metric)
        return data


def _as_written(amount: int, metric: str) -> str:
    if metric != BudgetMetric.COST:
        return str(amount)
    dollars = from_nano_dollars(amount)
    cents = dollars.quantize(Decimal("0.01"))
    return f"{cents if cents == dollars else dollars.normalize():f}"


def _as_stored(written: Decimal, metric: str) -> int:
    return int(written * NANO_DOLLARS) if metric == BudgetMetric.COST else int(written)


def _fault(written: Decimal, metric: str) -> str | None:
    """Why a limit cannot be stored exactly as it was written, or None."""
    stored = written * NANO_DOLLARS if metric == BudgetMetric.COST else written
    if stored != stored.to_integral_value():
        if metric == BudgetMetric.COST:
            return "Give at most nine decimal places: a billionth of a dollar is the smallest part."
        return f"A fraction of a {metric.removesuffix('s')} cannot be counted: give a whole number."
    if stored > LARGEST_STORED:
        return f"A limit can be at most {amount_text(metric, LARGEST_STORED)}."
    return None


class PolicyList(ChangeList):
    """The list of policies, each with where it stands now: one question for the whole page."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        policies: list[Any] = list(self.result_list)
        standing_of = tightest_by_policy(standings(now=timezone.now())) if policies else {}
        for policy in policies:
            policy.standing, policy.window_count = standing_of.get(policy.pk, (None, 0))
        self.result_list = policies


def tightest_by_policy(found: list[Standing]) -> dict[int, tuple[Standing, int]]:
    """Of each policy its tightest window, and how many windows it has now."""
    tightest: dict[int, tuple[Standing, int]] = {}
    for standing in found:
        first, count = tightest.get(standing.policy.pk, (standing, 0))
        tightest[standing.policy.pk] = (first, count + 1)
    return tightest


@admin.register(BudgetPolicy)
class BudgetPolicyAdmin(ConsoleAdmin):
    """Limits: whose calls, what is counted, how long, how much."""

    form = PolicyForm
    list_display = ("name", "counts", "stands", "state", "resets_at")
    list_filter = ("metric", "interval", "scope", "enabled", "team")
    search_fields = ("name", "team__name")
    search_help_text = "Name or team"
    list_select_related = ("team",)
    empty_text = "A policy limits what is spent: cost, tokens or requests, for a team or everyone."
    empty_action = ("admin:governance_budgetpolicy_add", "Set the first limit")
    object_actions = ("disable", "enable")
    fieldsets = (
        (None, {"fields": ("name", "enabled")}),
        ("Whose calls", {"fields": ("scope", "team")}),
        ("How much", {"fields": ("metric", "soft_limit", "hard_limit")}),
        ("How long", {"fields": ("interval", "zone")}),
    )
    conditional_fields = {"team": f"scope == '{BudgetScope.TEAM.value}'"}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[PolicyList]:
        return PolicyList

    def get_fieldsets(self, request: HttpRequest, obj: BudgetPolicy | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        return found if obj is None else (("Now", {"fields": ("standing_now",)}), *found)

    def get_readonly_fields(self, request: HttpRequest, obj: BudgetPolicy | None = None) -> Any:
        if obj is None:
            return ()
        # What was counted so far is in the metric's unit, so the metric stays.
        fixed = ("metric",) if _has_counted(obj) else ()
        return ("standing_now", *fixed)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "zone":
            kwargs["widget"] = ZoneInput()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: BudgetPolicy | None = None) -> bool:
        """What has counted something is disabled, not deleted."""
        if obj is not None and _has_counted(obj):
            return False
        return super().has_delete_permission(request, obj)

    @admin.display(description="counts")
    def counts(self, policy: BudgetPolicy) -> str:
        whose = "each team" if policy.scope == BudgetScope.TEAM else "everyone together"
        if policy.team is not None:
            whose = policy.team.name
        each = "in total" if policy.interval == "total" else f"per {policy.interval}"
        return two_lines(f"{policy.get_metric_display()} {each}", muted(whose))

    @admin.display(description="consumed, held, limit")
    def stands(self, policy: Any) -> str:
        if policy.standing is None:
            return NOTHING
        shown = standing_meter(policy.standing)
        if policy.window_count == 1:
            return shown
        address = reverse("admin:governance_budgetwindow_changelist")
        more = link(f"{address}?policy__id__exact={policy.pk}", f"all {policy.window_count} teams")
        name = policy.standing.team.name if policy.standing.team else ""
        return two_lines(shown, format_html("{}, the tightest of {}", name, more))

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
        return format_html("{} {}", rows, muted(f"resets {resets(tightest)}"))

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


def _has_counted(policy: BudgetPolicy) -> bool:
    return bool(remembered(policy, "has_counted", policy.windows.exists))


def _standings_of(policy: BudgetPolicy) -> list[Standing]:
    return [one for one in standings(now=timezone.now()) if one.policy.pk == policy.pk]


class WindowList(ChangeList):
    """The list of windows, each with its team: the row itself holds only the team's number."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        windows: list[Any] = list(self.result_list)
        numbers = {int(one.scope_value) for one in windows if one.scope_value.isdigit()}
        teams = Team.objects.in_bulk(numbers)
        for window in windows:
            number = int(window.scope_value) if window.scope_value.isdigit() else 0
            window.team = teams.get(number)
        self.result_list = windows


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
    list_filter = ("policy", "policy__metric", "policy__interval")
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

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[WindowList]:
        return WindowList

    def get_queryset(self, request: HttpRequest) -> QuerySet[BudgetWindow]:
        found: QuerySet[BudgetWindow] = super().get_queryset(request)
        return found

    @admin.display(description="whose calls", ordering="scope_value")
    def whose(self, window: Any) -> str:
        if not window.scope_value:
            return "Everyone together"
        team = remembered(window, "team", Team.objects.filter(pk=window.scope_value).first)
        return team.name if team else f"Team {window.scope_value} (deleted)"

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
        return two_lines(self.starts(window), format_html("until {}", self.ends(window)))

    @admin.display(description="consumed", ordering="consumed")
    def amount_consumed(self, window: BudgetWindow) -> str:
        return amount_text(window.policy.metric, window.consumed)

    @admin.display(description="held", ordering="held")
    def amount_held(self, window: BudgetWindow) -> str:
        return amount_text(window.policy.metric, window.held)

    @admin.display(description="limit")
    def amount_limit(self, window: BudgetWindow) -> str:
        limit = limit_of(window)
        return "No hard limit" if limit is None else amount_text(window.policy.metric, limit)

    @admin.display(description="of which approved on request")
    def amount_raised(self, window: BudgetWindow) -> str:
        return amount_text(window.policy.metric, window.raised_by)

    @admin.display(description="used")
    def meter(self, window: BudgetWindow) -> str:
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
    hard = window.policy.hard_limit
    return None if hard is None else hard + window.raised_by


def zone_of(window: BudgetWindow) -> ZoneInfo:
    """The zone whose calendar the window follows."""
    return ZoneInfo(window.policy.zone)
