"""Prices in the console: US dollars per million tokens, fixed once a call was charged by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils import timezone

from governance.admin.call_links import calls_links
from governance.admin.price_import import PriceImportPage
from governance.display import dollars
from governance.fields import NanoDollarsField
from governance.models import ModelCall, Price, PricePrecision, PriceTier
from providers.admin.base import ConsoleAdmin, ConsolePage, ObjectLink, TabularInline
from providers.display import badge, moment, muted, number, two_lines, viewers_zone_name

if TYPE_CHECKING:
    from django.forms import TextInput as UnfoldAdminTextInputWidget
else:
    from unfold.widgets import UnfoldAdminTextInputWidget

BUCKETS = ("uncached_input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


class TierRows(BaseInlineFormSet):  # type: ignore[type-arg]
    """Says what is wrong between rows that were all written at once."""

    def clean(self) -> None:
        super().clean()
        seen = set()
        for form in self.forms:
            data = getattr(form, "cleaned_data", None) or {}
            above = data.get("above")
            if above is None or data.get("DELETE"):
                continue
            if above in seen:
                form.add_error("above", "Another row has rates above that many tokens.")
            seen.add(above)


class TiersInline(TabularInline):
    """What a price's long contexts cost: part of the price, and fixed with it."""

    model = PriceTier
    formset = TierRows
    verbose_name_plural = "rates of long contexts: of the whole request, once its input is above"
    extra = 0
    fields = ("above", *BUCKETS)

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if isinstance(db_field, NanoDollarsField):
            kwargs["widget"] = _money_input()
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        """Whoever may only look sees dollars, as in the price itself."""
        if self.has_change_permission(request, obj):
            return super().get_fields(request, obj)
        return ("above_tokens", *(f"amount_{bucket}" for bucket in BUCKETS))

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        return () if self.has_change_permission(request, obj) else self.get_fields(request, obj)

    @admin.display(description="above")
    def above_tokens(self, tier: PriceTier) -> str:
        return number(tier.above)

    @admin.display(description="input / M")
    def amount_uncached_input(self, tier: PriceTier) -> str:
        return dollars(tier.uncached_input)

    @admin.display(description="output / M")
    def amount_output(self, tier: PriceTier) -> str:
        return dollars(tier.output)

    @admin.display(description="cache read / M")
    def amount_cache_read(self, tier: PriceTier) -> str:
        return _cache(tier.cache_read)

    @admin.display(description="cache write, 5 min / M")
    def amount_cache_write_5m(self, tier: PriceTier) -> str:
        return _cache(tier.cache_write_5m)

    @admin.display(description="cache write, 1 h / M")
    def amount_cache_write_1h(self, tier: PriceTier) -> str:
        return _cache(tier.cache_write_1h)

    def has_view_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return request.user.has_perm("governance.view_price")

    def has_add_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """As the price itself."""
        right = "add" if obj is None or obj.pk is None else "change"
        return request.user.has_perm(f"governance.{right}_price") and not _is_charged(obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return self.has_change_permission(request, obj)


@admin.register(Price)
class PriceAdmin(PriceImportPage, ConsoleAdmin):
    """What models cost, from when on."""

    inlines = (TiersInline,)
    list_before_template = "admin/governance/price/list_before.html"

    list_display = (
        "model",
        "from_when",
        "amount_input",
        "amount_output",
        "amount_cache_read",
        "amount_per_request",
        "source_name",
        "state",
    )
    list_filter = ("model__provider", "precision")
    search_fields = ("model__name", "model__provider__name", "source")
    search_help_text = "Model, provider or source"
    list_select_related = ("model__provider",)
    empty_text = (
        "Without a price a model's calls cost an unknown amount, and a cost budget refuses them."
    )
    empty_action = ("admin:governance_price_add", "Set the first price")
    pages = (
        ConsolePage(
            title="Import prices",
            view="admin:governance_price_import",
            permission="view_or_change",
            icon="sell",
        ),
    )
    fieldsets = (
        (None, {"fields": ("model", "effective_from")}),
        (
            "Per million tokens",
            {
                "description": "In US dollars. A cache bucket left empty costs what input costs.",
                "fields": BUCKETS,
            },
        ),
        ("Besides", {"fields": ("per_request", "source", "precision")}),
    )

    def object_links(self, request: HttpRequest, obj: Price) -> list[ObjectLink]:
        return calls_links(request, "Calls charged by it", price__id__exact=obj.pk)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Price]:
        prices: QuerySet[Price] = super().get_queryset(request)
        later = Price.objects.filter(
            model=OuterRef("model"),
            effective_from__gt=OuterRef("effective_from"),
            effective_from__lte=timezone.now(),
        )
        return prices.annotate(
            is_charged=Exists(ModelCall.objects.filter(price=OuterRef("pk"))),
            is_replaced=Exists(later),
            has_tiers=Exists(PriceTier.objects.filter(price=OuterRef("pk"))),
        )

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if isinstance(db_field, NanoDollarsField):
            return db_field.formfield(widget=_money_input())
        field: Any = super().formfield_for_dbfield(db_field, request, **kwargs)
        if db_field.name == "effective_from":
            field.help_text = f"From then on calls are charged by it. In {viewers_zone_name()}."
        return field

    def has_change_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        """A price that a call was charged by stays as it was; a later price replaces it."""
        return not _is_charged(obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Price | None = None) -> bool:
        return not _is_charged(obj) and super().has_delete_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        if self.has_change_permission(request, obj):
            return super().get_fieldsets(request, obj)
        facts = ("amount_input", "amount_output", "amount_cache_read", "amount_cache_write_5m")
        return (
            (
                None,
                {
                    "description": "Calls were charged by this price, so it stays as it is. To "
                    "charge differently, add a price that takes effect later.",
                    "fields": ("model", "from_when", "state"),
                },
            ),
            ("Per million tokens", {"fields": (*facts, "amount_cache_write_1h")}),
            ("Besides", {"fields": ("amount_per_request", "source_name")}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Price | None = None) -> Any:
        if self.has_change_permission(request, obj):
            return ()
        return (
            "from_when",
            "state",
            "amount_input",
            "amount_output",
            "amount_cache_read",
            "amount_cache_write_5m",
            "amount_cache_write_1h",
            "amount_per_request",
            "source_name",
        )

    @admin.display(description="from", ordering="effective_from")
    def from_when(self, price: Price) -> str:
        return moment(price.effective_from)

    @admin.display(description="input / M", ordering="uncached_input")
    def amount_input(self, price: Any) -> str:
        amount = dollars(price.uncached_input)
        return two_lines(amount, muted("other for long contexts")) if price.has_tiers else amount

    @admin.display(description="output / M", ordering="output")
    def amount_output(self, price: Price) -> str:
        return dollars(price.output)

    @admin.display(description="cache read / M", ordering="cache_read")
    def amount_cache_read(self, price: Price) -> str:
        return _cache(price.cache_read)

    @admin.display(description="cache write, 5 min / M")
    def amount_cache_write_5m(self, price: Price) -> str:
        return _cache(price.cache_write_5m)

    @admin.display(description="cache write, 1 h / M")
    def amount_cache_write_1h(self, price: Price) -> str:
        return _cache(price.cache_write_1h)

    @admin.display(description="per request", ordering="per_request")
    def amount_per_request(self, price: Price) -> str:
        return dollars(price.per_request)

    @admin.display(description="source", ordering="source")
    def source_name(self, price: Price) -> str:
        if price.precision == PricePrecision.ESTIMATE:
            return two_lines(price.source, muted("an estimate"))
        return price.source

    @admin.display(description="state")
    def state(self, price: Any) -> str:
        if price.effective_from > timezone.now():
            return badge("Not yet in force", "busy")
        return badge("Replaced", "quiet") if price.is_replaced else badge("In force", "good")


def _money_input() -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(
        {"inputmode": "decimal", "autocomplete": "off", "class": "palyra-money"}
    )


def _cache(amount: int | None) -> str:
    return "As input" if amount is None else dollars(amount)


def _is_charged(price: Price | None) -> bool:
    if price is None or price.pk is None:
        return False
    known = getattr(price, "is_charged", None)
    if known is None:
        known = ModelCall.objects.filter(price=price).exists()
    return bool(known)
