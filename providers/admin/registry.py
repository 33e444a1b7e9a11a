"""Providers in the console: how each is reached, with which credentials, and how it fails."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.db.models import Count, Prefetch, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import URLPattern, reverse
from django.utils import timezone

from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ConsolePage, TabularInline
from providers.admin.catalogue import ModelsInline
from providers.admin.operations import ProviderOperations
from providers.admin.presets import PresetPages
from providers.condition import trouble
from providers.display import badge, enabled_badge, link, muted, number, two_lines
from providers.models import Credential, ModelRole, Provider, ProviderKind
from providers.used_by import has_history, uses_of

DETERMINISTIC = ProviderKind.DETERMINISTIC.value
REMOTE = f"kind != '{DETERMINISTIC}'"
OPENAI = f"kind == '{ProviderKind.OPENAI_COMPATIBLE.value}'"
REHEARSED = f"kind == '{DETERMINISTIC}'"
REMOTE_ONLY = ("base_url", "allow_private_base_url", "connect_timeout")
OPENAI_ONLY = ("output_cap_field",)
REHEARSAL_ONLY = (
    "rehearsal_latency_ms",
    "rehearsal_failure_percent",
    "rehearsal_failure_class",
)


class ProviderForm(forms.ModelForm[Provider]):
    """Shows what the chosen kind needs; what it does not show, it does not send."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("kind") == ProviderKind.DETERMINISTIC:
            data |= {"base_url": "", "allow_private_base_url": False}
        if data.get("kind") != ProviderKind.OPENAI_COMPATIBLE:
            data["output_cap_field"] = ""
        return data


class CredentialRows(BaseInlineFormSet):  # type: ignore[type-arg]
    """Says what is wrong between rows that were all written at once."""

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            data = getattr(form, "cleaned_data", None) or {}
            secret = data.get("secret")
            if secret is None or data.get("DELETE"):
                continue
            if secret in seen:
                form.add_error("secret", "This secret stands in another row as well.")
            seen.add(secret)


class CredentialsInline(TabularInline):
    """The secrets a provider is called with: chosen here, written on their own page."""

    model = Credential
    formset = CredentialRows
    verbose_name = "credential"
    verbose_name_plural = "credentials, used in turn"
    extra = 0
    fields = ("secret", "enabled", "position")


def what_disabling_does(provider: Provider) -> str:
    """What no longer works once `provider` is disabled, with how much uses it."""
    rows = list(provider.models.filter(enabled=True).values_list("role", "is_default"))
    sentences = ["No new call goes to this provider until it is enabled again."]
    if rows:
        counts = Counter(ModelRole(role).label.lower() for role, _ in rows)
        named = ", ".join(f"{count} for {role}" for role, count in sorted(counts.items()))
        its = "model is" if len(rows) == 1 else "models are"
        sentences.append(f"Its {len(rows)} enabled {its} unknown to clients then ({named}).")
    defaults = sorted(ModelRole(role).label.lower() for role, is_default in rows if is_default)
    if defaults:
        sentences.append(
            f"One of them is the default for {' and '.join(defaults)}: calls that ask for “auto” "
            f"are refused, unless one other model of that role is left."
        )
    sentences += [one.says for one in uses_of(provider)]
    return " ".join([*sentences, "Calls under way finish. Nothing is deleted."])


@admin.register(Provider)
class ProviderAdmin(ProviderOperations, PresetPages, ConsoleAdmin):
    """Hosts of models: how each is reached and with which credentials."""

    class Media:
        css = {"all": ["palyra/dialogs.css"]}

    form = ProviderForm
    inlines = (CredentialsInline, ModelsInline)
    list_display = ("shown_name", "kind_name", "reached_at", "keys", "amount_models", "state")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "display_name", "base_url", "models__name")
    search_help_text = "Name, address or model"
    list_before_template = "admin/providers/provider/list_before.html"
    empty_text = "A provider is where calls go: a host of models, or a rehearsal."
    empty_action = ("admin:providers_provider_add", "Add the first provider")
    pages = (
        ConsolePage(
            title="Add a provider from a preset",
            view="admin:providers_provider_presets",
            permission="add_from_preset",
            icon="add",
        ),
    )
    object_actions = ("disable", "enable", *ProviderOperations.operation_actions)
    fieldsets = (
        (None, {"fields": ("name", "display_name", "kind", "enabled")}),
        (
            "How it answers",
            {
                "fields": (
                    "base_url",
                    "allow_private_base_url",
                    "connect_timeout",
                    "first_token_timeout",
                    "total_timeout",
                    "output_cap_field",
                    "cache_seconds",
                    *REHEARSAL_ONLY,
                )
            },
        ),
        (
            "When it fails",
            {
                "fields": (
                    "max_retries",
                    "retry_backoff_ms",
                    "breaker_threshold",
                    "breaker_cooldown",
                )
            },
        ),
        ("How much at once", {"fields": ("concurrency_limit", "credential_concurrency_limit")}),
    )
    conditional_fields = {
        **dict.fromkeys(REMOTE_ONLY, REMOTE),
        **dict.fromkeys(OPENAI_ONLY, OPENAI),
        **dict.fromkeys(REHEARSAL_ONLY, REHEARSED),
    }

    def get_urls(self) -> list[URLPattern]:
        return [*self.preset_urls(), *super().get_urls()]

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        """What calls were made at is disabled, not deleted: the account names it."""
        if obj is not None and has_history(obj):
            return False
        return super().has_delete_permission(request, obj)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        # What is added by hand is nearly always this; the first choice is for rehearsals.
        kind = ProviderKind.OPENAI_COMPATIBLE.value
        return {"kind": kind, **super().get_changeform_initial_data(request)}

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        foreign = _foreign_to(obj.kind)
        return [
            (name, {"fields": [one for one in options["fields"] if one not in foreign]})
            for name, options in super().get_fieldsets(request, obj)
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        providers: QuerySet[Provider] = super().get_queryset(request)
        credentials = Credential.objects.select_related("secret").order_by("position", "pk")
        counted = providers.annotate(model_count=Count("models", distinct=True))
        return counted.select_related("probe").prefetch_related(
            Prefetch("credentials", credentials), "breakers"
        )

    @admin.display(description="provider", ordering="name")
    def shown_name(self, provider: Provider) -> str:
        return two_lines(provider, muted(provider.name)) if provider.display_name else str(provider)

    @admin.display(description="kind", ordering="kind")
    def kind_name(self, provider: Provider) -> str:
        return provider.get_kind_display().partition(" (")[0]

    @admin.display(description="address", ordering="base_url", empty_value="No network")
    def reached_at(self, provider: Provider) -> str | None:
        return urlsplit(provider.base_url).netloc or None

    @admin.display(description="credentials", empty_value="None")
    def keys(self, provider: Provider) -> str | None:
        named = [
            str(one.secret) if one.enabled else f"{one.secret} (disabled)"
            for one in provider.credentials.all()
        ]
        return ", ".join(named) or None

    @admin.display(description="models", ordering="model_count")
    def amount_models(self, provider: Any) -> str:
        address = reverse("admin:providers_providermodel_changelist")
        return link(f"{address}?provider__id__exact={provider.pk}", number(provider.model_count))

    @admin.display(description="state", ordering="enabled")
    def state(self, provider: Provider) -> str:
        wrong = trouble(provider, timezone.now()) if provider.enabled else ""
        return badge(wrong, "bad") if wrong else enabled_badge(provider.enabled)

    @object_action(
        label="Disable",
        permission="change",
        icon="block",
        consequence=what_disabling_does,
        applies=lambda provider: provider.enabled,
    )
    def disable(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        Provider.objects.filter(pk=provider.pk).update(enabled=False)
        return f"{provider} is disabled: no new call goes to it."

    @object_action(
        label="Enable", permission="change", icon="check", applies=lambda one: not one.enabled
    )
    def enable(self, _request: HttpRequest, provider: Provider, _data: Any) -> str:
        Provider.objects.filter(pk=provider.pk).update(enabled=True)
        return f"{provider} is enabled: its models can be called."


def _foreign_to(kind: str) -> tuple[str, ...]:
    """The fields that a provider of this kind has no use for."""
    if kind == ProviderKind.DETERMINISTIC:
        return (*REMOTE_ONLY, *OPENAI_ONLY)
    foreign = () if kind == ProviderKind.OPENAI_COMPATIBLE else OPENAI_ONLY
    return (*REHEARSAL_ONLY, *foreign)
