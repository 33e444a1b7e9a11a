"""The failover policy in the console: one page, where others have a list."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from providers.admin.base import ConsoleAdmin
from providers.models import FailoverPolicy, failover_policy


@admin.register(FailoverPolicy)
class FailoverPolicyAdmin(ConsoleAdmin):
    """Whether a call goes on at another provider when the one chosen fails it."""

    is_list = False
    fields = ("enabled", "pinned")

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        """There is one, always."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """There is one, always."""
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """The one policy's page."""
        key = str(failover_policy().pk) if self.has_view_or_change_permission(request) else "1"
        one_way = {"show_save_and_continue": False, "title": "Failover"}
        page: HttpResponse = self.changeform_view(
            request, key, extra_context={**one_way, **(extra_context or {})}
        )
        return page

    def object_note(self, request: HttpRequest, obj: Any) -> str:
        return (
            "When a provider fails a call before its answer has begun, the call can go on at "
            "another provider that has a model which can do the same. What that would cost is held "
            "on the budgets first. Turned off, each call is made at the provider chosen for it."
        )
