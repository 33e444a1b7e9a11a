"""What the sidebar counts, and what the header warns of."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpRequest

from governance.models import Approval, ApprovalStatus
from palyra_site.console.permissions import may_view_approvals


def approvals_waiting(request: HttpRequest) -> str:
    """How many requests for more budget wait to be decided; nothing if none do."""
    if not may_view_approvals(request):
        return ""
    waiting = Approval.objects.filter(status=ApprovalStatus.PENDING).count()
    return str(waiting) if waiting else ""


def environment(_request: HttpRequest) -> list[str] | None:
    """A label in the header where errors are shown with their source: nowhere for real use."""
    return ["Debugging", "danger"] if settings.DEBUG else None
