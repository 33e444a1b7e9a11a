"""Every address and action of the console, as somebody who may see nothing or has a role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.test import Client
from django.urls import URLPattern, URLResolver, reverse

from governance.audit.reading import SEEN_WITH
from governance.models import AuditEntry
from palyra_site.access.groups import existing_permissions
from palyra_site.access.roles import Role, permissions_of
from providers.models import Credential, Provider
from tests.browser.console import MEMBER, OPERATOR
from tests.browser.seed import Seeded
from tests.console.conftest import signed_in
from tests.console.permissions.walking import addresses, bulk_actions, fingerprint, sent_to
from tests.support.factories import make_secret

# Who may do what is asked of Python, and every page is looked at: once is enough.
pytestmark = pytest.mark.any_database
# Whoever is let in may open these.
FOR_EVERYBODY = {
    "index",
    "search",
    "jsi18n",
    "preferences",
    "password_change_done",
}
NOT_WALKED = {"login", "logout", "view_on_site"}


def _names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name


# It is of a form, so it is for those who may fill that in.
OF_FORMS = ("governance_budgetpolicy_preview",)


def test_the_walk_leaves_no_address_out(seeded: Seeded) -> None:
    walked = {name for name, _ in addresses()}

    assert set(_names(admin.site.get_urls())) - NOT_WALKED == walked


def test_without_permission_nothing_of_the_objects_is_seen(nobody: Client) -> None:
    for name, address in list(addresses()):
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
    for name, address in list(addresses()):
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
    walk = [(name, address, sent_to(root, name, address)) for name, address in addresses()]
    bulk = list(bulk_actions(root))
    before = fingerprint()

    for name, address, data in walk:
        # Theirs to run: deleting it would leave the rest of the walk nothing to be refused.
        if not name.startswith("scheduling_") or not name.endswith("_delete"):
            operator.post(address, data)
    for address, chosen in bulk:
        if "/scheduling/" not in address:
            operator.post(address, chosen)

    after = fingerprint()
    changed = {label for label in after if after[label] != before[label]}
    assert changed <= RUN_BY_OPERATORS
    assert {"governance_approval", "scheduling_cronjob", "providers_breaker"} <= changed


@pytest.mark.any_database
def test_the_operator_sees_no_secrets_and_no_people(operator: Client) -> None:
    # Entries that there are not, for them: the console goes back to the overview.
    of_others = AuditEntry.objects.filter(object_type__in=SEEN_WITH).values_list("pk", flat=True)
    entries = {reverse("admin:governance_auditentry_change", args=[key]) for key in of_others}
    for name, address in list(addresses()):
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
