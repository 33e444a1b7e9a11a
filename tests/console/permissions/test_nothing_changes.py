"""Every address and action of the console, as somebody who may change nothing."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from governance.models import AuditEntry
from governance.texts import READ
from providers.admin.base import ConsoleAdmin
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in
from tests.console.permissions.walking import addresses, bulk_actions, fingerprint, sent_to

# Who may do what is asked of Python, and every page is looked at: once is enough.
pytestmark = pytest.mark.any_database


REFUSED = (
    *("_add", "_change", "_delete", "_do", "_preset", "_discover", "_import", "_try"),
    *("_texts", "playground_send", "_duplicate", "governance_routing_mode"),
)


# What auditors see by asking for it, which is a POST as it is told of in the audit trail.
AUDIT = AuditEntry._meta.db_table
MAY: dict[str, tuple[str, ...]] = {"nobody": (), "viewer": ("_texts",)}


@pytest.mark.parametrize("persona", ["nobody", "viewer"])
def test_nothing_changes(root: Client, persona: str, request: pytest.FixtureRequest) -> None:
    client: Client = request.getfixturevalue(persona)
    # Everybody may change their own password.
    walk = [
        (name, address, sent_to(root, name, address))
        for name, address in addresses()
        if name != "password_change"
    ]
    bulk = list(bulk_actions(root))
    before = fingerprint()
    told = set(AuditEntry.objects.values_list("pk", flat=True))

    for name, address, data in walk:
        status = client.post(address, data).status_code
        if name.endswith(REFUSED) and not name.endswith(MAY[persona]):
            assert status == 403, (address, status)
    for address, chosen in bulk:
        client.post(address, chosen)

    after = fingerprint()
    since = AuditEntry.objects.exclude(pk__in=told)
    if MAY[persona]:
        # What they read is told of, and nothing else.
        assert set(since.values_list("action", flat=True)) <= {READ}
        after[AUDIT] = before[AUDIT]
    assert after == before


def test_what_was_sent_would_have_changed_something(root: Client) -> None:
    """The walk above proves nothing unless root changes things by the same means."""
    changed = set()
    for name, address in list(addresses()):
        if name.endswith(("_change", "_do", "_preset")) and name != "password_change":
            data, before = sent_to(root, name, address), fingerprint()
            root.post(address, data)
            if fingerprint() != before:
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
    actions = [address for name, address in addresses() if name.endswith("_do")]
    before = fingerprint()

    assert {root.get(address).status_code for address in actions} == {405}
    assert fingerprint() == before


def test_actions_want_the_forms_token(seeded: Seeded) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(seeded.administrator)
    address = reverse("admin:scheduling_cronjob_do", args=[seeded.job.pk, "pause"])

    assert strict.post(address, {"pause-reason": "because"}).status_code == 403
    seeded.job.refresh_from_db()
    assert seeded.job.enabled


def test_strangers_are_asked_to_sign_in(seeded: Seeded) -> None:
    stranger = Client()
    for name, address in list(addresses()):
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
