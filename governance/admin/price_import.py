"""Taking over listed prices in the console: what would change, and changing what is picked."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_http_methods

from governance import price_import
from governance.price_import import WORDS, ImportLine
from providers.admin.actions import faults_of
from providers.api.health_schemas import MOST_PICKED
from providers.discovery import NoPrice, PriceStanding, ProposedPrice
from providers.discovery.price_words import price_words, source_words
from providers.display import NOTHING, Tone

if TYPE_CHECKING:
    from providers.admin.base import ConsoleAdmin as Base
else:
    Base = object

TONES: dict[PriceStanding, Tone] = {
    PriceStanding.NEW: "good",
    PriceStanding.CHANGED: "warning",
    PriceStanding.UNCHANGED: "quiet",
    PriceStanding.OVERRIDDEN: "busy",
    PriceStanding.TOLD: "busy",
    PriceStanding.UNKNOWN: "bad",
}
LONGEST_PICK = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """One model of the preview, in words."""

    id: int
    model: str
    standing: str
    tone: Tone
    can_be_picked: bool
    is_picked: bool
    listed: str
    listed_source: str
    now: str
    now_source: str
    says: str


class PriceImportPage(Base):
    """The page of listed prices, beside those of the prices."""

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "import/", self.admin_site.admin_view(self.import_view), name="governance_price_import"
        )
        return [own, *super().get_urls()]

    @method_decorator(require_http_methods(["GET", "HEAD", "POST"]))
    def import_view(self, request: HttpRequest) -> HttpResponse:
        """What taking over would change; posted, what was picked is set."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._previewed(request)
        if not self.has_add_permission(request):
            raise PermissionDenied
        picked = _picked(request.POST.getlist("models"))
        try:
            done = price_import.apply(picked, now=timezone.now())
        except ValidationError as error:
            for fault in faults_of(error):
                messages.error(request, fault)
            return self._previewed(request, picked)
        count = "1 price" if done.to_set == 1 else f"{done.to_set or 'No'} prices"
        messages.success(request, f"{count} set from {done.source}.")
        return HttpResponseRedirect(reverse("admin:governance_price_changelist"))

    def _previewed(
        self, request: HttpRequest, picked: Collection[int] | None = None
    ) -> HttpResponse:
        found = price_import.preview(now=timezone.now())
        settable = [line.model_id for line in found.lines if line.would_be_set]
        ticked = frozenset(settable[:MOST_PICKED] if picked is None else picked)
        rows = [_row(line, ticked) for line in found.lines]
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": "Import listed prices",
            "found": found,
            "rows": sorted(rows, key=lambda row: not row.can_be_picked),
            "most_picked": MOST_PICKED if len(settable) > MOST_PICKED else None,
            "may_apply": self.has_add_permission(request),
        }
        return TemplateResponse(request, "admin/governance/price/import.html", context)


def _picked(sent: Collection[str]) -> list[int]:
    """The identifiers that a page of ours sends; what is none names no model."""
    return [int(one) if one.isdecimal() and len(one) <= LONGEST_PICK else 0 for one in sent]


def _row(line: ImportLine, picked: Collection[int]) -> ImportRow:
    listed, now = line.proposed, line.comparison.in_force
    return ImportRow(
        id=line.model_id,
        model=line.model,
        standing=WORDS[line.standing].capitalize(),
        tone=TONES[line.standing],
        can_be_picked=line.would_be_set,
        is_picked=line.model_id in picked,
        listed=_price(listed),
        listed_source="" if isinstance(listed, NoPrice) else source_words(listed),
        now=_price(now),
        now_source="" if now is None else source_words(now),
        says="" if line.would_be_set else line.comparison.says,
    )


def _price(price: ProposedPrice | NoPrice | None) -> str:
    return price_words(price) if isinstance(price, ProposedPrice) else NOTHING
