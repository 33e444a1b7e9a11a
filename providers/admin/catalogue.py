"""Models in the console: on a page of their own, and as rows on their provider's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.text import capfirst

from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, TabularInline
from providers.defaults import make_default
from providers.display import badge, enabled_badge, muted, number, two_lines
from providers.models import ModelRole, ProviderModel

if TYPE_CHECKING:
    from django.forms import TextInput as UnfoldAdminTextInputWidget
else:
    from unfold.widgets import UnfoldAdminTextInputWidget

GENERATES = f"role != '{ModelRole.EMBEDDINGS.value}'"
# What a chat model can do beyond text, in words for the list.
ABILITIES = {"tools": "tools", "json_mode": "JSON", "vision": "images", "audio": "sound"}


class NamesField(forms.CharField):
    """A list of names, written with commas between."""

    widget = UnfoldAdminTextInputWidget

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(str(one) for one in value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [name.strip() for name in (value or "").split(",") if name.strip()]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(data) != (initial or []))


class ModelForm(forms.ModelForm[ProviderModel]):
    """Remembers that a person said otherwise than the host, where one did."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        self.instance.note_changes(self.changed_data)


class ModelPageForm(ModelForm):
    """The same with everything a model has."""

    aliases = NamesField(
        required=False,
        label="Other names",
        help_text="What clients may send for it as well, with commas between. A model of that very "
        "name comes first.",
    )

    class Meta:
        model = ProviderModel
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets say which


class ModelRows(BaseInlineFormSet):  # type: ignore[type-arg]
    """Says what is wrong between rows that were all written at once."""

    def clean(self) -> None:
        super().clean()
        names: set[str] = set()
        roles: set[str] = set()
        for form in self._kept():
            name, role = form.cleaned_data.get("name"), form.cleaned_data.get("role")
            if name in names:
                form.add_error("name", "This name stands in another row as well.")
            if role in roles and form.cleaned_data.get("is_default"):
                form.add_error("is_default", "Another row is the default for this role.")
            names |= {name} if name else set()
            roles |= {role} if role and form.cleaned_data.get("is_default") else set()

    def _kept(self) -> list[Any]:
        return [
            form
            for form in self.forms
            if hasattr(form, "cleaned_data")
            and form.cleaned_data
            and not form.cleaned_data.get("DELETE")
        ]


class ModelsInline(TabularInline):
    """A provider's models, on its page."""

    model = ProviderModel
    form = ModelForm
    formset = ModelRows
    verbose_name = "model"
    verbose_name_plural = "models"
    extra = 0
    show_change_link = True
    fields = (
        "name",
        "upstream_name",
        "role",
        "enabled",
        "is_default",
        "context_window",
        "max_output_tokens",
    )


@admin.register(ProviderModel)
class ProviderModelAdmin(ConsoleAdmin):
    """Models as clients name them."""

    form = ModelPageForm
    list_display = (
        "shown_name",
        "provider",
        "role",
        "abilities",
        "amount_context",
        "amount_output",
        "tiers",
        "is_used_for_auto",
        "state",
    )
    list_filter = ("provider", "role", "enabled", "metadata_source")
    search_fields = ("name", "upstream_name", "provider__name")
    search_help_text = "Name or provider"
    list_select_related = ("provider",)
    empty_text = "A model belongs to a provider: add it on the provider's page, or here."
    empty_action = ("admin:providers_providermodel_add", "Add the first model")
    object_actions = ("make_default",)
    readonly_fields = ("source",)
    conditional_fields = {"max_output_tokens": GENERATES}
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "provider",
                    "name",
                    "upstream_name",
                    "aliases",
                    "role",
                    "enabled",
                    "is_default",
                )
            },
        ),
        ("Limits", {"fields": ("context_window", "max_output_tokens")}),
        (
            "What it can do",
            {"fields": ("streaming", "tools", "json_mode", "vision", "audio", "source")},
        ),
        ("Among others", {"fields": ("cost_tier", "latency_tier")}),
    )

    @admin.display(description="model", ordering="name")
    def shown_name(self, model: ProviderModel) -> str:
        if not model.aliases:
            return model.name
        return two_lines(model.name, muted(f"also {', '.join(model.aliases)}"))

    @admin.display(description="can do", empty_value="Text")
    def abilities(self, model: ProviderModel) -> str | None:
        if model.role != ModelRole.CHAT:
            return None
        found = [word for field, word in ABILITIES.items() if getattr(model, field)]
        # Words begin small, abbreviations are left as they are.
        return capfirst(", ".join(found)) or None

    @admin.display(description="context", ordering="context_window")
    def amount_context(self, model: ProviderModel) -> str:
        return number(model.context_window)

    @admin.display(description="most output", ordering="max_output_tokens")
    def amount_output(self, model: ProviderModel) -> str:
        return number(None if model.role == ModelRole.EMBEDDINGS else model.max_output_tokens)

    @admin.display(description="cost, speed", ordering="cost_tier")
    def tiers(self, model: ProviderModel) -> str:
        return f"{model.get_cost_tier_display()}, {model.get_latency_tier_display().lower()}"

    @admin.display(description="used for “auto”", ordering="is_default", empty_value="")
    def is_used_for_auto(self, model: ProviderModel) -> str:
        return badge("Default", "busy") if model.is_default else ""

    @admin.display(description="state", ordering="enabled")
    def state(self, model: ProviderModel) -> str:
        if model.enabled and not model.provider.enabled:
            return badge("Provider disabled", "warning")
        return enabled_badge(model.enabled)

    @admin.display(description="who said so")
    def source(self, model: ProviderModel) -> str:
        return model.get_metadata_source_display() if model.pk else "You"

    @object_action(
        label="Make it the default",
        permission="change",
        icon="star",
        consequence="Calls that ask for “auto” use this model from now on, instead of the one that "
        "is the default now.",
        applies=lambda model: not model.is_default,
    )
    def make_default(self, _request: HttpRequest, model: ProviderModel, _data: Any) -> str:
        make_default(model)
        return f"{model} now answers calls that ask for “auto”."
