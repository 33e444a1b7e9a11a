"""What people set for themselves in the console: the zone that times are shown in."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from governance.admin.teams import ZoneInput
from governance.models import Preferences
from palyra_site.console.zones import browsers_zone


class PreferencesForm(forms.ModelForm[Preferences]):
    """A person's own settings."""

    class Meta:
        model = Preferences
        fields = ("zone",)
        widgets = {"zone": ZoneInput()}


def preferences_page(request: HttpRequest, context: dict[str, Any]) -> HttpResponse:
    """Show a person's settings, or store them: their own, whoever they are."""
    user_id = int(request.user.pk or 0)
    own = Preferences.objects.filter(user_id=user_id).first()
    form = PreferencesForm(request.POST or None, instance=own, label_suffix="")
    if request.method == "POST" and form.is_valid():
        messages.success(request, _stored(user_id, form.cleaned_data["zone"]))
        return HttpResponseRedirect(reverse("admin:preferences"))
    shown = {
        **context,
        "title": "Your settings",
        "form": form,
        "browsers_zone": browsers_zone(request).key,
        "now": timezone.now(),
    }
    return TemplateResponse(request, "admin/preferences.html", shown)


def _stored(user_id: int, zone: str) -> str:
    """Set the zone, or unset it; what that means in words."""
    if not zone:
        Preferences.objects.filter(user_id=user_id).delete()
        return "Times are shown in your browser's zone."
    Preferences.objects.update_or_create(user_id=user_id, defaults={"zone": zone})
    return f"Times are shown in {zone} wherever you sign in."
