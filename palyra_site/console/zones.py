"""The zone in which a person is shown times in the console."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.http import HttpRequest

from governance.models import Preferences
from governance.zones import zone_names

ZONE_COOKIE = "palyra_zone"
FOUND = "_palyra_viewers_zone"


def browsers_zone(request: HttpRequest) -> ZoneInfo:
    """The zone the browser says it is in, or UTC."""
    return _known(request.COOKIES.get(ZONE_COOKIE, ""))


def viewers_zone(request: HttpRequest) -> ZoneInfo:
    """The zone that the person has set, or else that of the browser, or else UTC. Looked up once a
    request."""
    found: ZoneInfo | None = getattr(request, FOUND, None)
    if found is None:
        found = _look_up(request)
        setattr(request, FOUND, found)
    return found


def _look_up(request: HttpRequest) -> ZoneInfo:
    if not request.user.is_authenticated:
        return browsers_zone(request)
    own = Preferences.objects.filter(user_id=request.user.pk).values_list("zone", flat=True)
    name = own.first()
    return _known(name) if name else browsers_zone(request)


def _known(name: str) -> ZoneInfo:
    return ZoneInfo(name if name in zone_names() else "UTC")
