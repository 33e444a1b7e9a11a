"""The console's site: Unfold's, in the viewer's time zone and with a palette that keeps secrets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import update_wrapper
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib.admin import AdminSite
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.module_loading import import_string
from django.utils.text import capfirst

from governance.audit.reading import entries_of
from governance.zones import zone_names

if TYPE_CHECKING:

    class UnfoldAdminSite(AdminSite):
        def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]: ...

else:
    from unfold.sites import UnfoldAdminSite

# The pages that are no model's: their names, which are their addresses too, and who makes them.
PAGES = {
    "spend": "palyra_site.console.explorer.spend",
    "system": "palyra_site.console.system.system",
}
ZONE_COOKIE = "palyra_zone"
# What the palette finds by name; of each, so many at most.
FOUND_BY_NAME: tuple[str, ...] = (
    "providers.provider",
    "providers.providermodel",
    "governance.team",
    "governance.apikey",
    "governance.budgetpolicy",
    "scheduling.cronjob",
)
FOUND_BY_ID: tuple[str, ...] = ("governance.modelcall", "scheduling.cronrun", "scheduling.cronjob")
MOST_OF_EACH = 5
MOST_FOUND = 50


def viewers_zone(request: HttpRequest) -> ZoneInfo:
    """The zone the browser says it is in, or UTC."""
    name = request.COOKIES.get(ZONE_COOKIE, "")
    return ZoneInfo(name if name in zone_names() else "UTC")


class ConsoleSite(UnfoldAdminSite):
    """Shows times in the viewer's zone and answers Ctrl+K without remembering what anyone saw."""

    enable_nav_sidebar = True

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Guard `view` as Django does, and render it in the viewer's zone."""
        guarded: Callable[..., HttpResponse] = super().admin_view(view, cacheable)

        def in_zone(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            with timezone.override(viewers_zone(request)):
                response = guarded(request, *args, **kwargs)
                # A template response is rendered later, when the zone would be gone.
                return response.render() if hasattr(response, "render") else response

        return update_wrapper(in_zone, view)

    def extra_urls(self) -> list[URLPattern]:
        """The pages that are no model's."""
        return [
            path(f"{name}/", self.admin_view(self._page(view)), name=name)
            for name, view in PAGES.items()
        ]

    def _page(self, view: str) -> Callable[..., HttpResponseBase]:
        def page(request: HttpRequest) -> HttpResponseBase:
            found: Callable[..., HttpResponseBase] = import_string(view)
            return found(request, self.each_context(request))

        return page

    def history_of(self, obj: Model) -> Any:
        """The audit trail's entries of an object, with their changes in words."""
        return entries_of(obj)

    def search(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """What the palette finds: pages and objects the person may see now, never from a cache."""
        term = request.GET.get("s", "").strip()
        if not term:
            return HttpResponse()
        results = [*self._pages(request, term.lower()), *self._objects(request, term)]
        extended = "extended" in request.GET
        paginator = Paginator(results[:MOST_FOUND], MOST_FOUND)
        return TemplateResponse(
            request,
            f"unfold/helpers/{'command' if extended else 'search'}_results.html",
            {
                "page_obj": paginator,
                "results": paginator.page(1),
                "page_counter": 0,
                "execution_time": 0,
                "command_show_history": False,
            },
            headers={"HX-Trigger": "search", "Cache-Control": "no-store"},
        )

    def _pages(self, request: HttpRequest, term: str) -> Iterator[dict[str, Any]]:
        for group in self.get_sidebar_list(request):
            for item in group["items"]:
                if item["has_permission"] and term in item["title"].lower():
                    yield {
                        "title": item["title"],
                        "description": group.get("title", "Palyra"),
                        "link": item["link"],
                        "icon": item["icon"],
                    }

    def _objects(self, request: HttpRequest, term: str) -> Iterator[dict[str, Any]]:
        labels = FOUND_BY_ID if _is_identifier(term) else FOUND_BY_NAME
        for model, admin in self._registry.items():
            if model._meta.label_lower in labels and admin.has_view_permission(request):
                found, _ = admin.get_search_results(request, admin.get_queryset(request), term)
                yield from (_result(model, one) for one in found[:MOST_OF_EACH])


def _is_identifier(term: str) -> bool:
    try:
        UUID(term)
    except ValueError:
        return False
    return True


def _result(model: type[Model], one: Any) -> dict[str, Any]:
    meta = model._meta
    return {
        "title": str(one),
        "description": capfirst(str(meta.verbose_name)),
        "link": reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[one.pk]),
        "icon": "data_object",
    }
