"""Adding one of the usual hosts in the console: pick it, paste a key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_safe

from providers.admin.secrets import LONGEST_SECRET
from providers.models import Provider, Secret
from providers.presets import ADDING, BY_KEY, PRESETS, WITH_A_KEY, Preset, add_from_preset

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object


NEXT = "Now test the connection, then discover its models: that also proposes their prices."


class PresetForm(forms.Form):
    """What is still to be said of a host. The key is never given back."""

    name = forms.CharField(max_length=50, help_text="Short and stable: clients may name it.")
    base_url = forms.CharField(label="Base URL", max_length=500)
    key = forms.CharField(
        required=False,
        max_length=LONGEST_SECRET,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    secret = forms.ModelChoiceField(
        Secret.objects.none(),
        required=False,
        label="Or a secret that is stored already",
        empty_label="None",
    )
    models = forms.MultipleChoiceField(required=False, widget=forms.CheckboxSelectMultiple)

    def __init__(self, preset: Preset, data: Any, *, may_bring_a_key: bool) -> None:
        names = [model.name for model in preset.models]
        initial = {"name": _free_name(preset.key), "base_url": preset.base_url, "models": names}
        super().__init__(data, initial=initial, label_suffix="")
        self.preset = preset
        self.fields["key"].help_text = preset.key_from
        if preset.needs_base_url:
            self.fields["base_url"].help_text = "Put your own in place of the braces."
        fields: dict[str, Any] = self.fields
        fields["secret"].queryset = Secret.objects.order_by("name")
        fields["models"].choices = [(name, name) for name in names]
        if not may_bring_a_key:
            del self.fields["key"], self.fields["secret"]
        if not names:
            del self.fields["models"]

    def add(self) -> Provider | None:
        """Add the provider; None if it cannot be, with every fault at its field."""
        data = self.cleaned_data
        if data.get("key") and data.get("secret"):
            self.add_error("secret", "Give either the key or a secret that is stored, not both.")
            return None
        try:
            return add_from_preset(
                self.preset,
                name=data["name"],
                key=data.get("key", ""),
                secret=data.get("secret"),
                base_url=data["base_url"],
                models=data.get("models", []),
            )
        except ValidationError as error:
            for field, faults in error.message_dict.items():
                for fault in faults:
                    self.add_error(field if field in self.fields else None, fault)
            return None


class PresetPages(Base):
    """The pages of the usual hosts, beside those of the providers."""

    def preset_urls(self) -> list[URLPattern]:
        """Their addresses; they come before those of objects, which are any path."""
        view = self.admin_site.admin_view
        return [
            path("presets/", view(self.presets_view), name="providers_provider_presets"),
            path("presets/<slug:key>/", view(self.preset_view), name="providers_provider_preset"),
        ]

    def has_add_from_preset_permission(self, request: HttpRequest) -> bool:
        """Whether this person may add a provider together with its models."""
        return all(request.user.has_perm(permission) for permission in ADDING)

    @method_decorator(require_safe)
    def presets_view(self, request: HttpRequest) -> HttpResponse:
        """The hosts to pick from."""
        self._require(request)
        added = set(Provider.objects.values_list("base_url", flat=True))
        hosts = [(preset, preset.base_url in added) for preset in PRESETS]
        return self._page(request, "presets.html", title="Add from a preset", hosts=hosts)

    @method_decorator(sensitive_post_parameters("key"))
    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def preset_view(self, request: HttpRequest, key: str) -> HttpResponse:
        """What is still to be said of one host; posted, the host is added."""
        self._require(request)
        preset = BY_KEY.get(key)
        if preset is None:
            raise Http404("There is no preset of this name.")
        may = all(request.user.has_perm(permission) for permission in WITH_A_KEY)
        sent = request.POST if request.method == "POST" else None
        form = PresetForm(preset, sent, may_bring_a_key=may)
        provider = form.add() if form.is_valid() else None
        if provider is None:
            title = f"Add {preset.display_name}"
            return self._page(request, "preset.html", title=title, preset=preset, form=form)
        return self._added(request, provider)

    def _added(self, request: HttpRequest, provider: Provider) -> HttpResponse:
        count = provider.models.count()
        models = "1 model" if count == 1 else f"{count or 'no'} models"
        self.log_addition(request, provider, f"Added from a preset, with {models}.")
        messages.success(request, f"{provider} is added, with {models}. {NEXT}")
        page = "change" if self.has_view_or_change_permission(request) else "presets"
        arguments = [provider.pk] if page == "change" else []
        return HttpResponseRedirect(reverse(f"admin:providers_provider_{page}", args=arguments))

    def _require(self, request: HttpRequest) -> None:
        if not self.has_add_from_preset_permission(request):
            raise PermissionDenied

    def _page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        shared = {**self.admin_site.each_context(request), "opts": self.opts}
        return TemplateResponse(
            request, f"admin/providers/provider/{template}", {**shared, **context}
        )


def _free_name(wanted: str) -> str:
    """`wanted` as a provider's name; with a number behind it where that name is taken."""
    taken = set(Provider.objects.filter(name__startswith=wanted).values_list("name", flat=True))
    if wanted not in taken:
        return wanted
    return next(
        name for number in range(2, len(taken) + 3) if (name := f"{wanted}-{number}") not in taken
    )
