"""Every address and action of the console, and what is sent there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.urls import reverse

from governance.models import BudgetPolicy, ModelCall, Team
from providers.admin.base import ConsoleAdmin
from providers.models import Provider
from scheduling.models import CronJob
from tests.browser.console import MEMBER
from tests.console.pages import filled

# Addresses of the site itself, which say nothing about any object.
OF_THE_SITE = {
    "index": "/admin/",
    "search": "/admin/search/?s=a&extended=1",
    "jsi18n": "/admin/jsi18n/",
    "preferences": "/admin/preferences/",
    "password_change": "/admin/password_change/",
    "password_change_done": "/admin/password_change/done/",
    "app_list": "/admin/governance/",
    "autocomplete": "/admin/autocomplete/?app_label=governance&model_name=membership"
    "&field_name=user",
}
# Using a session is noted, whatever page it is used for.
NOT_OF_PAGES = {Session._meta.db_table, UserSession._meta.db_table}
OBJECT_VIEWS = ("change", "history", "delete")


def fingerprint() -> dict[str, list[Any]]:
    """Every row of every table but the sessions', which signing in writes."""
    tables = {model._meta.db_table for model in apps.get_models(include_auto_created=True)}
    with connection.cursor() as cursor:
        return {table: _rows(cursor, table) for table in tables - NOT_OF_PAGES}


def _rows(cursor: CursorWrapper, table: str) -> list[Any]:
    # As they are stored: a hundred thousand of them are read here, and made into nothing.
    cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)} ORDER BY 1")
    rows: list[Any] = cursor.fetchall()
    return rows


def _of(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


def _keys(model: Any) -> list[Any]:
    """The first and the last object: among the seeded, they differ in state."""
    keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
    return sorted({keys[0], keys[-1]})


def addresses() -> Iterator[tuple[str, str]]:
    """Each address's name and itself."""
    yield from OF_THE_SITE.items()
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, ConsoleAdmin)
        yield f"{_of(model)}_changelist", reverse(f"admin:{_of(model)}_changelist")
        if model_admin.is_list:
            yield f"{_of(model)}_csv", reverse(f"admin:{_of(model)}_csv")
        yield f"{_of(model)}_add", reverse(f"admin:{_of(model)}_add")
        for key in _keys(model):
            for view in OBJECT_VIEWS:
                yield f"{_of(model)}_{view}", reverse(f"admin:{_of(model)}_{view}", args=[key])
            for name in (*model_admin.object_actions, "no-such-action"):
                yield f"{_of(model)}_do", reverse(f"admin:{_of(model)}_do", args=[key, name])
    yield "spend", "/admin/spend/"
    yield "system", "/admin/system/"
    yield "scheduling_cronjob_preview", "/admin/scheduling/cronjob/preview/?zone=UTC"
    yield "providers_provider_presets", "/admin/providers/provider/presets/"
    yield "providers_provider_preset", "/admin/providers/provider/presets/ollama/"
    yield "governance_price_import", "/admin/governance/price/import/"
    for key in _keys(ModelCall):
        yield "governance_modelcall_texts", f"/admin/governance/modelcall/{key}/texts/"
    # Budgets and routing.
    yield "governance_budgetpolicy_preview", "/admin/governance/budgetpolicy/preview/"
    yield "governance_routing_decisions", "/admin/governance/governancesettings/routing/decisions/"
    yield "governance_routing_mode", "/admin/governance/governancesettings/routing/mode/"
    yield "governance_routing_savings", "/admin/governance/governancesettings/routing/savings/"
    for key in _keys(BudgetPolicy):
        address = f"/admin/governance/budgetpolicy/{key}/duplicate/"
        yield "governance_budgetpolicy_duplicate", address
    for key in _keys(CronJob):
        yield "scheduling_cronjob_try", f"/admin/scheduling/cronjob/{key}/try/"
    for key in _keys(Provider):
        yield "providers_provider_discover", f"/admin/providers/provider/{key}/discover/"
    yield from _playground()
    member = User.objects.get(username=MEMBER)
    yield "auth_user_password_change", f"/admin/auth/user/{member.pk}/password/"


def _playground() -> Iterator[tuple[str, str]]:
    yield "playground", "/admin/playground/"
    for part in ("explain", "code", "send"):
        yield f"playground_{part}", f"/admin/playground/{part}/"
    call = ModelCall.objects.latest("admitted_at").pk
    yield "playground_settled", f"/admin/playground/calls/{call}/"


def sent_to(root: Client, name: str, address: str) -> dict[str, Any]:
    """What root could send to the address with effect."""
    fixed = next((data for ending, data in _SENT.items() if name.endswith(ending)), None)
    if fixed is not None:
        return fixed
    if name.endswith("_do"):
        action = address.rstrip("/").rpartition("/")[2]
        return {f"{action}-{field}": "because" for field in ("reason", "comment")}
    if name.endswith("_duplicate"):
        return {"teams": list(Team.objects.values_list("pk", flat=True))}
    if name.startswith("playground_"):
        return _prompt()
    return _form(root, address) if name.endswith(("_add", "_change", "_import")) else {}


_NEW_PASSWORD = {"password1": "another-long-one-1", "password2": "another-long-one-1"}
_SENT: dict[str, dict[str, Any]] = {
    "_delete": {"post": "yes"},
    "_preset": {"name": "ollama", "base_url": "http://localhost:11434/v1"},
    "governance_routing_mode": {"for": "installation", "mode": "dry_run"},
    "_discover": {"all": "yes", "prices": "on"},
    "_password_change": _NEW_PASSWORD,
}


def _prompt() -> dict[str, Any]:
    team = str(Team.objects.earliest("pk").pk)
    return {
        "team": team,
        "model": "auto",
        "prompt": "Hello.",
        "task_class": "primary_interactive",
    }


def _form(root: Client, address: str) -> dict[str, Any]:
    """The page's form as root would send it, with every name changed a little."""
    response = root.get(address)
    if response.status_code != 200:
        return {}
    is_import = address.endswith("/import/")
    form_id = "import_form" if is_import else f"{response.context['opts'].model_name}_form"
    sent = filled(response.content.decode(), form_id)
    return {
        name: f"{value}x" if name in {"name", "display_name", "first_name"} else value
        for name, value in sent.items()
    }


def bulk_actions(root: Client) -> Iterator[tuple[str, dict[str, Any]]]:
    request = root.get("/admin/").wsgi_request
    for model, model_admin in admin.site._registry.items():
        for action in model_admin.get_actions(request):
            chosen = {"action": action, "_selected_action": _keys(model), "post": "yes"}
            yield reverse(f"admin:{_of(model)}_changelist"), chosen
