"""A forgotten password: a link by e-mail, for whom, how often and for how long."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from governance.models import AuditEntry
from palyra_site.access import mail as sending
from palyra_site.access.cache import TABLE
from palyra_site.access.settings import (
    LINKS_FROM_AN_ADDRESS,
    LINKS_TO_AN_ADDRESS,
    OF_AN_ACCOUNT,
    OF_AN_ADDRESS,
)
from tests.access.conftest import PASSWORD, is_signed_in, sign_in, text

ASK = "/account/forgotten/"
NEW = "a quite different one"
LINK = re.compile(r"http://\S+/account/forgotten/\S+")


@pytest.fixture(autouse=True)
def mail_server(settings: Settings) -> None:
    """E-mail is set up."""
    settings.PALYRA_EMAIL = True
    settings.PALYRA_PUBLIC_URL = "http://palyra.example"


def _ask(client: Client, address: str = "mira@example.com", **more: Any) -> Any:
    response = client.post(ASK, {"email": address}, **more)
    # One thread sends, so what was handed to it before this is sent.
    sending._sending.submit(lambda: None).result(timeout=60)
    return response


def _link(client: Client) -> str:
    """The path that the e-mail leads to."""
    _ask(client)
    found = LINK.search(str(mail.outbox[-1].body))
    assert found is not None
    return found[0].removeprefix("http://palyra.example")


def _choose(client: Client, path: str, password: str = NEW) -> Any:
    form = client.get(path)["Location"]
    return client.post(form, {"password1": password, "password2": password})


def test_the_sign_in_page_leads_there(client: Client, person: User) -> None:
    assert ASK in text(client.get(reverse("account_login")))
    assert "Send a link" in text(client.get(ASK))


def test_without_e_mail_an_administrator_is_named(
    client: Client, person: User, settings: Settings
) -> None:
    settings.PALYRA_EMAIL = False
    for response in (client.get(ASK), _ask(client)):
        assert "An administrator of Palyra can set a new one" in text(response)
        assert "Send a link" not in text(response)
    assert mail.outbox == []


def test_a_link_lets_one_choose_a_new_password(client: Client, person: User) -> None:
    path = _link(client)
    (message,) = mail.outbox
    assert message.to == ["mira@example.com"]
    assert message.subject == "[Palyra] A new password for mira"

    response = _choose(client, path)

    assert response["Location"] == reverse("account_login")
    assert "Your password is changed." in text(client.get(reverse("account_login")))
    assert not is_signed_in(client)
    assert sign_in(Client(), password=PASSWORD).status_code == 200
    assert sign_in(Client(), password=NEW).status_code == 302
    entry = AuditEntry.objects.get(action="set a new password by e-mail")
    assert (entry.object_name, entry.actor) == ("mira", "nobody signed in")
    assert NEW not in str(list(AuditEntry.objects.values()))


@pytest.mark.parametrize(
    "address", ["nobody@example.com", "off@example.com", "elsewhere@example.com"]
)
def test_the_answer_says_not_whether_there_is_such_an_account(
    client: Client, person: User, address: str
) -> None:
    User.objects.create_user("off", "off@example.com", PASSWORD, is_active=False)
    # By single sign-on only.
    User.objects.create_user("elsewhere", "elsewhere@example.com")
    known, other = _ask(client), _ask(Client(), address)
    assert (known.status_code, known["Location"]) == (other.status_code, other["Location"])
    assert [message.to for message in mail.outbox] == [["mira@example.com"]]


def test_an_address_is_one_however_it_is_written(client: Client, person: User) -> None:
    User.objects.filter(pk=person.pk).update(email="Mira@Example.com")
    _ask(client, "mira@example.COM")
    # What the account has is written to, not what was typed.
    assert [message.to for message in mail.outbox] == [["Mira@Example.com"]]


@pytest.mark.parametrize(
    ("has", "typed"),
    [
        ("mira@github.com", "mira@gıthub.com"),
        ("mira@github.com", "mıra@github.com"),
        ("mira@sso.example", "mira@\N{LATIN SMALL LETTER LONG S}so.example"),
    ],
)
def test_an_address_that_only_looks_like_it_gets_nothing(
    client: Client, person: User, has: str, typed: str
) -> None:
    """To PostgreSQL they have the same capitals; whoever owns the domain is somebody else."""
    User.objects.filter(pk=person.pk).update(email=has)
    assert _ask(client, typed).status_code == 302
    assert mail.outbox == []


def test_each_account_with_the_address_gets_its_own_link(client: Client, person: User) -> None:
    User.objects.create_user("mira-2", "mira@example.com", PASSWORD)
    _ask(client)
    assert sorted(message.subject for message in mail.outbox) == [
        "[Palyra] A new password for mira",
        "[Palyra] A new password for mira-2",
    ]


def test_links_to_an_address_are_limited(client: Client, person: User) -> None:
    for number in range(LINKS_TO_AN_ADDRESS):
        assert _ask(client, REMOTE_ADDR=f"203.0.113.{number}").status_code == 302
    for address in ("mira@example.com", "MIRA@example.com"):
        assert _ask(client, address, REMOTE_ADDR="203.0.113.99").status_code == 429
    assert len(mail.outbox) == LINKS_TO_AN_ADDRESS


def test_links_from_a_place_are_limited(client: Client, person: User) -> None:
    for number in range(LINKS_FROM_AN_ADDRESS):
        assert _ask(client, f"guess-{number}@example.com").status_code == 302
    assert _ask(client).status_code == 429
    assert mail.outbox == []
    assert _ask(client, REMOTE_ADDR="203.0.113.9").status_code == 302


def test_what_a_place_is_refused_leaves_nothing_behind(client: Client, person: User) -> None:
    """Or the table would grow at will, and forget failed sign-ins once it is full."""
    for number in range(LINKS_FROM_AN_ADDRESS):
        _ask(client, f"guess-{number}@example.com")
    kept = _rows_of_cache()
    for number in range(3):
        assert _ask(client, f"more-{number}@example.com").status_code == 429
    assert _rows_of_cache() == kept


def _rows_of_cache() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {TABLE}")
        return int(cursor.fetchone()[0])


def test_a_new_password_is_not_kept_waiting_by_wrong_ones(client: Client, person: User) -> None:
    for _ in range(OF_AN_ACCOUNT):
        sign_in(client, "MIRA", password="wrong")
    assert "Too many attempts failed" in text(sign_in(client))
    _choose(client, _link(client))
    assert sign_in(client, password=NEW).status_code == 302


def test_a_new_password_forgets_nothing_of_the_place(client: Client, person: User) -> None:
    EmailAddress.objects.create(user=person, email="mira@example.com")
    for number in range(OF_AN_ADDRESS):
        sign_in(client, f"guess-{number}", password="wrong")
    _choose(client, _link(client))
    assert "Too many attempts failed" in text(sign_in(client, password=NEW))


def test_a_link_is_good_once(client: Client, person: User) -> None:
    path = _link(client)
    _choose(client, path)
    assert "This link is not good any more" in text(Client().get(path))


def test_a_link_is_good_for_an_hour(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _link(client)
    for minutes, is_good in ((59, True), (61, False)):
        later = datetime.now() + timedelta(minutes=minutes)  # noqa: DTZ005 - Django's own clock
        monkeypatch.setattr(PasswordResetTokenGenerator, "_now", lambda _, at=later: at)
        assert (Client().get(path).status_code == 302) is is_good


@pytest.mark.parametrize(
    "path", ["1-x", "zz-abc-def", "99999999999999999999-abc-def", "0-%E2%98%83"]
)
def test_a_link_that_is_none_is_said_to_be(client: Client, person: User, path: str) -> None:
    response = client.get(f"{ASK}{path}/")
    assert response.status_code == 200
    assert "This link is not good any more" in text(response)


def test_a_weak_password_is_refused(client: Client, person: User) -> None:
    response = _choose(client, _link(client), "password")
    assert response.status_code == 200
    assert "too common" in text(response)
    assert sign_in(Client()).status_code == 302


def test_whoever_was_signed_in_is_not_any_more(client: Client, person: User) -> None:
    other = Client()
    sign_in(other)
    sign_in(client)
    # In a browser that is signed in itself.
    assert _choose(client, _link(client)).status_code == 302
    for browser in (client, other):
        assert browser.get("/account/").status_code == 302


def test_the_link_leads_to_where_palyra_is_whatever_name_it_was_asked_by(
    client: Client, person: User, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    _ask(client, headers={"Host": "evil.example"})
    assert "evil.example" not in str(mail.outbox[0].body)
    assert "http://palyra.example/account/forgotten/" in str(mail.outbox[0].body)


def test_a_mail_server_that_fails_is_said_in_the_log_alone(
    client: Client, person: User, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert _ask(client).status_code == 302
    assert "An e-mail to somebody who forgot a password failed" in caplog.text
    assert "forgotten/" not in caplog.text


def test_pages_are_neither_kept_nor_framed(client: Client, person: User) -> None:
    path = _link(client)
    for page in (ASK, f"{ASK}sent/", client.get(path)["Location"]):
        headers = client.get(page).headers
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert "no-store" in headers["Cache-Control"]
