"""Two-step sign-in: set up, used, required, lost."""

from __future__ import annotations

import time
from io import StringIO
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.contrib.auth.models import Group, Permission, User
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import reverse
from pytest_django import Settings

from governance.models import AuditEntry
from palyra_site.access import groups, sealing
from palyra_site.access.adapters import WRONG
from palyra_site.access.roles import Role
from palyra_site.access.settings import OF_AN_ACCOUNT, OF_AN_ADDRESS
from palyra_site.access.two_step import SAYS, must_use
from tests.access.conftest import PASSWORD, is_signed_in, sign_in, text

# Codes are judged in Python; that each works once is not.
pytestmark = pytest.mark.any_database


def code_of(secret: str, step: int = 0) -> str:
    """What the app shows now; `step` half minutes later."""
    return str(format_hotp_value(hotp_value(secret, int(time.time()) // 30 + step)))


def set_up(client: Client) -> tuple[str, list[str]]:
    """Set it up as people do; the app's key, and the recovery codes."""
    activate = reverse("mfa_activate_totp")
    confirm = client.get(activate)["Location"]
    assert confirm.startswith(reverse("account_reauthenticate"))
    assert client.post(confirm, {"password": PASSWORD})["Location"] == activate
    page = client.get(activate)
    secret = page.context["form"].secret
    assert secret in text(page)
    response = client.post(activate, {"code": code_of(secret)})
    assert response["Location"] == reverse("mfa_view_recovery_codes")
    shown = client.get(response["Location"])
    return secret, list(shown.context["unused_codes"])


@pytest.fixture
def secured(person: User, django_capture_on_commit_callbacks: Any) -> tuple[str, list[str]]:
    """The person has set it up; the app's key and the recovery codes."""
    client = Client()
    sign_in(client)
    with django_capture_on_commit_callbacks(execute=True):
        return set_up(client)


def enter(client: Client, code: str) -> Any:
    return client.post(reverse("mfa_authenticate"), {"code": code})


def test_a_password_alone_no_longer_lets_in(client: Client, secured: Any) -> None:
    secret, _ = secured
    response = sign_in(client, next="/team/")
    assert response["Location"] == reverse("mfa_authenticate")
    assert not is_signed_in(client)
    assert client.get("/team/")["Location"].startswith("/account/sign-in/")
    # One step later, as that of setting up is used up.
    assert enter(client, code_of(secret, 1))["Location"] == "/team/"
    assert is_signed_in(client)
    entry = AuditEntry.objects.filter(action="signed in").latest("at")
    assert entry.changes == {"by": [None, "password and one-time code"]}


@pytest.mark.every_database
def test_a_code_works_once(client: Client, secured: Any) -> None:
    secret, _ = secured
    code = code_of(secret, 1)
    sign_in(client)
    enter(client, code)
    other = Client()
    sign_in(other)
    assert "That code is not right" in text(enter(other, code))
    assert not is_signed_in(other)


@pytest.mark.every_database
def test_a_recovery_code_works_once(client: Client, secured: Any) -> None:
    _, codes = secured
    assert len(set(codes)) == 10
    for works in (True, False):
        browser = Client()
        sign_in(browser)
        enter(browser, codes[3])
        assert is_signed_in(browser) is works


def test_recovery_codes_are_shown_once(client: Client, secured: Any) -> None:
    secret, codes = secured
    sign_in(client)
    enter(client, code_of(secret, 1))
    address = reverse("mfa_view_recovery_codes")
    confirm = client.get(address)["Location"]
    client.post(confirm, {"password": PASSWORD})
    page = text(client.get(address))
    assert not any(code in page for code in codes)
    assert "10 of 10 are left" in page


@pytest.mark.every_database
def test_guessing_codes_is_limited_and_the_wait_said(client: Client, secured: Any) -> None:
    secret, codes = secured
    sign_in(client)
    for _ in range(OF_AN_ACCOUNT):
        assert "That code is not right" in text(enter(client, "000000"))
    assert "Try again in 15 minutes" in text(enter(client, code_of(secret, 1)))
    assert "Try again in 15 minutes" in text(enter(client, codes[0]))
    assert not is_signed_in(client)
    assert AuditEntry.objects.filter(action="gave a wrong code").count() == OF_AN_ACCOUNT


def test_a_right_code_does_not_clear_what_failed_from_the_address(
    client: Client, secured: Any
) -> None:
    secret, _ = secured
    for number in range(OF_AN_ADDRESS - 3):
        sign_in(Client(), f"guess-{number}", "wrong")
    sign_in(client)
    assert enter(client, code_of(secret, 1)).status_code == 302
    pages = [text(sign_in(Client(), f"more-{number}", "wrong")) for number in range(4)]
    assert WRONG in pages[0]
    assert "Too many attempts" in pages[-1]


def test_what_codes_are_made_from_is_not_in_the_database(secured: Any) -> None:
    secret, codes = secured
    stored = str(list(Authenticator.objects.values()))
    assert secret not in stored
    assert not any(code in stored for code in codes)
    kept = str(list(AuditEntry.objects.values()))
    assert secret not in kept
    assert not any(code in kept for code in codes)


def test_setting_it_up_and_turning_it_off_is_in_the_audit_trail(
    client: Client, secured: Any, django_capture_on_commit_callbacks: Any
) -> None:
    secret, _ = secured
    assert AuditEntry.objects.filter(action="set up two-step").count() == 1
    sign_in(client)
    enter(client, code_of(secret, 1))
    off = reverse("mfa_deactivate_totp")
    client.post(client.get(off)["Location"], {"password": PASSWORD})
    with django_capture_on_commit_callbacks(execute=True):
        client.post(off)
    assert not Authenticator.objects.exists()
    assert AuditEntry.objects.filter(action="took two-step away").count() == 1
    assert sign_in(Client())["Location"] == "/team/"


def test_with_another_secret_key_no_code_is_right(
    client: Client, secured: Any, settings: Settings
) -> None:
    secret, codes = secured
    settings.SECRET_KEY = "another" * 8
    sign_in(client)
    assert "That code is not right" in text(enter(client, code_of(secret, 1)))
    assert "That code is not right" in text(enter(client, codes[0]))


def test_a_locked_out_owner_is_let_in_from_the_command_line(client: Client, secured: Any) -> None:
    call_command("two_step_off", "mira", stdout=StringIO())
    assert sign_in(client)["Location"] == "/team/"
    entry = AuditEntry.objects.get(action="took two-step away")
    assert entry.changes == {"two-step sign-in": ["on", "off"]}
    for name, says in (("mira", "does not use"), ("nobody", "Nobody has")):
        with pytest.raises(CommandError, match=says):
            call_command("two_step_off", name)


def test_what_is_sealed_is_read_again_and_nothing_else() -> None:
    assert sealing.unseal(sealing.seal("a secret")) == "a secret"
    assert sealing.seal("a secret") != sealing.seal("a secret")
    for broken in ("", "plain", sealing.seal("a secret")[:-4]):
        assert sealing.unseal(broken) != sealing.unseal(broken)


@pytest.mark.parametrize(
    ("rule", "role", "must"),
    [
        *(("nobody", role, False) for role in Role),
        *(("everyone", role, True) for role in Role),
        ("administrators", Role.OWNER, True),
        ("administrators", Role.ADMINISTRATOR, True),
        ("administrators", Role.OTHER, True),
        ("administrators", Role.OPERATOR, False),
        ("administrators", Role.AUDITOR, False),
        ("administrators", Role.MEMBER, False),
    ],
)
def test_of_whom_it_is_required(rule: str, role: Role, must: bool) -> None:
    assert must_use(rule, role) is must


@override_settings(PALYRA_REQUIRE_TWO_STEP="administrators")
def test_where_it_is_required_nothing_else_is_done_before(client: Client, person: User) -> None:
    groups.give_role(person, Role.ADMINISTRATOR)
    sign_in(client)
    for address in ("/admin/", "/team/", "/admin/auth/user/", "/admin/login/"):
        assert client.get(address)["Location"] == reverse("mfa_activate_totp"), address
    answer = client.get("/api/v1/teams")
    assert answer.status_code == 403
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["detail"] == SAYS
    assert client.post("/admin/auth/group/add/", {"name": "Mine"}).status_code == 302
    assert client.get("/account/").status_code == 200
    set_up(client)
    assert client.get("/admin/").status_code == 200


@override_settings(PALYRA_REQUIRE_TWO_STEP="administrators")
def test_where_it_is_required_it_is_not_turned_off(client: Client, person: User) -> None:
    groups.give_role(person, Role.ADMINISTRATOR)
    sign_in(client)
    set_up(client)
    page = client.post(reverse("mfa_deactivate_totp"))
    assert "required of you" in text(page)
    assert Authenticator.objects.filter(type="totp").exists()


@override_settings(PALYRA_REQUIRE_TWO_STEP="administrators")
@pytest.mark.parametrize("by_group", [True, False])
def test_it_is_required_of_a_role_with_rights_beyond_it(
    client: Client, person: User, by_group: bool
) -> None:
    groups.give_role(person, Role.OPERATOR)
    beyond = Permission.objects.get(codename="change_user")
    if by_group:
        group = Group.objects.create(name="People")
        group.permissions.add(beyond)
        person.groups.add(group)
    else:
        person.user_permissions.add(beyond)
    sign_in(client)
    assert client.get("/admin/")["Location"] == reverse("mfa_activate_totp")
    set_up(client)
    assert "required of you" in text(client.post(reverse("mfa_deactivate_totp")))
    assert "required of you" in text(client.get("/account/"))


@override_settings(PALYRA_REQUIRE_TWO_STEP="administrators")
def test_of_others_nothing_is_asked(client: Client, person: User) -> None:
    groups.give_role(person, Role.OPERATOR)
    sign_in(client)
    assert client.get("/admin/").status_code == 200
