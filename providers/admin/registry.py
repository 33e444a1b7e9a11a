"""Providers and their models in the console."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django import forms
from django.contrib import admin
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, TabularInline
from providers.display import badge, enabled_badge, link, muted, number, two_lines
from providers.models import Provider, ProviderKind, ProviderModel

REMOTE = f"kind == '{ProviderKind.OPENAI_COMPATIBLE.value}'"
REHEARSED = f"kind == '{ProviderKind.DETERMINISTIC.value}'"
REMOTE_ONLY = ("base_url", "credential", "connect_timeout")
REHEARSAL_ONLY = ("rehearsal_latency_ms", "rehearsal_failure_percent")


class ProviderForm(forms.ModelForm[Provider]):
    """Shows what the chosen kind needs; what it does not show, it does not send."""

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("kind") == ProviderKind.DETERMINISTIC:
            data |= {"base_url": "", "credential": None}
        return data


class ModelsInline(TabularInline):
    """A provider's models, on its page."""

    model = ProviderModel
    verbose_name = "model"
    verbose_name_plural = "models"
    extra = 0
    fields = (
        "name",
        "upstream_name",
        "role",
        "enabled",
        "is_default",
        "context_window",
        "max_output_tokens",
    )


@admin.register(Provider)
class ProviderAdmin(ConsoleAdmin):
    """Hosts of models: how each is reached and with which credential."""

    form = ProviderForm
    inlines = (ModelsInline,)
    list_display = ("shown_name", "kind_name", "reached_at", "secret", "amount_models", "state")
    list_filter = ("kind", "enabled")
    search_fields = ("name", "display_name", "base_url", "models__name")
    search_help_text = "Name, address or model"
    list_select_related = ("credential",)
    empty_text = "A provider is where calls go: an OpenAI-compatible host, or a rehearsal."
    empty_action = ("admin:providers_provider_add", "Add the first provider")
    object_actions = ("disable", "enable")
    fieldsets = (
        (None, {"fields": ("name", "display_name", "kind", "enabled")}),
        (
            "How it answers",
            {
                "fields": (
                    "base_url",
                    "credential",
                    "connect_timeout",
                    "total_timeout",
                    "rehearsal_latency_ms",
                    "rehearsal_failure_percent",
                )
            },
        ),
    )
    conditional_fields = {
        **dict.fromkeys(REMOTE_ONLY, REMOTE),
        **dict.fromkeys(REHEARSAL_ONLY, REHEARSED),
    }

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        foreign = REHEARSAL_ONLY if obj.kind != ProviderKind.DETERMINISTIC else REMOTE_ONLY
        return [
            (name, {"fields": [one for one in options["fields"] if one not in foreign]})
            for name, options in super().get_fieldsets(request, obj)
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Provider]:
        providers: QuerySet[Provider] = super().get_queryset(request)
        return providers.annotate(model_count=Count("models", distinct=True))

    @admin.display(description="provider", ordering="name")
    def shown_name(self, provider: Provider) -> str:
        return two_lines(provider, muted(provider.name)) if provider.display_name else str(provider)

    @admin.display(description="kind", ordering="kind")
    def kind_name(self, provider: Provider) -> str:
        return provider.get_kind_display().partition(" (")[0]

    @admin.display(description="address", ordering="base_url", empty_value="No network")
    def reached_at(self, provider: Provider) -> str | None:
        return urlsplit(provider.base_url).netloc or None

    @admin.display(description="credential", ordering="credential__name", empty_value="None")
    def secret(self, provider: Provider) -> str | None:
        return provider.credential.name if provider.credential else None

    @admin.display(description="models", ordering="model_count")
    def amount_models(self, provider: Any) -> str:
        address = reverse("admin:providers_providermodel_changelist")
        return link(f"{address}?provider__id__exact={provider.pk}", number(provider.model_count))

    @admin.display(description="state", ordering="enabled")
    def state(self, provider: Provider) -> str:
        return enabled_badge(provider.enabled)

    @object_action(
        label="Disable",
        permission="change",
        icon="block",
        consequence="No new call goes to this provider, and its models are unknown to clients, "
        "until it is enabled again. Calls under way finish. Nothing is deleted.",
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


@admin.register(ProviderModel)
class ProviderModelAdmin(ConsoleAdmin):
    """Models as clients name them."""

    list_display = (
        "name",
        "provider",
        "role",
        "amount_context",
        "amount_output",
        "is_used_for_auto",
        "state",
    )
    list_filter = ("provider", "role", "enabled")
    search_fields = ("name", "upstream_name", "provider__name")
    search_help_text = "Name or provider"
    list_select_related = ("provider",)
    empty_text = "A model belongs to a provider: add it on the provider's page, or here."
    empty_action = ("admin:providers_providermodel_add", "Add the first model")
    object_actions = ("make_default",)
    fieldsets = (
        (None, {"fields": ("provider", "name", "upstream_name", "role", "enabled", "is_default")}),
        ("Limits", {"fields": ("context_window", "max_output_tokens")}),
    )

    @admin.display(description="context", ordering="context_window")
    def amount_context(self, model: ProviderModel) -> str:
        return number(model.context_window)

    @admin.display(description="most output", ordering="max_output_tokens")
    def amount_output(self, model: ProviderModel) -> str:
        return number(model.max_output_tokens)

    @admin.display(description="used for “auto”", ordering="is_default", empty_value="")
    def is_used_for_auto(self, model: ProviderModel) -> str:
        return badge("Default", "busy") if model.is_default else ""

    @admin.display(description="state", ordering="enabled")
    def state(self, model: ProviderModel) -> str:
        if model.enabled and not model.provider.enabled:
            return badge("Provider disabled", "warning")
        return enabled_badge(model.enabled)

    @object_action(
        label="Make it the default",
        permission="change",
        icon="star",
        consequence="Calls that ask for “auto” use this model from now on, instead of the one that "
        "is the default now.",
        applies=lambda model: not model.is_default,
    )
    def make_default(self, _request: HttpRequest, model: ProviderModel, _data: Any) -> str:
        with transaction.atomic():
            ProviderModel.objects.filter(role=model.role, is_default=True).update(is_default=False)
            ProviderModel.objects.filter(pk=model.pk).update(is_default=True)
        return f"{model} now answers calls that ask for “auto”."
