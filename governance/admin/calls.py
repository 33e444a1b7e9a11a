"""The ledger in the console: every call, searchable, and each call's story."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import F, Q, QuerySet
from django.db.models.expressions import OrderBy
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from governance import corrections
from governance.admin.bounded import BoundedList, BoundedPaginator
from governance.admin.call_filters import (
    COST_FROM,
    COST_TO,
    CostFilter,
    KeyFilter,
    ModelFilter,
    PersonFilter,
    ProviderFilter,
    SessionFilter,
    WindowFilter,
    named,
    of_session,
    searchable,
)
from governance.admin.call_links import calls_address
from governance.admin.call_texts import note_of, read
from governance.admin.periods import PeriodFilter
from governance.admin.story import tell
from governance.display import call_status, dollars
from governance.fields import DollarsField
from governance.models import Approval, CallStatus, ModelCall
from governance.money import decimal_text
from governance.texts import READ_PERMISSION
from providers.admin.actions import object_action
from providers.admin.base import ObjectLink, ReadOnlyAdmin
from providers.display import NOTHING, duration, moment, muted, number, two_lines

# What only a call's own page shows.
HEAVY = ("decision", "evaluations", "holds", "attempts")
MOST_TOGETHER = 100
# What is not known costs least, in every database.
DEAREST, CHEAPEST = F("cost").desc(nulls_last=True), F("cost").asc(nulls_first=True)
# What may find several keys or people, whose calls come from several places of an index.
SEVERAL = (SEARCH_VAR, KeyFilter.parameter_name, PersonFilter.parameter_name)
# Of the file, by heading: more than the list has room for, and in figures to go on with.
CSV_COLUMNS = {
    "admitted_at": "admitted_at",
    "settled_at": "settled_at",
    "team": "team__slug",
    "key": "api_key__name",
    "person": "user__username",
    "session": "session",
    "surface": "surface",
    "job_id": "job_id",
    "run_id": "run_id",
    "task_class": "task_class",
    "requested_model": "requested_model",
    "provider": "provider",
    "model": "model",
    "status": "status",
    "error": "error",
    "streamed": "streamed",
    "cached": "cached",
    "latency_ms": "latency_ms",
    "uncached_input_tokens": "uncached_input_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_5m_tokens": "cache_write_5m_tokens",
    "cache_write_1h_tokens": "cache_write_1h_tokens",
    "output_tokens": "output_tokens",
    "usage_reported": "usage_reported",
    "cost": "exact_cost",
}


class CorrectionForm(forms.Form):
    """What became of a call that nobody settled."""

    answered = forms.ChoiceField(
        label="What became of it?",
        choices=(
            ("yes", "The provider answered, and bills it"),
            ("no", "The provider never answered; nothing is billed"),
        ),
    )
    input_tokens = forms.IntegerField(min_value=0, required=False, label="Input tokens")
    output_tokens = forms.IntegerField(min_value=0, required=False, label="Output tokens")
    cost = DollarsField(
        required=False,
        label="Cost",
        help_text="US dollars. Leave empty to have the model's price say what the tokens cost.",
    )
    reason = forms.CharField(
        max_length=corrections.LONGEST_REASON,
        label="How do you know?",
        help_text="The audit trail keeps it.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


def _session_link(call: ModelCall) -> ObjectLink | None:
    """The way to all calls of the call's session, which is the team's own name for them, if it has
    others."""
    if not call.session:
        return None
    of_team = ModelCall.objects.filter(team=call.team_id)
    together = of_session(of_team, call.session).values("pk")[: MOST_TOGETHER + 1].count()
    if together <= 1:
        return None
    words = f"More than {MOST_TOGETHER}" if together > MOST_TOGETHER else f"All {together}"
    return ObjectLink(
        label=f"{words} calls of this session",
        address=calls_address(in_session=call.session, team__id__exact=call.team_id),
    )


def _approvals_of(request: HttpRequest, call: ModelCall) -> list[Approval]:
    """What the call asked more of, for those who may see it."""
    if not request.user.has_perm("governance.view_approval"):
        return []
    return list(Approval.objects.filter(call_id=call.pk).select_related("policy"))


def _page_of(call: ModelCall) -> str:
    return reverse("admin:governance_modelcall_change", args=[call.pk])


@admin.register(ModelCall)
class ModelCallAdmin(ReadOnlyAdmin):
    """Every call: who asked, what was decided and why, what was held, tried, used and paid."""

    list_display = (
        "when",
        "team",
        "used_model",
        "came_by",
        "state",
        "amount_tokens",
        "amount_cost",
        "amount_latency",
    )
    list_filter = (
        PeriodFilter,
        "status",
        "team",
        ModelFilter,
        ProviderFilter,
        KeyFilter,
        PersonFilter,
        SessionFilter,
        CostFilter,
        WindowFilter,
        "surface",
        "cached",
    )
    search_fields = ("id",)
    search_help_text = "Id, team, key, person, model or session"
    # Looked up for the page alone: joined, SQLite would begin with the teams and sort all calls.
    list_select_related = ()
    # Only what an index has in order; anything else would be sorted anew for each page.
    sortable_by = ("when", "amount_cost")
    empty_text = "Calls appear here as soon as one is made. A key lets an integration make them."
    empty_action = ("admin:governance_apikey_changelist", "See keys")
    paginator = BoundedPaginator
    change_form_template = "admin/governance/modelcall/change_form.html"
    csv_columns = CSV_COLUMNS

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[BoundedList]:
        return BoundedList

    def get_ordering(self, request: HttpRequest) -> tuple[str | OrderBy, ...]:
        """The latest first; where costs are asked for the dearest, which the index has in order."""
        by_cost = request.GET.get(COST_FROM) or request.GET.get(COST_TO)
        return (DEAREST, "-pk") if by_cost else ("-admitted_at", "-pk")

    def get_sortable_by(self, request: HttpRequest) -> tuple[str, ...]:
        """Not by cost where calls of several keys or people may be found: no index has those in
        that order, so that all of them would be sorted for each page."""
        several = any(request.GET.get(name) for name in SEVERAL)
        return ("when",) if several else self.sortable_by

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelCall]:
        calls: QuerySet[ModelCall] = super().get_queryset(request)
        match = request.resolver_match
        one = match is not None and "object_id" in match.kwargs
        if one:
            return calls.select_related("team", "api_key", "user", "price__model__provider")
        return calls.defer(*HEAVY).prefetch_related("team", "api_key", "user")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ModelCall], search_term: str
    ) -> tuple[QuerySet[ModelCall], bool]:
        term = searchable(search_term)
        if not term:
            return queryset, False
        try:
            identifier = UUID(term)
        except ValueError:
            return queryset.filter(named(term)), False
        wanted = Q(pk=identifier) | Q(run_id=identifier) | Q(job_id=identifier)
        return queryset.filter(wanted), False

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        call = self.get_object(request, object_id)
        told: dict[str, Any] = {}
        if call is not None:
            may_read = self.has_read_texts_permission(request)
            told = {
                "story": tell(call),
                "session_calls": _session_link(call),
                "approvals": _approvals_of(request, call),
                "texts": note_of(call, timezone.now(), may_read=may_read),
                "texts_address": reverse("admin:governance_modelcall_texts", args=[call.pk]),
            }
        return super().change_view(request, object_id, form_url, {**told, **(extra_context or {})})

    def get_urls(self) -> list[URLPattern]:
        texts = path(
            "<uuid:object_id>/texts/",
            self.admin_site.admin_view(self.texts_view),
            name="governance_modelcall_texts",
        )
        return [texts, *super().get_urls()]

    def texts_view(self, request: HttpRequest, object_id: UUID) -> HttpResponse:
        """The call's page with its prompt and answer. Only a POST shows them: to look is noted in
        the audit trail, and following a link notes nothing."""
        call = self.get_object(request, str(object_id))
        if call is None or not self.has_view_permission(request, call):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseRedirect(_page_of(call))
        if not self.has_read_texts_permission(request):
            raise PermissionDenied
        shown = {"texts": read(call, timezone.now())}
        # The page is only shown, whatever was sent.
        request.method = "GET"
        return self.change_view(request, str(call.pk), extra_context=shown)

    def has_read_texts_permission(self, request: HttpRequest) -> bool:
        """A permission of its own: who may see every call need not read what people wrote."""
        return request.user.has_perm(READ_PERMISSION)

    def has_correct_permission(self, request: HttpRequest, _call: ModelCall | None = None) -> bool:
        """Whoever may change calls may say what became of one that nobody settled."""
        return request.user.has_perm(corrections.CORRECT_PERMISSION)

    @object_action(
        label="Correct",
        permission="correct",
        icon="edit",
        consequence="What was assumed of this call is replaced in every budget and report by what "
        "you say, and the audit trail keeps both. That can be done once.",
        form_class=CorrectionForm,
        applies=lambda call: call.status == CallStatus.UNCONFIRMED,
    )
    def correct(self, _request: HttpRequest, call: ModelCall, data: dict[str, Any]) -> str:
        correction = corrections.Correction(
            answered=data["answered"] == "yes",
            reason=data["reason"],
            input_tokens=data["input_tokens"] or 0,
            output_tokens=data["output_tokens"] or 0,
            cost=data["cost"],
        )
        try:
            corrected = corrections.correct(call.pk, correction, now=timezone.now())
        except corrections.NotCorrectable as refused:
            raise ValidationError(str(refused)) from None
        return f"Corrected: this call cost {dollars(corrected.cost)}."

    @admin.display(description="when", ordering="admitted_at")
    def when(self, call: ModelCall) -> str:
        return moment(call.admitted_at, precision="second")

    @admin.display(description="model")
    def used_model(self, call: ModelCall) -> str:
        return two_lines(call.model, muted(call.provider))

    @admin.display(description="through")
    def came_by(self, call: ModelCall) -> str:
        who = call.api_key.name if call.api_key else call.user.get_username() if call.user else ""
        surface = call.get_surface_display()
        return two_lines(surface, muted(who)) if who else surface

    @admin.display(description="status")
    def state(self, call: ModelCall) -> str:
        if call.cached:
            return two_lines(call_status(call), muted("kept answer"))
        return call_status(call)

    @admin.display(description="tokens")
    def amount_tokens(self, call: ModelCall) -> str:
        known = call.total_tokens
        if known is None or call.usage_reported:
            return number(known)
        return format_html('<span title="An estimate">≈ {}</span>', number(known))

    @admin.display(description="cost", ordering=CHEAPEST)
    def amount_cost(self, call: ModelCall) -> str:
        return dollars(call.cost)

    def exact_cost(self, call: ModelCall) -> str:
        """US dollars to the last place, as files have them."""
        return "" if call.cost is None else decimal_text(call.cost)

    @admin.display(description="latency")
    def amount_latency(self, call: ModelCall) -> str:
        return NOTHING if call.latency_ms is None else duration(call.latency_ms / 1000)
