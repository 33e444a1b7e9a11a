"""The vault's secrets in the console: written, never read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
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
FACTS = ("kept", "ending", "used_by", "updated")
EITHER = "Give the secret, or a reference to where it is kept."


class SecretForm(forms.ModelForm[Secret]):
    """Takes the secret's text and never gives it back: the field is empty in every rendering."""

    text = forms.CharField(
        label="Secret",
        required=False,
        max_length=LONGEST_SECRET,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="It is encrypted when stored and never shown again.",
    )

    class Meta:
        model = Secret
        fields = ("name", "reference")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk and "text" in self.fields:
            self.fields["text"].label = "New secret"
            self.fields[
                "text"
            ].help_text = "Leave empty to keep the one that is stored. It is never shown."

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        text, reference = data.get("text", "").strip(), data.get("reference", "")
        refers_anew = reference != self.instance.reference
        if text and reference and refers_anew:
            self.add_error("reference", "Give either the secret or a reference, not both.")
        elif not text and not reference and not (self.instance.ciphertext and not refers_anew):
            self.add_error("text", EITHER)
        elif text:
            # A new text takes the place of the reference as well.
            data["reference"] = ""
        return data

    def _post_clean(self) -> None:
        """Write text or reference into the row before its own rules are asked, and take them out
        again if anything is wrong: what is not stored is not shown either.
        """
        row = self.instance
        before = (row.ciphertext, row.reference, row.last_four)
        text, reference = (self.cleaned_data.get(name, "") for name in ("text", "reference"))
        try:
            if text.strip() and not self.errors:
                row.set_text(text.strip())
            elif reference and reference != row.reference and not self.errors:
                row.set_reference(reference)
        except ValidationError as error:
            self.add_error("text", error)
        if not self.errors:
            super()._post_clean()  # type: ignore[misc]
        if self.errors:
            row.ciphertext, row.reference, row.last_four = before


@admin.register(Secret)
class SecretAdmin(ConsoleAdmin):
    """Credentials, encrypted with the vault's key, or kept elsewhere."""

    form = SecretForm
    list_display = ("name", "kept", "ending", "used_by", "updated")
    search_fields = ("name", "reference")
    search_help_text = "Name or reference"
    fields = ("name", "text", "reference")
    empty_text = "A secret is a provider's API key, kept encrypted and never shown again."
    empty_action = ("admin:providers_secret_add", "Add the first secret")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Secret]:
        secrets: QuerySet[Secret] = super().get_queryset(request)
        return secrets.prefetch_related("credentials__provider")

    @method_decorator(sensitive_post_parameters("text"))
    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().changeform_view(request, *args, **kwargs)

    def get_fieldsets(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        facts = () if obj is None else FACTS
        return ((None, {"fields": ("name", "text", "reference", *facts)}),)

    def get_readonly_fields(self, request: HttpRequest, obj: Secret | None = None) -> Any:
        return () if obj is None else FACTS

    @admin.display(description="kept", ordering="reference")
    def kept(self, secret: Secret) -> str:
        return secret.reference or "In the vault"

    @admin.display(description="ends in", ordering="last_four")
    def ending(self, secret: Secret) -> str:
        return f"…{secret.last_four}" if secret.last_four else "Not shown"

    @admin.display(description="used by", empty_value=NOTHING)
    def used_by(self, secret: Secret) -> str:
        links = (
            (object_link("providers_provider", use.provider_id, use.provider),)
            for use in secret.credentials.all()
        )
        return format_html_join(", ", "{}", links) or "No provider"

    @admin.display(description="last changed", ordering="updated_at")
    def updated(self, secret: Secret) -> str:
        return moment(secret.updated_at)
