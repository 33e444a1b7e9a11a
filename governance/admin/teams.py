"""Teams and their members in the console."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from governance import scope_names
from governance.admin.call_links import calls_links
from governance.models import ApiKey, BudgetScope, Membership, ModelCall, Team
from governance.routing.exclusions import allows
from governance.zones import zone_names
from providers import registry
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ObjectLink, TabularInline
from providers.display import enabled_badge, link, muted, number, two_lines

if TYPE_CHECKING:
    from django.forms import Textarea as UnfoldAdminTextareaWidget
    from django.forms import TextInput as UnfoldAdminTextInputWidget
else:
    from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget


class ZoneInput(UnfoldAdminTextInputWidget):
    """A text field that suggests every IANA zone as one types."""

    template_name = "admin/zone_input.html"

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context: dict[str, Any] = super().get_context(name, value, attrs)
        context["zones"] = zone_names()
        shown = context["widget"]["attrs"]
        shown |= {"list": f"{shown.get('id', name)}_zones", "autocomplete": "off"}
        return context


class PatternsField(forms.CharField):
    """Names of models, one a line."""

    def __init__(self, **kwargs: Any) -> None:
        widget = UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"})
        super().__init__(required=False, widget=widget, **kwargs)

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def clean(self, value: Any) -> Any:
        lines = [line.strip() for line in str(super().clean(value)).splitlines()]
        return [line for line in lines if line]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.clean(data) != (initial or []))


class TeamForm(forms.ModelForm[Team]):
    """A team, with the models it may use one a line."""

    allowed_models = PatternsField(
        help_text="One a line: provider/model, or provider/* for all of one. Empty allows all."
    )

    class Meta:
        model = Team
        fields = (
            "name",
            "slug",
            "zone",
            "enabled",
            "allowed_models",
            "routing_mode",
            "text_days",
        )


class MembersInline(TabularInline):
    """A team's members, on its page."""

    model = Membership
    verbose_name = "member"
    verbose_name_plural = "members"
    extra = 0
    fields = ("user", "role")
    autocomplete_fields = ("user",)


def what_disabling_does(team: Team) -> str:
    """What no longer works once the team is disabled, with how much that is."""
    keys = live_keys(team).count()
    jobs = len(list(scope_names.of_team(team, None, [BudgetScope.JOB]).jobs))
    members = team.memberships.count()
    counted = (
        f"It has {keys} live {'key' if keys == 1 else 'keys'}, {jobs} scheduled "
        f"{'prompt' if jobs == 1 else 'prompts'} and {members} "
        f"{'member' if members == 1 else 'members'}."
    )
    return (
        f"The team's keys are refused within a second, until it is enabled again. {counted} Calls "
        "under way finish. Nothing is deleted."
    )


def live_keys(team: Team) -> QuerySet[ApiKey]:
    """The team's keys that work now."""
    lasts = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(lasts, team=team, revoked_at__isnull=True)


@admin.register(Team)
class TeamAdmin(ConsoleAdmin):
    """Groups of people and integrations that share budgets."""

    form = TeamForm
    inlines = (MembersInline,)
    list_display = ("shown_name", "models", "zone", "amount_members", "amount_keys", "state")
    list_filter = ("enabled", "routing_mode")
    search_fields = ("name", "slug", "memberships__user__username")
    search_help_text = "Name or member"
    prepopulated_fields = {"slug": ("name",)}
    fieldsets = (
        (None, {"fields": ("name", "slug", "zone", "enabled")}),
        ("Models", {"fields": ("allowed_models", "routing_mode")}),
        (
            "Prompts and answers",
            {
                "fields": ("text_days",),
                "description": "Kept are the words of calls that were sent, from the moment "
                "this is set. They are shown on a call's page to those who may read them, and "
                "each reading is in the audit trail.",
            },
        ),
    )
    empty_text = "A team has members, keys and budgets of its own. Calls are made for a team."
    empty_action = ("admin:governance_team_add", "Add the first team")
    object_actions = ("disable", "enable")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        teams: QuerySet[Team] = super().get_queryset(request)
        now = timezone.now()
        live = Q(api_keys__revoked_at__isnull=True) & (
            Q(api_keys__expires_at__isnull=True) | Q(api_keys__expires_at__gt=now)
        )
        return teams.annotate(
            member_count=Count("memberships", distinct=True),
            key_count=Count("api_keys", filter=live, distinct=True),
        )

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "zone":
            kwargs["widget"] = ZoneInput()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def has_delete_permission(self, request: HttpRequest, obj: Team | None = None) -> bool:
        """What has a history is disabled, not deleted."""
        if obj is not None and ModelCall.objects.filter(team=obj).exists():
            return False
        return super().has_delete_permission(request, obj)

    def object_links(self, request: HttpRequest, obj: Team) -> list[ObjectLink]:
        """To what is the team's, as far as this person may see it."""
        return [*calls_links(request, team__id__exact=obj.pk), *_lists_of(request, obj)]

    def object_note(self, request: HttpRequest, obj: Team) -> str:
        """What the allowed models come to now, as a name with a slip in it allows nothing."""
        if not obj.allowed_models:
            return ""
        models = registry.load().models
        allowed = sum(allows(obj.allowed_models, model) for model in models)
        vain = [one for one in obj.allowed_models if not any(allows([one], m) for m in models)]
        named = ", ".join(f"“{one}”" for one in vain)
        note = f"It may use {allowed} of the {len(models)} models that are enabled now."
        return f"{note} None is called {named}." if vain else note

    @admin.display(description="may use")
    def models(self, team: Team) -> str:
        if not team.allowed_models:
            return "All models"
        first, *others = team.allowed_models
        return f"{first} and {len(others)} more" if others else first

    @admin.display(description="team", ordering="name")
    def shown_name(self, team: Team) -> str:
        return two_lines(team.name, muted(team.slug))

    @admin.display(description="members", ordering="member_count")
    def amount_members(self, team: Any) -> str:
        return number(team.member_count)

    @admin.display(description="live keys", ordering="key_count")
    def amount_keys(self, team: Any) -> str:
        address = reverse("admin:governance_apikey_changelist")
        return link(f"{address}?team__id__exact={team.pk}&state=live", number(team.key_count))

    @admin.display(description="state", ordering="enabled")
    def state(self, team: Team) -> str:
        return enabled_badge(team.enabled)

    @object_action(
        label="Disable",
        permission="change",
        icon="block",
        consequence=what_disabling_does,
        applies=lambda team: team.enabled,
    )
    def disable(self, _request: HttpRequest, team: Team, _data: Any) -> str:
        Team.objects.filter(pk=team.pk).update(enabled=False)
        live = live_keys(team).count()
        keys = "key is" if live == 1 else "keys are"
        return f"{team} is disabled: its {live} {keys} refused."

    @object_action(
        label="Enable", permission="change", icon="check", applies=lambda team: not team.enabled
    )
    def enable(self, _request: HttpRequest, team: Team, _data: Any) -> str:
        Team.objects.filter(pk=team.pk).update(enabled=True)
        return f"{team} is enabled: its keys are accepted."


# What a team's page leads to besides its calls: a list, an icon and what the link says.
LEADS_TO = (
    ("governance.apikey", "key", "Keys"),
    ("governance.budgetpolicy", "speed", "Budgets"),
    ("governance.approval", "approval", "Requests for more"),
)


def _lists_of(request: HttpRequest, team: Team) -> list[ObjectLink]:
    links = []
    for model, icon, label in LEADS_TO:
        app, _, name = model.partition(".")
        if request.user.has_perm(f"{app}.view_{name}"):
            address = reverse(f"admin:{app}_{name}_changelist")
            address = f"{address}?team__id__exact={team.pk}"
            links.append(ObjectLink(label=label, address=address, icon=icon))
    return links
