"""Who may see what in the console, for navigation and overview. Touches no model."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest


def may_view(model: str) -> Callable[[HttpRequest], bool]:
    """A test of whether a person may see `model`, such as `governance.modelcall`: to change a
    thing is to see it."""
    app, _, name = model.partition(".")

    def permitted(request: HttpRequest) -> bool:
        user = request.user
        return user.has_perm(f"{app}.view_{name}") or user.has_perm(f"{app}.change_{name}")

    return permitted


may_view_calls = may_view("governance.modelcall")
may_view_budgets = may_view("governance.budgetpolicy")
may_view_approvals = may_view("governance.approval")
may_view_alerts = may_view("governance.alert")
may_view_providers = may_view("providers.provider")
may_view_jobs = may_view("scheduling.cronjob")
may_view_runs = may_view("scheduling.cronrun")
may_view_processes = may_view("governance.processheartbeat")
may_view_maintenance = may_view("scheduling.maintenancejob")
may_view_settings = may_view("governance.governancesettings")


USE_PLAYGROUND = "governance.use_playground"


def may_use_playground(request: HttpRequest) -> bool:
    """Whether a person may send prompts from the console, which costs their team."""
    return request.user.has_perm(USE_PLAYGROUND)


def may_open_playground(request: HttpRequest) -> bool:
    """Whether a person may at least have calls explained there, which costs nothing."""
    return may_use_playground(request) or may_view_calls(request)
