"""What holds for the whole installation, in the console: one page, where others have a list."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from governance.admin.routing_pages import RoutingPages
from governance.models import GovernanceSettings, governance_settings
from providers.admin.base import ConsoleAdmin


@admin.register(GovernanceSettings)
class GovernanceSettingsAdmin(RoutingPages, ConsoleAdmin):
    """Routing, the least output worth a call, and when prices and costs are worth an alert."""

    is_list = False
    fieldsets = (
        ("Calls", {"fields": ("routing_mode", "output_floor")}),
        ("Alerts", {"fields": ("price_stale_days", "spike_factor")}),
    )

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """There is one, always."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is one, always."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The one row's page."""
        key = str(governance_settings().pk) if self.has_view_or_change_permission(request) else "1"
        one_way = {"show_save_and_continue": False, "title": "Governance settings"}
        page: HttpResponse = self.changeform_view(
            request, key, extra_context={**one_way, **(extra_context or {})}
        )
        return page

    def object_note(self, request: HttpRequest, obj: Any) -> str:
        return (
            "These hold where nothing nearer says otherwise: a budget, a request, a key and a team "
            "may each ask for a routing mode of their own. Changes hold within a second."
        )
