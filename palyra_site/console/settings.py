"""Unfold's settings. Read while Django's own are, so nothing here touches a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

from palyra_site.console import permissions

Permission = Callable[[HttpRequest], bool]


def _file(name: str) -> Callable[[HttpRequest], str]:
    return lambda _request: static(f"palyra/{name}")


def _list(title: str, icon: str, model: str, **more: Any) -> dict[str, Any]:
    """An entry for a model's list, shown to those who may view it."""
    app, _, name = model.partition(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": permissions.may_view(model),
        **more,
    }


NAVIGATION: list[dict[str, Any]] = [
    {
        "items": [
            {"title": "Overview", "icon": "monitoring", "link": reverse_lazy("admin:index")},
        ],
    },
    {
        "title": "Use",
        "items": [
            _list("Calls", "forum", "governance.modelcall"),
            _list("Scheduled prompts", "schedule", "scheduling.cronjob"),
            _list("Runs", "play_circle", "scheduling.cronrun"),
        ],
    },
    {
        "title": "Budgets",
        "items": [
            _list("Policies", "speed", "governance.budgetpolicy"),
            _list("Windows", "hourglass_top", "governance.budgetwindow"),
            _list(
                "Approvals",
                "approval",
                "governance.approval",
                badge="palyra_site.console.navigation.approvals_waiting",
                badge_variant="warning",
            ),
        ],
    },
    {
        "title": "Providers",
        "items": [
            _list("Providers", "hub", "providers.provider"),
            _list("Models", "neurology", "providers.providermodel"),
            _list("Prices", "sell", "governance.price"),
            _list("Secrets", "lock", "providers.secret"),
        ],
    },
    {
        "title": "Access",
        "items": [
            _list("Teams", "groups", "governance.team"),
            _list("API keys", "key", "governance.apikey"),
            _list("Users", "person", "auth.user"),
            _list("Groups", "shield_person", "auth.group"),
        ],
    },
    {
        "title": "System",
        "items": [_list("Processes", "memory", "governance.processheartbeat")],
    },
]

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
    "STYLES": [_file("console.css")],
    "SCRIPTS": [_file("console.js")],
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
        "navigation": NAVIGATION,
    },
    "LOGIN": {"redirect_after": reverse_lazy("admin:index")},
}
