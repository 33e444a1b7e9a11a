"""Every address and action of the console, as somebody who may see nothing or change nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from governance.audit.reading import SEEN_WITH
from governance.models import AuditEntry, BudgetPolicy, ModelCall, Team
from governance.texts import READ
from palyra_site.access.groups import existing_permissions
from palyra_site.access.roles import Role, permissions_of
from providers.admin.base import ConsoleAdmin
from providers.models import Credential, Provider
from scheduling.models import CronJob
from tests.browser.console import MEMBER, OPERATOR
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in, staff
from tests.console.pages import filled
from tests.support.factories import make_secret

# Who may do what is asked of Python, and every page is looked at: once is enough.
pytestmark = pytest.mark.any_database
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
# Whoever is let in may open these.
FOR_EVERYBODY = {
    "index",
    "search",
    "jsi18n",
    "preferences",
    "password_change_done",
}
NOT_WALKED = {"login", "logout", "view_on_site"}
# Using a session is noted, whatever page it is used for.
NOT_OF_PAGES = {Session._meta.db_table, UserSession._meta.db_table}
OBJECT_VIEWS = ("change", "history", "delete")


def _names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


def _fingerprint() -> dict[str, list[Any]]:
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


def _walk() -> Iterator[tuple[str, str]]:
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
    if name.startswith("playground_"):
        return _prompt()
    return _form(root, address) if name.endswith(("_add", "_change", "_import")) else {}


REFUSED = (
    *("_add", "_change", "_delete", "_do", "_preset", "_discover", "_import", "_try"),
    *("_texts", "playground_send", "_duplicate", "governance_routing_mode"),
)
_NEW_PASSWORD = {"password1": "another-long-one-1", "password2": "another-long-one-1"}
# It is of a form, so it is for those who may fill that in.
OF_FORMS = ("governance_budgetpolicy_preview",)
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
        if name in FOR_EVERYBODY:
            assert status == 200, address
        elif name == "password_change":
            # On the page of one's own account, outside the console.
            assert status == 302, address
        elif name == "app_list":
            assert status == 404, address
        else:
            assert status in {403, 405}, address


@pytest.mark.every_database
def test_the_viewer_sees_every_list_and_page(viewer: Client) -> None:
    seen = (
        *("_changelist", "_csv", "_change", "_history", "_preview", "_import", "app_list"),
        *("_routing_decisions", "_routing_mode", "_routing_savings", "playground"),
    )
    for name, address in list(_walk()):
        if name.endswith(seen) and not name.endswith("password_change") and name not in OF_FORMS:
            assert viewer.get(address).status_code == 200, address


@pytest.fixture
def operator(seeded: Seeded) -> Client:
    """Runs things."""
    return signed_in(User.objects.get(username=OPERATOR))


# The tables of what an operator runs, of what that writes besides, and of their own preferences.
RUN_BY_OPERATORS = {
    "governance_alert",
    "governance_approval",
    "governance_budgetwindow",
    "governance_delivery",
    "providers_breaker",
    "providers_providerprobe",
    "scheduling_cronjob",
    "scheduling_cronjob_calendars",
    "scheduling_cronrun",
    "scheduling_exclusioncalendar",
    "scheduling_maintenancejob",
    "governance_preferences",
    "django_admin_log",
    "governance_auditentry",
    "django_q_ormq",
}


@pytest.mark.any_database
def test_the_operator_changes_only_what_they_run(root: Client, operator: Client) -> None:
    walk = [(name, address, _sent(root, name, address)) for name, address in _walk()]
    bulk = list(_bulk_actions(root))
    before = _fingerprint()

    for name, address, data in walk:
        # Theirs to run: deleting it would leave the rest of the walk nothing to be refused.
        if not name.startswith("scheduling_") or not name.endswith("_delete"):
            operator.post(address, data)
    for address, chosen in bulk:
        if "/scheduling/" not in address:
            operator.post(address, chosen)

    after = _fingerprint()
    changed = {label for label in after if after[label] != before[label]}
    assert changed <= RUN_BY_OPERATORS
    assert {"governance_approval", "scheduling_cronjob", "providers_breaker"} <= changed


@pytest.mark.any_database
def test_the_operator_sees_no_secrets_and_no_people(operator: Client) -> None:
    # Entries that there are not, for them: the console goes back to the overview.
    of_others = AuditEntry.objects.filter(object_type__in=SEEN_WITH).values_list("pk", flat=True)
    entries = {reverse("admin:governance_auditentry_change", args=[key]) for key in of_others}
    for name, address in list(_walk()):
        hidden = name.startswith(("auth_", "providers_secret"))
        if address.replace("/history/", "/change/") in entries:
            assert operator.get(address).status_code in {302, 403}, address
        elif name.endswith(("_changelist", "_change", "_history")) and name != "password_change":
            assert operator.get(address).status_code == (403 if hidden else 200), address
    provider = Provider.objects.get(name="openai")
    page = operator.get(reverse("admin:providers_provider_change", args=[provider.pk]))
    assert "credentials-TOTAL_FORMS" not in page.content.decode()


@pytest.mark.any_database
@pytest.mark.parametrize("persona", ["operator", "viewer"])
def test_the_trail_keeps_people_and_secrets_from_operators(
    persona: str, seeded: Seeded, request: pytest.FixtureRequest
) -> None:
    client: Client = request.getfixturevalue(persona)
    member = User.objects.get(username=MEMBER)
    member.email = "somebody-new@example.com"
    member.save()
    secret = make_secret(name="very-hidden")
    Credential.objects.create(provider=Provider.objects.earliest("pk"), secret=secret)
    entry = AuditEntry.objects.filter(object_type="auth.user").latest("at")
    listed = reverse("admin:governance_auditentry_changelist")
    shown = [
        client.get(listed),
        client.get(reverse("admin:governance_auditentry_csv")),
        client.get("/api/v1/audit", {"limit": 200}),
        client.get("/admin/search/", {"s": str(entry.pk), "extended": "1"}),
        client.get(reverse("admin:governance_auditentry_change", args=[entry.pk]), follow=True),
        client.get("/api/v1/audit", {"object_type": "providers.credential"}),
    ]
    text = "".join(_text(one) for one in shown)
    for private in (f"/{entry.pk}/", "somebody-new@example.com", "very-hidden"):
        assert (private in text) == (persona == "viewer"), private


def _text(response: Any) -> str:
    if response.streaming:
        return b"".join(response.streaming_content).decode()
    return str(response.content.decode())


@pytest.mark.django_db
def test_every_action_of_every_page_is_some_roles_or_the_administrators() -> None:
    """A permission that is new belongs to administrators until the table says otherwise."""
    known = existing_permissions()
    of = {role: permissions_of(role, known) for role in Role}
    for model in admin.site._registry:
        label = model._meta.label_lower.replace(".", ".{}_")
        assert label.format("view") in of[Role.AUDITOR], f"the auditor does not see {model}"
        if model._meta.app_label != "auth":
            for verb in ("view", "add", "change", "delete"):
                assert label.format(verb) in of[Role.ADMINISTRATOR]
    more = {one for one in of[Role.AUDITOR] if ".view_" not in one}
    assert more == {"governance.read_calltext"}
    assert of[Role.OPERATOR] < of[Role.ADMINISTRATOR]
    assert of[Role.AUDITOR] <= of[Role.ADMINISTRATOR]


# What auditors see by asking for it, which is a POST as it is told of in the audit trail.
AUDIT = AuditEntry._meta.db_table
MAY: dict[str, tuple[str, ...]] = {"nobody": (), "viewer": ("_texts",)}


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
    told = set(AuditEntry.objects.values_list("pk", flat=True))

    for name, address, data in walk:
        status = client.post(address, data).status_code
        if name.endswith(REFUSED) and not name.endswith(MAY[persona]):
            assert status == 403, (address, status)
    for address, chosen in bulk:
        client.post(address, chosen)

    after = _fingerprint()
    since = AuditEntry.objects.exclude(pk__in=told)
    if MAY[persona]:
        # What they read is told of, and nothing else.
        assert set(since.values_list("action", flat=True)) <= {READ}
        after[AUDIT] = before[AUDIT]
    assert after == before


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
