"""Unfold's settings. Read while Django's own are, so nothing here touches a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy


def _file(name: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(f"palyra/{name}")


# A petrol that keeps 4.5:1 under white text at 600 and on the dark ground at 400 and 500.
PETROL = {
    "50": "oklch(97.5% .012 225)",
    "100": "oklch(94.5% .026 225)",
    "200": "oklch(89% .05 226)",
    "300": "oklch(81% .085 228)",
    "400": "oklch(74% .11 230)",
    "500": "oklch(67% .12 232)",
    "600": "oklch(49% .1 236)",
    "700": "oklch(43% .09 238)",
    "800": "oklch(37% .075 240)",
    "900": "oklch(31% .06 242)",
    "950": "oklch(23% .045 244)",
}

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Palyra",
    "SITE_HEADER": "Palyra",
    "SITE_SUBHEADER": "Console",
    "SITE_URL": reverse_lazy("team:index"),
    "SITE_ICON": _file("logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": _file("favicon.svg")},
    ],
    "SHOW_HISTORY": True,
    "SHOW_VIEW_ON_SITE": False,
    "SHOW_BACK_BUTTON": True,
    "ENVIRONMENT": "palyra_site.console.navigation.environment",
    "DASHBOARD_CALLBACK": "palyra_site.console.overview.dashboard",
    "STYLES": [
        *(_file("console.css"), _file("overview.css"), _file("calls.css"), _file("budgets.css"))
    ],
    "SCRIPTS": [_file("zone.js"), _file("console.js")],
    "COLORS": {
        "primary": PETROL,
        # A shade darker than Unfold's, so that quiet text reads on every ground.
        "font": {
            "subtle-light": "var(--color-base-600)",
            "subtle-dark": "var(--color-base-400)",
            "default-light": "var(--color-base-600)",
            "default-dark": "var(--color-base-300)",
            "important-light": "var(--color-base-900)",
            "important-dark": "var(--color-base-100)",
        },
    },
    "BORDER_RADIUS": "6px",
    "COMMAND": {"search_models": False, "show_history": False},
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,
        "show_all_applications": False,
        "navigation": "palyra_site.console.navigation.entries",
    },
    "ACCOUNT": {"navigation": [{"title": "Your account", "link": reverse_lazy("mfa_index")}]},
    "LOGIN": {"redirect_after": reverse_lazy("admin:index")},
}
