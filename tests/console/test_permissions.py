"""Every address and action of the console, as somebody who may see nothing or change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from governance.models import BudgetPolicy, Team
from providers.admin.base import ConsoleAdmin
from providers.models import Provider
from scheduling.models import CronJob
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled

# Addresses of the site itself, which say nothing about any object.
OF_THE_SITE = {
    "index": "/admin/",
    "search": "/admin/search/?s=a&extended=1",
    "jsi18n": "/admin/jsi18n/",
    "password_change": "/admin/password_change/",
    "password_change_done": "/admin/password_change/done/",
    "app_list": "/admin/governance/",
    "autocomplete": "/admin/autocomplete/?app_label=governance&model_name=membership"
    "&field_name=user",
}
NOT_WALKED = {"login", "logout", "view_on_site"}
OBJECT_VIEWS = ("change", "history", "delete")


def _names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


def _fingerprint() -> dict[str, list[Any]]:
    """Every row of every table but the sessions', which signing in writes."""
    return {
        model._meta.label: list(model._default_manager.order_by("pk").values())
        for model in apps.get_models()
        if model is not Session
    }


def _of(model: Any) -> str:
    return f"{model._meta.app_label}_{model._meta.model_name}"


def _keys(model: Any) -> list[Any]:
    """The first and the last object: among the seeded, they differ in state."""
    keys = list(model._default_manager.order_by("pk").values_list("pk", flat=True))
    return sorted({keys[0], keys[-1]})


def _walk() -> Iterator[tuple[str, str]]:
    """Each address's name and itself."""
    yield from OF_THE_SITE.items()
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, ConsoleAdmin)
        yield f"{_of(model)}_changelist", reverse(f"admin:{_of(model)}_changelist")
        yield f"{_of(model)}_add", reverse(f"admin:{_of(model)}_add")
        for key in _keys(model):
            for view in OBJECT_VIEWS:
                yield f"{_of(model)}_{view}", reverse(f"admin:{_of(model)}_{view}", args=[key])
            for name in (*model_admin.object_actions, "no-such-action"):
                yield f"{_of(model)}_do", reverse(f"admin:{_of(model)}_do", args=[key, name])
    yield "scheduling_cronjob_preview", "/admin/scheduling/cronjob/preview/?zone=UTC"
    yield "providers_provider_presets", "/admin/providers/provider/presets/"
    yield "providers_provider_preset", "/admin/providers/provider/presets/ollama/"
    yield "governance_price_import", "/admin/governance/price/import/"
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
    yield "auth_user_password_change", f"/admin/auth/user/{_keys(User)[0]}/password/"


def _sent(root: Client, name: str, address: str) -> dict[str, Any]:
    """What root could send to the address with effect."""
    fixed = next((data for ending, data in _SENT.items() if name.endswith(ending)), None)
    if fixed is not None:
        return fixed
    if name.endswith("_do"):
        action = address.rstrip("/").rpartition("/")[2]
        return {f"{action}-{field}": "because" for field in ("reason", "comment")}
    if name.endswith("_duplicate"):
        return {"teams": list(Team.objects.values_list("pk", flat=True))}
    return _form(root, address) if name.endswith(("_add", "_change", "_import")) else {}


REFUSED = (
    *("_add", "_change", "_delete", "_do", "_preset", "_discover", "_import", "_try"),
    *("_duplicate", "governance_routing_mode"),
)
# It is of a form, so it is for those who may fill that in.
OF_FORMS = ("governance_budgetpolicy_preview",)
_SENT = {
    "_delete": {"post": "yes"},
    "_preset": {"name": "ollama", "base_url": "http://localhost:11434/v1"},
    "governance_routing_mode": {"for": "installation", "mode": "dry_run"},
    "_discover": {"all": "yes", "prices": "on"},
    "auth_user_password_change": {
        "password1": "another-long-one-1",
        "password2": "another-long-one-1",
    },
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


def _bulk_actions(root: Client) -> Iterator[tuple[str, dict[str, Any]]]:
    request = root.get("/admin/").wsgi_request
    for model, model_admin in admin.site._registry.items():
        for action in model_admin.get_actions(request):
            chosen = {"action": action, "_selected_action": _keys(model), "post": "yes"}
            yield reverse(f"admin:{_of(model)}_changelist"), chosen


@pytest.fixture
def root(seeded: Seeded) -> Client:
    return signed_in(seeded.administrator)


@pytest.fixture
def nobody(seeded: Seeded) -> Client:
    """Let into the console, with no permission."""
    return signed_in(staff("nobody"))


@pytest.fixture
def viewer(seeded: Seeded) -> Client:
    """May look at everything and change nothing."""
    return signed_in(seeded.viewer)


def test_the_walk_leaves_no_address_out(seeded: Seeded) -> None:
    walked = {name for name, _ in _walk()}

    assert set(_names(admin.site.get_urls())) - NOT_WALKED == walked


def test_without_permission_nothing_of_the_objects_is_seen(nobody: Client) -> None:
    for name, address in list(_walk()):
        status = nobody.get(address).status_code
        if name in {"index", "search", "jsi18n", "password_change", "password_change_done"}:
            assert status == 200, address
        elif name == "app_list":
            assert status == 404, address
        else:
            assert status in {403, 405}, address


def test_the_viewer_sees_every_list_and_page(viewer: Client) -> None:
    seen = (
        "_routing_decisions",
        "_routing_mode",
        "_routing_savings",
        "_changelist",
        "_change",
        "_history",
        "_preview",
        "_import",
        "app_list",
    )
    for name, address in list(_walk()):
        if name.endswith(seen) and not name.endswith("password_change") and name not in OF_FORMS:
            assert viewer.get(address).status_code == 200, address


@pytest.mark.parametrize("persona", ["nobody", "viewer"])
def test_nothing_changes(root: Client, persona: str, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(persona)
    # Everybody may change their own password.
    walk = [
        (name, address, _sent(root, name, address))
        for name, address in _walk()
        if name != "password_change"
    ]
    bulk = list(_bulk_actions(root))
    before = _fingerprint()

    for name, address, data in walk:
        status = client.post(address, data).status_code
        if name.endswith(REFUSED):
            assert status == 403, (address, status)
    for address, chosen in bulk:
        client.post(address, chosen)

    assert _fingerprint() == before


def test_what_was_sent_would_have_changed_something(root: Client) -> None:
    """The walk above proves nothing unless root changes things by the same means."""
    changed = set()
    for name, address in list(_walk()):
        if name.endswith(("_change", "_do", "_preset")) and name != "password_change":
            data, before = _sent(root, name, address), _fingerprint()
            root.post(address, data)
            if _fingerprint() != before:
                changed.add(name)

    assert {
        "providers_provider_change",
        "providers_provider_do",
        "providers_provider_preset",
        "providers_providermodel_change",
        "governance_team_change",
        "governance_apikey_do",
        "governance_apikey_change",
        "governance_approval_do",
        "governance_budgetpolicy_change",
        "scheduling_cronjob_change",
        "scheduling_cronjob_do",
        "auth_user_password_change",
    } <= changed


def test_actions_do_not_run_on_get(root: Client, seeded: Seeded) -> None:
    actions = [address for name, address in _walk() if name.endswith("_do")]
    before = _fingerprint()

    assert {root.get(address).status_code for address in actions} == {405}
    assert _fingerprint() == before


def test_actions_want_the_forms_token(seeded: Seeded) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(seeded.administrator)
    address = reverse("admin:scheduling_cronjob_do", args=[seeded.job.pk, "pause"])

    assert strict.post(address, {"pause-reason": "because"}).status_code == 403
    seeded.job.refresh_from_db()
    assert seeded.job.enabled


def test_strangers_are_asked_to_sign_in(seeded: Seeded) -> None:
    stranger = Client()
    for name, address in list(_walk()):
        if name != "jsi18n":
            response = stranger.get(address)
            assert response.status_code == 302, address
            assert response["Location"].startswith("/admin/login/"), address


def test_members_of_teams_are_not_let_in(seeded: Seeded) -> None:
    member = signed_in(seeded.member)

    assert member.get("/admin/")["Location"].startswith("/admin/login/")


def test_every_action_names_its_permission() -> None:
    for model, model_admin in admin.site._registry.items():
        assert isinstance(model_admin, ConsoleAdmin)
        for action in model_admin._actions():
            assert hasattr(model_admin, f"has_{action.permission}_permission"), action
        for name in ("actions_list", "actions_row", "actions_detail", "actions_submit_line"):
            assert not getattr(model_admin, name), f"{model} uses Unfold's unguarded {name}"
