"""Where somebody is signed in: what is said of each browser, and ending them one by one."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import OperationalError, connection
from django.db.models.signals import post_delete
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from governance.models import AuditEntry
from palyra_site.access import devices, seen, sessions
from palyra_site.access.browsers import in_words
from palyra_site.access.cache import TABLE
from palyra_site.access.devices import devices_of
from palyra_site.access.sessions import (
    NOWHERE,
    end_sessions,
    know_all,
    sessions_of,
)
from scheduling.maintenance.catalogue import BY_NAME
from scheduling.maintenance.turn import Turn
from tests.access.conftest import PASSWORD, is_signed_in, sign_in, text

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
ACCOUNT = "/account/"


@pytest.fixture
def elsewhere(person: User) -> Client:
    """Another browser in which the same person is signed in."""
    browser = Client(headers={"User-Agent": FIREFOX}, REMOTE_ADDR="203.0.113.9")
    sign_in(browser)
    return browser


def _ending(page: str) -> list[str]:
    """The addresses of the buttons that sign one browser out."""
    return re.findall(r'action="(/account/sign-out/\d+/)"', page)


def test_each_browser_is_said_with_place_and_last_use(client: Client, elsewhere: Client) -> None:
    sign_in(client)
    page = text(client.get(ACCOUNT))
    assert "In 2 browsers, this one included." in page
    assert "Firefox on Linux" in page
    assert "From 203.0.113.9, last used" in page
    assert page.count("This browser") == 1
    assert len(_ending(page)) == 1
    # A session's key lets in whoever has it.
    assert str(elsewhere.session.session_key) not in page


def test_one_is_signed_out_and_the_others_go_on(client: Client, elsewhere: Client) -> None:
    third = Client()
    sign_in(third)
    sign_in(client)
    (address,) = (
        one
        for one in _ending(text(client.get(ACCOUNT)))
        if str(UserSession.objects.get(ip="203.0.113.9").pk) in one
    )

    response = client.post(address, follow=True)

    assert "Firefox on Linux is signed out." in text(response)
    assert elsewhere.get(ACCOUNT).status_code == 302
    assert third.get(ACCOUNT).status_code == 200
    entry = AuditEntry.objects.get(action="signed out a browser")
    assert entry.changes == {
        "browser": ["Firefox on Linux", None],
        "address": ["203.0.113.9", None],
    }


def test_it_takes_a_post(client: Client, elsewhere: Client) -> None:
    sign_in(client)
    (address,) = _ending(text(client.get(ACCOUNT)))
    assert client.get(address).status_code == 405
    assert is_signed_in(elsewhere)


def test_nobody_ends_another_persons(client: Client, elsewhere: Client) -> None:
    User.objects.create_user("otto", password=PASSWORD)
    sign_in(client, "otto")
    theirs = UserSession.objects.get(user__username="mira").pk
    assert client.post(reverse("sign_out_one", args=[theirs])).status_code == 404
    assert elsewhere.get(ACCOUNT).status_code == 200


def test_the_browser_in_use_is_signed_out_of_by_its_own_button(
    client: Client, person: User
) -> None:
    sign_in(client)
    (own,) = sessions_of(person)
    assert client.post(reverse("sign_out_one", args=[own.pk])).status_code == 404
    assert client.get(ACCOUNT).status_code == 200


def test_signing_out_everywhere_else_leaves_this_one(client: Client, elsewhere: Client) -> None:
    sign_in(client)
    response = client.post(reverse("sign_out_elsewhere"), follow=True)
    assert "Signed out elsewhere: 1 session. This one goes on." in text(response)
    assert elsewhere.get(ACCOUNT).status_code == 302
    assert client.get(ACCOUNT).status_code == 200


def test_sessions_of_others_are_not_read(client: Client, person: User) -> None:
    """However many there are."""
    sign_in(client)
    later = timezone.now() + timedelta(hours=1)
    for number in range(30):
        Session.objects.create(
            session_key=f"of-others-{number}", session_data="", expire_date=later
        )
    with CaptureQueriesContext(connection) as queries:
        assert len(sessions_of(person)) == 1
    assert len(queries) == 1
    assert not any("session_data" in query["sql"] for query in queries)


def test_what_is_over_is_forgotten_by_upkeep_whosever_it_was(client: Client, person: User) -> None:
    sign_in(client)
    otto = User.objects.create_user("otto", password=PASSWORD)
    sign_in(Client(), "otto")
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    UserSession.objects.create(user=person, session_key="ended", ip=NOWHERE)
    assert not sessions_of(person).exists()
    other = Client()
    sign_in(other)
    # Nobody waits for that as they sign in.
    assert UserSession.objects.count() == 4

    said = _cleaned(timezone.now())

    # Nobody else would forget those of who comes no more.
    (kept,) = UserSession.objects.all()
    assert (kept.user, kept.session_key) == (person, other.session.session_key)
    assert not sessions_of(otto).exists()
    assert "2 expired sessions" in said
    assert "3 marks of sessions that are over" in said


def test_counts_that_no_longer_matter_are_forgotten_by_upkeep(client: Client, person: User) -> None:
    cache.clear()
    sign_in(client, password="wrong")
    cache.set("others", "stays", timeout=3600 * 24)
    counted = _counts()
    assert counted > 1

    assert _cleaned(timezone.now()).endswith(" and 0 counts of sign-ins that are over.")
    assert _counts() == counted
    said = _cleaned(timezone.now() + timedelta(hours=2))
    assert said.endswith(f" and {counted - 1} counts of sign-ins that are over.")
    assert cache.get("others") == "stays"


def _counts() -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {TABLE}")
        return int(cursor.fetchone()[0])


def _cleaned(now: datetime) -> str:
    """What the job of upkeep says that it deleted."""
    return BY_NAME["sessions"].do(Turn(now, False, lambda: now, lambda: True, _asks_nobody))


def _asks_nobody(errand: object) -> None:
    raise AssertionError("nobody is to be asked")


def test_what_cannot_be_noted_keeps_nobody_out(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def locked(*_: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(seen, "note", locked)
    assert sign_in(client).status_code == 302
    assert is_signed_in(client)
    assert "A session's last use could not be noted" in caplog.text


def test_use_is_noted_every_few_minutes(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign_in(client)
    began = UserSession.objects.get().last_seen_at
    client.get(ACCOUNT)
    assert UserSession.objects.get().last_seen_at == began

    seen._lately.clear()
    client.get(ACCOUNT, REMOTE_ADDR="2001:db8::7", headers={"User-Agent": FIREFOX})

    noted = UserSession.objects.get()
    assert noted.last_seen_at > began
    assert (noted.ip, noted.user_agent) == ("2001:db8::7", FIREFOX)
    assert noted.created_at < noted.last_seen_at


def test_an_address_with_an_interface_is_noted_without_it(client: Client, person: User) -> None:
    sign_in(client, "mira", PASSWORD)
    seen._lately.clear()
    assert client.get(ACCOUNT, REMOTE_ADDR="fe80::1%eth0").status_code == 200
    assert UserSession.objects.get().ip == "fe80::1"


def test_a_new_password_ends_the_others_and_keeps_this_one(
    client: Client, person: User, elsewhere: Client
) -> None:
    sign_in(client)
    new = "another long one"
    sent = {"oldpassword": PASSWORD, "password1": new, "password2": new}
    assert client.post(reverse("account_change_password"), sent).status_code == 302
    assert elsewhere.get(ACCOUNT).status_code == 302
    page = text(client.get(ACCOUNT))
    assert "In this browser only." in page


def test_sessions_from_before_there_were_rows_are_known(client: Client, person: User) -> None:
    sign_in(client)
    UserSession.objects.all().delete()
    Client().get(reverse("account_login"))
    know_all()
    (known,) = sessions_of(person)
    assert (known.ip, known.session_key) == (NOWHERE, client.session.session_key)
    assert NOWHERE not in text(client.get(ACCOUNT))
    assert end_sessions(person) == 1
    assert client.get(ACCOUNT).status_code == 302


def test_a_session_that_an_old_process_began_is_known_beside_others(
    client: Client, elsewhere: Client, person: User
) -> None:
    sign_in(client)
    UserSession.objects.filter(session_key=client.session.session_key).delete()
    for _ in range(2):
        know_all()
        assert sessions_of(person).count() == 2
    assert end_sessions(person) == 2
    for browser in (client, elsewhere):
        assert browser.get(ACCOUNT).status_code == 302


def test_the_session_in_use_is_listed_though_it_had_no_row(client: Client, person: User) -> None:
    sign_in(client)
    UserSession.objects.all().delete()
    seen._lately.clear()
    assert text(client.get(ACCOUNT)).count("This browser") == 1


def test_a_session_that_begins_while_others_end_stays_known(
    client: Client, person: User, elsewhere: Client
) -> None:
    def begins(*_: object, **__: object) -> None:
        sign_in(client)

    post_delete.connect(begins, sender=Session)
    try:
        end_sessions(person)
    finally:
        post_delete.disconnect(begins, sender=Session)
    (row,) = sessions_of(person)
    assert row.session_key == client.session.session_key


def test_no_more_browsers_are_read_than_are_shown(
    client: Client, person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This one always is, however many were used since."""
    monkeypatch.setattr(devices, "MOST_SHOWN", 2)
    sign_in(client)
    for _ in range(3):
        sign_in(Client())
    found = devices_of(person, client.session.session_key)
    assert found.count == 4
    assert [one.is_this_one for one in found.shown] == [True, False]


def test_sessions_of_tables_that_are_not_there_yet_are_left_alone(
    person: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when one app alone is migrated."""
    monkeypatch.setattr(sessions, "tables_of", lambda _: sessions.NEEDED - {"django_session"})
    with CaptureQueriesContext(connection) as queries:
        know_all()
    assert not queries.captured_queries


def test_an_administrator_ends_a_persons_sessions(elsewhere: Client, person: User) -> None:
    root = User.objects.create_superuser("root", password=PASSWORD)
    browser = Client()
    browser.force_login(root)
    address = reverse("admin:auth_user_change", args=[person.pk])
    page = text(browser.get(address))
    (action,) = set(
        re.findall(rf'action="({re.escape("/admin/auth/user/")}[^"]*sign[_-]out[^"]*)"', page)
    )
    browser.post(action, follow=True)
    assert elsewhere.get(ACCOUNT).status_code == 302
    assert browser.get(ACCOUNT).status_code == 200


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (FIREFOX, "Firefox on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
            "Edge on Windows",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) "
            "Chrome/141.0.0.0 Mobile Safari/537.36",
            "Chrome on Android",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
            "Safari on iPhone",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 "
            "(KHTML, like Gecko) Version/18.0 Safari/605.1.15",
            "Safari on macOS",
        ),
        ("", "Unknown browser"),
        ("<script>", "Unknown browser"),
    ],
)
def test_browsers_in_words(said: str, words: str) -> None:
    assert in_words(said) == words
