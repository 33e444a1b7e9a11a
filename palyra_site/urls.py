"""Where everything is. `/v1` and the health checks that need no Django are in `asgi`."""

from __future__ import annotations

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from palyra_site.api.root import api
from palyra_site.health import readyz

urlpatterns: list[URLPattern | URLResolver] = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("account/", include("palyra_site.access.urls")),
    path("api/v1/", api.urls),
    path("team/", include("palyra_site.team")),
    path("readyz", readyz),
]

handler400 = "palyra_site.access.views.bad_request"
handler429 = "palyra_site.access.views.too_many_requests"
