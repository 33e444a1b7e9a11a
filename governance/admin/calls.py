"""The ledger in the console: every call, searchable, and each call's story."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from governance.admin.periods import PeriodFilter
from governance.admin.story import tell
from governance.display import call_status, dollars
from governance.models import ModelCall
from providers.admin.base import ReadOnlyAdmin
from providers.display import NOTHING, duration, moment, muted, number, two_lines
from providers.models import ProviderModel

# What only a call's own page shows.
HEAVY = ("decision", "evaluations", "holds", "attempts")


class ModelFilter(admin.SimpleListFilter):
    """By the model that was used, of those in the registry."""

    title = "model"
    parameter_name = "model_used"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        names = ProviderModel.objects.order_by("provider__name", "name")
        return [
            (f"{provider}/{name}", f"{provider}/{name}")
            for provider, name in names.values_list("provider__name", "name")
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ModelCall]) -> QuerySet[ModelCall]:
        provider, slash, name = (self.value() or "").partition("/")
        return queryset.filter(provider=provider, model=name) if slash else queryset


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
    list_filter = (PeriodFilter, "status", "team", ModelFilter, "provider", "surface")
    search_fields = ("id",)
    search_help_text = "Call, run or job id; team, key or model"
    list_select_related = ("team", "api_key", "user")
    empty_text = "Calls appear here as soon as one is made."
    change_form_template = "admin/governance/modelcall/change_form.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelCall]:
        calls: QuerySet[ModelCall] = super().get_queryset(request)
        match = request.resolver_match
        one = match is not None and "object_id" in match.kwargs
        return calls.select_related("price__model__provider") if one else calls.defer(*HEAVY)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ModelCall], search_term: str
    ) -> tuple[QuerySet[ModelCall], bool]:
        term = search_term.strip()
        if not term:
            return queryset, False
        try:
            identifier = UUID(term)
        except ValueError:
            return queryset.filter(
                Q(model__icontains=term)
                | Q(requested_model__icontains=term)
                | Q(team__name__icontains=term)
                | Q(team__slug__icontains=term)
                | Q(api_key__name__icontains=term)
                | Q(user__username__icontains=term)
            ), False
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
        story = tell(call) if call is not None else None
        return super().change_view(
            request, object_id, form_url, {**(extra_context or {}), "story": story}
        )

    @admin.display(description="when", ordering="admitted_at")
    def when(self, call: ModelCall) -> str:
        return moment(call.admitted_at)

    @admin.display(description="model", ordering="model")
    def used_model(self, call: ModelCall) -> str:
        return two_lines(call.model, muted(call.provider))

    @admin.display(description="through", ordering="surface")
    def came_by(self, call: ModelCall) -> str:
        who = call.api_key.name if call.api_key else call.user.get_username() if call.user else ""
        surface = call.get_surface_display()
        return two_lines(surface, muted(who)) if who else surface

    @admin.display(description="status", ordering="status")
    def state(self, call: ModelCall) -> str:
        return call_status(call)

    @admin.display(description="tokens")
    def amount_tokens(self, call: ModelCall) -> str:
        known = call.total_tokens
        if known is None or call.usage_reported:
            return number(known)
        return format_html('<span title="An estimate">≈ {}</span>', number(known))

    @admin.display(description="cost", ordering="cost")
    def amount_cost(self, call: ModelCall) -> str:
        return dollars(call.cost)

    @admin.display(description="latency", ordering="latency_ms")
    def amount_latency(self, call: ModelCall) -> str:
        return NOTHING if call.latency_ms is None else duration(call.latency_ms / 1000)
