"""Signing in through an identity provider, over real HTTP on loopback."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount, SocialToken
from django.conf import settings as django_settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from governance.models import AuditEntry
from palyra_site.access import groups
from palyra_site.access.claims import Claim, Outcome, judge
from palyra_site.access.roles import Role
from palyra_site.access.settings import access_settings
from palyra_site.configuration import SingleSignOn
from tests.access.conftest import is_signed_in, text
from tests.access.test_two_step import code_of
from tests.console.conftest import signed_in
from tests.support.identity_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    IdentityProvider,
    identity_provider,
)

# What the identity provider says is judged in Python; whom it means is looked up.
pytestmark = pytest.mark.any_database
START = "/account/sign-in/sso/"


@pytest.fixture
def provider(settings: Settings, db: None) -> Iterator[IdentityProvider]:
    """One that is configured, and vouches for Mira."""
    with identity_provider(
        email="mira@example.com", email_verified=True, given_name="Mira", family_name="Okafor"
    ) as running:
        configure(settings, running)
        yield running


def configure(settings: Settings, provider: IdentityProvider, *domains: str) -> None:
    """As PALYRA_OIDC_* would."""
    given = SingleSignOn(
        issuer=provider.base_url,
        client_id=CLIENT_ID,
        client_secret=CLIENT_SECRET,
        name="Example login",
        domains=domains,
    )
    configuration = replace(django_settings.CONFIGURATION, oidc=given)
    settings.SOCIALACCOUNT_PROVIDERS = access_settings(configuration)["SOCIALACCOUNT_PROVIDERS"]
    settings.PALYRA_OIDC_DOMAINS = domains


def go(client: Client, following: str = "") -> Any:
    """Press the button, agree at the provider, and come back."""
    return client.get(agree(client.post(f"{START}?next={following}" if following else START)))


def agree(leaving: Any) -> str:
    """Agree at the provider; where it sends the browser back to."""
    assert leaving.status_code == 200
    found = re.search(r'content="0;url=([^"]+)"', text(leaving))
    assert found
    back = httpx.get(html.unescape(found[1]), trust_env=False).headers["Location"]
    parts = urlsplit(back)
    return f"{parts.path}?{parts.query}"


def person(name: str = "mira", email: str = "mira@example.com", **more: Any) -> User:
    return User.objects.create_user(name, email, **more)


def test_the_button_is_there_when_it_is_configured(
    client: Client, provider: IdentityProvider
) -> None:
    page = text(client.get(reverse("account_login")))
    assert "Sign in with Example login" in page
    assert CLIENT_SECRET not in page


@pytest.mark.django_db
def test_without_configuration_there_is_none(client: Client) -> None:
    assert "Sign in with" not in text(client.get(reverse("account_login")))
    assert client.post(START).status_code == 404


def test_going_there_takes_the_button(client: Client, provider: IdentityProvider) -> None:
    assert client.get(START).status_code == 405
    assert Client(enforce_csrf_checks=True).post(START).status_code == 403


@pytest.mark.parametrize("process", ["connect", "redirect", "anything"])
@pytest.mark.parametrize("query", ["", "?process=login"])
def test_an_identity_is_for_signing_in_alone(
    client: Client, provider: IdentityProvider, process: str, query: str
) -> None:
    client.force_login(person("otto", "otto@example.com"))
    assert client.post(f"{START}?process={process}").status_code == 404
    assert client.post(f"{START}{query}", {"process": process}).status_code == 404
    # Nor where it was begun otherwise.
    back = agree(client.post(f"{START}?process=login"))
    session = client.session
    for state, *_ in session["socialaccount_states"].values():
        state["process"] = process
    session.save()
    assert client.get(back).status_code == 401
    assert not SocialAccount.objects.exists()


def test_pressing_the_button_is_limited(client: Client, provider: IdentityProvider) -> None:
    for _ in range(60):
        assert client.post(START).status_code == 200
    refused = client.post(START)
    assert (refused.status_code, refused["Retry-After"]) == (429, "60")


def test_the_provider_is_asked_with_a_proof_of_who_asks(
    client: Client, provider: IdentityProvider
) -> None:
    found = re.search(r'content="0;url=([^"]+)"', text(client.post(START)))
    assert found
    query = parse_qs(urlsplit(html.unescape(found[1])).query)
    assert query["code_challenge_method"] == ["S256"]
    assert len(query["state"][0]) >= 16
    assert query["redirect_uri"] == ["http://testserver/account/sign-in/sso/back/"]
    assert set(query["scope"][0].split()) == {"openid", "profile", "email"}


@pytest.mark.every_database
def test_who_is_known_by_their_address_is_let_in(
    client: Client, provider: IdentityProvider
) -> None:
    mira = person()
    assert go(client, "/team/?a=b")["Location"] == "/team/?a=b"
    assert client.session["_auth_user_id"] == str(mira.pk)
    assert provider.refused == []
    entry = AuditEntry.objects.get(action="signed in")
    assert entry.changes == {"by": [None, "single sign-on"]}
    linked = AuditEntry.objects.get(action="linked single sign-on")
    assert linked.object_id == str(mira.pk)
    assert not SocialToken.objects.exists()


@pytest.mark.every_database
def test_later_they_are_known_by_what_the_provider_calls_them(
    client: Client, provider: IdentityProvider
) -> None:
    mira = person()
    go(client)
    # Somebody else has the address now; the identity is still hers.
    User.objects.filter(pk=mira.pk).update(email="new@example.com")
    person("otto", "mira@example.com")
    other = Client()
    go(other)
    assert other.session["_auth_user_id"] == str(mira.pk)


def test_who_is_known_keeps_their_role(client: Client, provider: IdentityProvider) -> None:
    mira = person()
    groups.give_role(mira, Role.OPERATOR)
    assert go(client)["Location"] == "/admin/"
    assert groups.role_of(User.objects.get(pk=mira.pk)) is Role.OPERATOR


def _refused(client: Client, response: Any, status: int = 403) -> str:
    assert response.status_code == status
    assert not is_signed_in(client)
    assert not SocialAccount.objects.exists()
    return text(response)


def test_who_has_no_account_is_not_let_in(client: Client, provider: IdentityProvider) -> None:
    assert "Nobody in Palyra has the address mira@example.com" in _refused(client, go(client))
    assert not User.objects.exists()
    entry = AuditEntry.objects.get(action="was refused")
    assert (entry.object_name, entry.reason) == ("mira@example.com", "Single sign-on: no account.")


def test_an_address_of_an_allowed_domain_makes_an_account_with_no_rights(
    client: Client, provider: IdentityProvider, settings: Settings
) -> None:
    configure(settings, provider, "example.com")
    person("mira", "somebody@else.example")
    assert go(client)["Location"] == "/team/"
    made = User.objects.get(email="mira@example.com")
    assert client.session["_auth_user_id"] == str(made.pk)
    assert made.username != "mira"
    assert groups.role_of(made) is Role.MEMBER
    assert not made.get_all_permissions()
    assert not made.has_usable_password()
    assert client.get("/admin/", follow=True).status_code == 403
    assert "You are not in a team yet" in text(client.get("/team/"))
    assert AuditEntry.objects.filter(action="added", object_id=str(made.pk)).exists()


@pytest.mark.every_database
def test_an_address_that_an_account_had_is_free_for_others(
    client: Client, provider: IdentityProvider, settings: Settings
) -> None:
    configure(settings, provider, "example.com")
    go(client)
    first = User.objects.get()
    owner = User.objects.create_superuser("olga")
    page = reverse("admin:auth_user_change", args=[first.pk])
    sent = {"username": first.username, "email": "new@example.com", "is_active": "on"}
    provider.person["sub"] = "subject-2"
    User.objects.filter(pk=first.pk).update(email="behind-its-back@example.com")
    assert "Several accounts" in text(go(Client()))
    assert signed_in(owner).post(page, {**sent, "role": "Member"}).status_code == 302
    assert go(Client())["Location"] == "/team/"
    assert User.objects.get(email="mira@example.com") != first


@pytest.mark.parametrize(
    ("claims", "says"),
    [
        ({"email_verified": False}, "has not verified"),
        ({"email_verified": "false"}, "has not verified"),
        ({"email": ""}, "did not say"),
    ],
)
def test_an_address_that_is_not_proven_counts_for_nothing(
    client: Client,
    provider: IdentityProvider,
    settings: Settings,
    claims: dict[str, Any],
    says: str,
) -> None:
    configure(settings, provider, "example.com")
    person()
    provider.person |= claims
    assert says in _refused(client, go(client))


@pytest.mark.every_database
def test_an_address_that_several_accounts_have_says_not_whose(
    client: Client, provider: IdentityProvider
) -> None:
    person()
    person("mira-2", "Mira@Example.com")
    assert "Several accounts" in _refused(client, go(client))


@pytest.mark.every_database
def test_an_address_that_only_looks_like_an_accounts_is_nobodys(
    client: Client, provider: IdentityProvider
) -> None:
    """To PostgreSQL, ı and i are one capital letter."""
    person(email="mira@github.com")
    provider.person["email"] = "mira@gıthub.com"
    assert "Nobody in Palyra has the address" in _refused(client, go(client))


def test_who_is_switched_off_stays_out(client: Client, provider: IdentityProvider) -> None:
    person(is_active=False)
    response = go(client)
    assert response["Location"] == reverse("account_inactive")
    assert "switched off" in text(client.get(response["Location"]))
    assert not is_signed_in(client)


def test_two_step_sign_in_is_asked_here_too(client: Client, provider: IdentityProvider) -> None:
    Authenticator.objects.create(user=person(), type="totp", data={"secret": "x"})
    assert go(client)["Location"] == reverse("mfa_authenticate")
    assert not is_signed_in(client)


def test_who_has_no_password_sets_two_step_sign_in_up_as_well(
    client: Client, provider: IdentityProvider, settings: Settings
) -> None:
    settings.PALYRA_REQUIRE_TWO_STEP = "everyone"
    configure(settings, provider, "example.com")
    go(client)
    activate = reverse("mfa_activate_totp")
    assert client.get("/team/")["Location"] == activate
    secret = client.get(activate).context["form"].secret
    assert client.post(activate, {"code": code_of(secret)}).status_code == 302
    assert client.get("/team/").status_code == 200
    assert client.get(reverse("account_change_password"))["Location"] == "/account/"


def test_an_answer_that_nobody_asked_for_is_refused(
    client: Client, provider: IdentityProvider
) -> None:
    person()
    back = f"{START}back/?code=stolen&state=guessed"
    assert "were not signed in" in _refused(client, client.get(back), 401)


def test_an_answer_for_another_browser_is_refused(provider: IdentityProvider) -> None:
    person()
    one, other = Client(), Client()
    found = re.search(r'content="0;url=([^"]+)"', text(one.post(START)))
    assert found
    back = httpx.get(html.unescape(found[1]), trust_env=False).headers["Location"]
    parts = urlsplit(back)
    _refused(other, other.get(f"{parts.path}?{parts.query}"), 401)


def test_a_token_for_somebody_else_is_refused(client: Client, provider: IdentityProvider) -> None:
    person()
    provider.audience = "another-client"
    _refused(client, go(client), 401)


def test_a_provider_that_fails_is_said_to(client: Client, provider: IdentityProvider) -> None:
    person()
    provider.broken = True
    page = _refused(client, go(client), 401)
    assert "could not be reached, or its answer was not one" in page
    assert CLIENT_SECRET not in page


@pytest.mark.parametrize(
    "claims",
    [
        {"family_name": 5},
        {"family_name": ["Okafor"]},
        {"given_name": "Mi\0ra"},
        {"sub": "s" * 500},
        {"sub": 5},
        {"email": 5},
        {"email": ["mira@example.com"]},
        {"email_verified": [1]},
        {"sub": None},
        {"sub": "sub\0ject"},
    ],
)
@pytest.mark.every_database
def test_odd_answers_of_a_provider_make_no_half_account(
    client: Client, provider: IdentityProvider, settings: Settings, claims: dict[str, Any]
) -> None:
    configure(settings, provider, "example.com")
    provider.person |= claims
    response = go(client)
    assert response.status_code in {302, 401, 403}
    accounts = 1 if response.status_code == 302 else 0
    assert (User.objects.count(), SocialAccount.objects.count()) == (accounts, accounts)


@pytest.mark.parametrize("document", [[1], "text", 5, {"authorization_endpoint": 5}])
def test_a_discovery_document_that_is_none_is_said_to_be(
    client: Client, provider: IdentityProvider, document: Any
) -> None:
    provider.configured_as = document
    assert "could not be reached, or its answer" in _refused(client, client.post(START), 401)


def test_a_provider_that_is_down_is_said_to_be(
    client: Client, provider: IdentityProvider, settings: Settings, free_port: int
) -> None:
    provider.base_url = f"http://127.0.0.1:{free_port}"
    configure(settings, provider)
    response = client.post(START)
    assert response.status_code == 401
    assert "could not be reached" in text(response)


def test_who_cancels_there_is_told(client: Client, provider: IdentityProvider) -> None:
    found = re.search(r"state=([^&\"]+)", html.unescape(text(client.post(START))))
    assert found
    back = f"{START}back/?error=access_denied&state={found[1]}"
    page = text(client.get(back, follow=True))
    assert "it was cancelled" in page


MINE = {"address": "m@example.com", "verified": True, "holders": (), "domains": ()}


@pytest.mark.parametrize(
    ("claim", "outcome"),
    [
        ({}, Outcome.UNKNOWN),
        ({"holders": (1,)}, Outcome.KNOWN),
        ({"holders": (1,), "verified": False}, Outcome.NOT_VERIFIED),
        ({"holders": (1, 2)}, Outcome.SEVERAL),
        ({"address": ""}, Outcome.NO_ADDRESS),
        ({"domains": ("example.com",)}, Outcome.NEW),
        ({"domains": ("ample.com",)}, Outcome.UNKNOWN),
        ({"domains": ("com",)}, Outcome.UNKNOWN),
        ({"domains": ("example.com",), "address": "m@example.com@evil.example"}, Outcome.UNKNOWN),
        ({"domains": ("example.com",), "address": "m@sub.example.com"}, Outcome.UNKNOWN),
        ({"domains": ("example.com",), "verified": False}, Outcome.NOT_VERIFIED),
        ({"domains": ("example.com",), "holders": (1,)}, Outcome.KNOWN),
    ],
)
def test_who_is_let_in(claim: dict[str, Any], outcome: Outcome) -> None:
    assert judge(Claim(**{**MINE, **claim})) is outcome
