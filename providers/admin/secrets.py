"""The vault's secrets in the console: written, never read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.utils.html import format_html_join
from django.views.decorators.debug import sensitive_post_parameters

from providers.admin.base import ConsoleAdmin
from providers.display import NOTHING, moment, object_link
from providers.models import Secret

if TYPE_CHECKING:
    from django.forms import PasswordInput as UnfoldAdminPasswordWidget
else:
    from unfold.widgets import UnfoldAdminPasswordWidget

LONGEST_SECRET = 8192
FACTS = ("ending", "used_by", "updated")


class SecretForm(forms.ModelForm[Secret]):
    """Takes the secret's text and never gives it back: the field is empty in every rendering."""

    text = forms.CharField(
        label="Secret",
        max_length=LONGEST_SECRET,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="It is encrypted when stored and never shown again.",
    )

    class Meta:
        model = Secret
        fields = ("name",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "text" in self.fields:
            self.fields["text"].required = False
            self.fields["text"].label = "New secret"
            self.fields[
                "text"
            ].help_text = "Leave empty to keep the one that is stored. It is never shown."

    def save(self, commit: bool = True) -> Secret:
        if self.cleaned_data.get("text"):
            self.instance.set_text(self.cleaned_data["text"])
        return super().save(commit)


@admin.register(Secret)
class SecretAdmin(ConsoleAdmin):
    """Credentials, encrypted with the vault's key."""

    form = SecretForm
    list_display = ("name", "ending", "used_by", "updated")
    search_fields = ("name",)
    search_help_text = "Name"
    fields = ("name", "text")
    empty_text = "A secret is a provider's API key, kept encrypted and never shown again."
    empty_action = ("admin:providers_secret_add", "Add the first secret")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        secrets: QuerySet[Secret] = super().get_queryset(request)
        return secrets.defer("ciphertext").prefetch_related("providers")

    @method_decorator(sensitive_post_parameters("text"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(request, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        facts = () if obj is None else FACTS
        return ((None, {"fields": ("name", "text", *facts)}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        return () if obj is None else FACTS

    @admin.display(description="ends in", ordering="last_four")
    def ending(self, secret: Secret) -> str:
        return f"…{secret.last_four}" if secret.last_four else "Not shown"

    @admin.display(description="used by", empty_value=NOTHING)
    def used_by(self, secret: Secret) -> str:
        links = (
            (object_link("providers_provider", provider.pk, provider),)
            for provider in secret.providers.all()
        )
        return format_html_join(", ", "{}", links) or "No provider"

    @admin.display(description="last changed", ordering="updated_at")
    def updated(self, secret: Secret) -> str:
        return moment(secret.updated_at)
