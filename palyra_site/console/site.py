"""The console's site: Unfold's, in the viewer's time zone and with a palette that keeps secrets."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from itertools import islice
from typing import TYPE_CHECKING, Any

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.core.paginator import Paginator
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from governance.audit.reading import entries_of
from palyra_site.access.entrance import refused_console, to_sign_in
from palyra_site.console.palette import find
from palyra_site.console.zones import viewers_zone

if TYPE_CHECKING:

    class UnfoldAdminSite(AdminSite):
        def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]: ...

else:
    from unfold.sites import UnfoldAdminSite

# The pages that are no model's: their names, which are their addresses too, and who makes them.
PAGES = {
    "preferences": "palyra_site.console.preferences.preferences_page",
    "spend": "palyra_site.console.explorer.spend",
    "system": "palyra_site.console.system.system",
}
MOST_FOUND = 50


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

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """To the one page to sign in on, and back; who is signed in is told why not."""
        following = request.GET.get(REDIRECT_FIELD_NAME) or reverse("admin:index")
        if not request.user.is_authenticated:
            return to_sign_in(following)
        if not self.has_permission(request):
            return refused_console(request)
        return HttpResponseRedirect(reverse("admin:index"))

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """On the page of one's own account, which signs out elsewhere."""
        return HttpResponseRedirect(reverse("account_change_password"))

    def extra_urls(self) -> list[Any]:
        """The pages that are no model's."""
        # Imported only now: it needs the pages of objects, which register themselves here.
        from palyra_site.console.playground import pages as playground  # noqa: PLC0415

        pages = [
            path(f"{name}/", self.admin_view(self._page(view)), name=name)
            for name, view in PAGES.items()
        ]
        return [*pages, *playground.urls(self.admin_view)]

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
        sidebar = self.get_sidebar_list(request)
        results = list(islice(find(request, term, self._registry, sidebar), MOST_FOUND))
        extended = "extended" in request.GET
        paginator = Paginator(results, MOST_FOUND)
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
