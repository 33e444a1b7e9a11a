"""Signing in with a password: by whom, how often, and what is kept of it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.test import Client, override_settings
from django.urls import reverse

from governance.models import AuditEntry
from palyra_site.access.adapters import WRONG
from palyra_site.access.settings import OF_AN_ACCOUNT, OF_AN_ADDRESS
from tests.access.conftest import PASSWORD, is_signed_in, sign_in, text

# Who is led where, and cookies, are no matter of databases; what is counted there is.
pytestmark = pytest.mark.any_database


def test_who_may_enter_the_console_lands_there(client: Client, person: User) -> None:
    person.is_staff = True
    person.save()
    assert sign_in(client)["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


def test_everyone_else_lands_at_their_team(client: Client, person: User) -> None:
    assert sign_in(client)["Location"] == "/team/"


@pytest.mark.parametrize("door", ["/admin/login/", "/team/sign-in/"])
@pytest.mark.django_db
def test_there_is_one_page_to_sign_in_on(client: Client, door: str) -> None:
    response = client.get(f"{door}?next=/team/", follow=True)
    assert response.redirect_chain[-1][0] == "/account/sign-in/?next=/team/"
    assert 'value="/team/"' in text(response)


def test_who_is_signed_in_and_may_not_enter_the_console_is_told(
    client: Client, person: User
) -> None:
    sign_in(client)
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "may not enter the console" in text(response)


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example"]
)
def test_signing_in_leads_nowhere_else(client: Client, person: User, elsewhere: str) -> None:
    assert sign_in(client, next=elsewhere)["Location"] == "/team/"


def test_the_session_is_a_new_one(client: Client, person: User) -> None:
    session = client.session
    session["before"] = "signing in"
    session.save()
    planted = str(session.session_key)
    client.cookies["sessionid"] = planted
    sign_in(client)
    assert client.session.session_key != planted
    assert not Session.objects.filter(pk=planted).exists()


def test_the_cookie_is_for_the_server_alone(client: Client, person: User) -> None:
    cookie = sign_in(client).cookies["sessionid"]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] == 24 * 3600


@override_settings(SESSION_COOKIE_SECURE=True, CSRF_COOKIE_SECURE=True, PALYRA_HSTS_SECONDS=60)
def test_behind_https_cookies_and_pages_say_so(client: Client, person: User) -> None:
    page = client.get(reverse("account_login"))
    assert page.headers["Strict-Transport-Security"] == "max-age=60"
    assert page.cookies["csrftoken"]["secure"]
    assert sign_in(client).cookies["sessionid"]["secure"]


@pytest.mark.django_db
def test_without_https_no_browser_is_told_to_use_it(client: Client) -> None:
    assert "Strict-Transport-Security" not in client.get(reverse("account_login")).headers


@pytest.mark.django_db
def test_the_page_may_not_be_framed_nor_kept(client: Client) -> None:
    headers = client.get(reverse("account_login")).headers
    assert headers["X-Frame-Options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "unsafe" not in headers["Content-Security-Policy"]
    assert "no-store" in headers["Cache-Control"]


def test_the_form_wants_its_token(person: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    response = sign_in(strict)
    assert response.status_code == 403
    assert "Load the page anew" in text(response)
    assert not is_signed_in(strict)


@pytest.mark.parametrize(
    ("name", "password"), [("mira", "wrong"), ("nobody", PASSWORD), ("off", PASSWORD)]
)
def test_what_was_wrong_is_not_said(client: Client, person: User, name: str, password: str) -> None:
    User.objects.create_user("off", password=PASSWORD, is_active=False)
    response = sign_in(client, name, password)
    assert response.status_code == 200
    assert WRONG in text(response)
    assert not is_signed_in(client)


def _fail(client: Client, name: str, times: int, **more: Any) -> str:
    page = ""
    for _ in range(times):
        page = text(
            client.post(reverse("account_login"), {"login": name, "password": "no"}, **more)
        )
    return page


@pytest.mark.parametrize("name", ["mira", "nobody"])
@pytest.mark.every_database
def test_after_too_many_failures_an_account_must_wait(
    client: Client, person: User, name: str
) -> None:
    assert WRONG in _fail(client, name, OF_AN_ACCOUNT)
    page = text(sign_in(client, name))
    assert "Too many attempts failed. Try again in 15 minutes." in page
    assert not is_signed_in(client)
    # From elsewhere as well, and whatever the case of the letters.
    assert "Too many attempts" in _fail(client, name.upper(), 1, REMOTE_ADDR="203.0.113.9")


def test_others_may_sign_in_meanwhile(client: Client, person: User) -> None:
    User.objects.create_user("otto", password=PASSWORD)
    _fail(client, "mira", OF_AN_ACCOUNT + 1)
    assert sign_in(Client(), "otto").status_code == 302


@pytest.mark.every_database
def test_after_too_many_failures_an_address_must_wait(client: Client, person: User) -> None:
    for number in range(OF_AN_ADDRESS):
        _fail(client, f"guess-{number}", 1, REMOTE_ADDR="203.0.113.9")
    page = _fail(client, "mira", 1, REMOTE_ADDR="203.0.113.9")
    assert "Too many attempts failed" in page
    assert WRONG in _fail(client, "mira", 1, REMOTE_ADDR="203.0.113.10")


def test_signing_in_does_not_clear_what_failed_before(client: Client, person: User) -> None:
    """Or whoever guesses could sign in as themselves now and then, to begin anew."""
    _fail(client, "mira", OF_AN_ACCOUNT - 1)
    assert sign_in(client).status_code == 302
    guesser = Client()
    _fail(guesser, "mira", 1)
    assert "Too many attempts" in _fail(guesser, "mira", 1)


@pytest.mark.every_database
def test_failures_are_counted_where_all_processes_see_them() -> None:
    assert type(cache._connections["default"]).__name__ == "DatabaseCache"  # type: ignore[attr-defined]


@pytest.mark.every_database
def test_signing_in_is_in_the_audit_trail(client: Client, person: User) -> None:
    sign_in(client)
    entry = AuditEntry.objects.get(action="signed in")
    assert (entry.actor, entry.user_id, entry.surface) == ("mira", person.pk, "sign-in")
    assert (entry.object_type, entry.object_id) == ("auth.user", str(person.pk))
    assert entry.address == "127.0.0.1"
    assert entry.changes == {"by": [None, "password"]}


def test_failing_to_is_too_without_what_was_typed(client: Client, person: User) -> None:
    sign_in(client, "mira", "wrong")
    sign_in(client, "my-password-typed-as-a-name", "wrong")
    one, other = AuditEntry.objects.filter(action="failed to sign in").order_by("at")
    assert (one.object_name, one.actor) == ("mira", "nobody signed in")
    assert other.object_name == "an account that does not exist"
    assert "my-password" not in str(list(AuditEntry.objects.values()))


def test_what_is_refused_unlooked_at_does_not_fill_the_trail(client: Client, person: User) -> None:
    _fail(client, "mira", OF_AN_ACCOUNT + 5)
    assert AuditEntry.objects.filter(action="failed to sign in").count() == OF_AN_ACCOUNT


def test_signing_out_takes_a_post(client: Client, person: User) -> None:
    sign_in(client)
    assert client.get(reverse("account_logout")).status_code == 405
    assert client.post(reverse("account_logout"))["Location"] == reverse("account_login")
    assert not is_signed_in(client)


@pytest.mark.parametrize(
    "address",
    ["signup/", "password/reset/", "email/", "3rdparty/", "sessions/", "two-step/webauthn/"],
)
@pytest.mark.django_db
def test_what_is_not_offered_is_not_there(client: Client, address: str) -> None:
    assert client.get(f"/account/{address}").status_code in {404, 405}
