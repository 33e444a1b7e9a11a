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
    own = Preferences.objects.filter(user_id=request.user.pk).first()
    form = PreferencesForm(request.POST or None, instance=own, label_suffix="")
    if request.method == "POST" and form.is_valid():
        _store(request, form.cleaned_data["zone"])
        return HttpResponseRedirect(reverse("admin:preferences"))
    shown = {
        **context,
        "title": "Your settings",
        "form": form,
        "browsers_zone": browsers_zone(request).key,
        "now": timezone.now(),
    }
    status = 422 if form.errors else 200
    return TemplateResponse(request, "admin/preferences.html", shown, status=status)


def _store(request: HttpRequest, zone: str) -> None:
    if zone:
        Preferences.objects.update_or_create(user_id=request.user.pk, defaults={"zone": zone})
        messages.success(request, f"Times are shown in {zone} wherever you sign in.")
    else:
        Preferences.objects.filter(user_id=request.user.pk).delete()
        messages.success(request, "Times are shown in your browser's zone.")
