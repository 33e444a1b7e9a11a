"""API keys in the console: made and shown once, then only revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import ValidationError
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html

from governance import keys
from governance.admin.call_links import calls_links
from governance.forms import add_faults
from governance.models import ApiKey, ModelCall
from governance.views import curl_line
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ObjectLink
from providers.display import badge, link, moment, muted, two_lines, viewers_zone_name

# Which forms this session has sent, so that none makes a second key or text.
SUBMITTED = "submitted_keys"
REMEMBERED_SUBMISSIONS = 20
FACTS = ("shown", "team", "state", "last_used", "expires", "created", "revoked")


class NewKeyForm(forms.ModelForm[ApiKey]):
    """Makes the key as its last check, so that what `keys.create` refuses shows at its field."""

    # Sent again by a reload of the page that showed the key, so that it makes no second one.
    once = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)
    created_by: Any = None
    new: keys.NewKey | None = None

    class Meta:
        model = ApiKey
        fields = ("team", "name", "expires_at", "routing_mode")

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        data = self.cleaned_data
        try:
            self.new = keys.create(
                team=data["team"],
                name=data["name"],
                created_by=self.created_by,
                expires_at=data["expires_at"],
                routing_mode=data["routing_mode"],
            )
        except ValidationError as error:
            add_faults(self, error)
        else:
            self.instance = self.new.record

    def save(self, commit: bool = True) -> ApiKey:
        return self.instance

    def save_m2m(self) -> None:
        """There is nothing more to save."""


class RotateForm(forms.Form):
    """How much longer the old text works."""

    # Sent again by a reload of the page that showed the text, so that it makes no other.
    once = forms.UUIDField(initial=uuid4, widget=forms.HiddenInput)
    grace = forms.TypedChoiceField(
        coerce=int,
        label="The old text is refused",
        choices=((0, "At once"), (1, "In an hour"), (24, "In a day"), (24 * 7, "In a week")),
        initial=24,
    )


def _works(key: ApiKey) -> bool:
    lasts = key.expires_at is None or key.expires_at > timezone.now()
    return key.revoked_at is None and lasts


class StateFilter(admin.SimpleListFilter):
    """Keys that work, and those that no longer do."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return (("live", "Live"), ("expired", "Expired"), ("revoked", "Revoked"))

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        now = timezone.now()
        lasts = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        chosen = {
            "live": lasts & Q(revoked_at__isnull=True),
            "expired": Q(revoked_at__isnull=True, expires_at__lte=now),
            "revoked": Q(revoked_at__isnull=False),
        }
        return queryset.filter(chosen.get(self.value() or "", Q()))


@admin.register(ApiKey)
class ApiKeyAdmin(ConsoleAdmin):
    """Integrations' keys. A key's text is shown once, on the answer to the form that made it."""

    list_display = ("shown_name", "team", "state", "last_used", "expires", "created")
    list_filter = (StateFilter, "routing_mode", "team")
    search_fields = ("name", "public_id", "last_four", "team__name")
    search_help_text = "Name, team or part of the key"
    list_select_related = ("team", "created_by")
    empty_text = "A key lets an integration call models for its team."
    empty_action = ("admin:governance_apikey_add", "Create the first key")
    actions = ("revoke_selected",)
    change_form_before_template = "admin/governance/apikey/once.html"
    object_actions = ("rotate", "revoke")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        found: QuerySet[ApiKey] = super().get_queryset(request)
        last = ModelCall.objects.filter(api_key=OuterRef("pk")).order_by("-admitted_at")
        return found.annotate(last_used_at=Subquery(last.values("admitted_at")[:1]))

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """The ledger names the key of each call, so keys are revoked, never deleted."""
        return False

    def has_revoke_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_rotate_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Whoever may make keys: they are shown the new text."""
        return self.has_add_permission(request) and self.has_change_permission(request, obj)

    def object_action_view(
        self, request: HttpRequest, object_id: str, action_name: str
    ) -> HttpResponse:
        """As everywhere; the new text of a key is shown on the answer, and nowhere again."""
        once = request.POST.get("rotate-once", "")
        if action_name == "rotate" and once in request.session.get(SUBMITTED, []):
            messages.info(
                request,
                "That key was already rotated and its new text shown. If it was not copied, "
                "rotate it again.",
            )
            address = reverse("admin:governance_apikey_change", args=[quote(unquote(object_id))])
            return HttpResponseRedirect(address)
        response = super().object_action_view(request, object_id, action_name)
        new = getattr(request, "rotated_key", None)
        if new is None:
            return response
        _remember(request, once)
        return self._shown_once(request, new, "Key rotated")

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        form: Any = super().get_form(request, obj, change, form=NewKeyForm, **kwargs)
        form.created_by = request.user
        form.base_fields["expires_at"].help_text = f"Empty: never. In {viewers_zone_name()}."
        return form

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        new = ("team", "name", "expires_at", "routing_mode")
        fields = new if obj is None else ("name", "routing_mode", *FACTS)
        return ((None, {"fields": fields}),)

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        return () if obj is None else FACTS

    def object_links(self, request: HttpRequest, obj: ApiKey) -> list[ObjectLink]:
        """To the key's calls, and to a new budget of its own."""
        links = calls_links(request, api_key__id__exact=obj.pk)
        if request.user.has_perm("governance.add_budgetpolicy"):
            given = {"scope": "api_key", "team": obj.team_id, "value": obj.public_id}
            address = f"{reverse('admin:governance_budgetpolicy_add')}?{urlencode(given)}"
            links.append(ObjectLink(label="Give it a budget", address=address, icon="speed"))
        return links

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if request.POST.get("once") in request.session.get(SUBMITTED, []):
            messages.info(
                request,
                "That key was already created and shown. If it was not copied, revoke it and "
                "create another.",
            )
            return HttpResponseRedirect(reverse("admin:governance_apikey_changelist"))
        # A key's page is not where one goes on: its text would be lost on the way.
        one_way = {"show_save_and_continue": False, "show_save_and_add_another": False}
        return super().add_view(request, form_url, {**one_way, **(extra_context or {})})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            # Only these can change; what is read-only here is not written back either.
            ApiKey.objects.filter(pk=obj.pk).update(name=obj.name, routing_mode=obj.routing_mode)
        else:
            obj.shown_once = form.new.text

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key, here and nowhere again: its text is not kept, not even for a redirect."""
        _remember(request, request.POST.get("once", ""))
        return self._shown_once(request, keys.NewKey(obj, obj.shown_once), "Key created")

    def _shown_once(self, request: HttpRequest, new: keys.NewKey, title: str) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": title,
            "key": new.record,
            "text": new.text,
            "curl": curl_line(new.text),
        }
        return TemplateResponse(request, "admin/governance/apikey/created.html", context)

    @admin.display(description="key", ordering="name")
    def shown_name(self, key: ApiKey) -> str:
        return two_lines(key.name, muted(key.shown))

    @admin.display(description="key")
    def shown(self, key: ApiKey) -> str:
        return format_html("<code>{}</code>", key.shown)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return badge("Revoked", "bad")
        if key.expires_at is not None and key.expires_at <= timezone.now():
            return badge("Expired", "warning")
        return badge("Live", "good") if key.team.enabled else badge("Team disabled", "warning")

    @admin.display(description="last used", ordering="last_used_at")
    def last_used(self, key: Any) -> str:
        if key.last_used_at is None:
            return "Never"
        address = reverse("admin:governance_modelcall_changelist")
        return link(f"{address}?api_key__id__exact={key.pk}", moment(key.last_used_at))

    @admin.display(description="expires", ordering="expires_at")
    def expires(self, key: ApiKey) -> str:
        return moment(key.expires_at) if key.expires_at else "Never"

    @admin.display(description="created", ordering="created_at")
    def created(self, key: ApiKey) -> str:
        return two_lines(moment(key.created_at), muted(f"by {key.created_by or 'the system'}"))

    @admin.display(description="revoked")
    def revoked(self, key: ApiKey) -> str:
        return moment(key.revoked_at)

    @object_action(
        label="Rotate",
        permission="rotate",
        icon="autorenew",
        consequence="The key gets another text, shown once. Its calls and budgets stay its own. "
        "Where the old text works a while longer, it is listed as a key by itself until then.",
        form_class=RotateForm,
        applies=_works,
    )
    def rotate(self, request: Any, key: ApiKey, data: dict[str, Any]) -> str:
        grace = timedelta(hours=data["grace"])
        request.rotated_key = keys.rotate(key, grace=grace, now=timezone.now())
        return f"{key.name} has another text: copy it now."

    @object_action(
        label="Revoke",
        permission="revoke",
        icon="key_off",
        tone="danger",
        consequence="Calls with this key are refused within a second, everywhere. A revoked key "
        "cannot be made to work again.",
        applies=lambda key: key.revoked_at is None,
    )
    def revoke(self, _request: HttpRequest, key: ApiKey, _data: Any) -> str:
        keys.revoke(key)
        return f"{key.name} is revoked: calls with it are refused."

    @admin.action(description="Revoke the selected keys", permissions=["revoke"])
    def revoke_selected(self, request: HttpRequest, chosen: QuerySet[ApiKey]) -> None:
        revoked = 0
        for key in chosen:
            if keys.revoke(key):
                revoked += 1
                self.log_change(request, key, "Revoked.")
        one = revoked == 1
        messages.success(request, f"{revoked} {'key is' if one else 'keys are'} revoked.")


def _remember(request: HttpRequest, once: str) -> None:
    seen = [*request.session.get(SUBMITTED, []), once]
    request.session[SUBMITTED] = seen[-REMEMBERED_SUBMISSIONS:]
