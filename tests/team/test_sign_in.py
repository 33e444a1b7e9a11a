"""Getting in and out, and which team one lands in."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from governance.models import Membership, Team
from tests.team.conftest import People

# Who is led where is asked of Python: once is enough.
pytestmark = pytest.mark.any_database
PASSWORD = "a long enough one"


@pytest.fixture
def person(people: People) -> User:
    people.member.set_password(PASSWORD)
    people.member.save()
    return people.member


def _sign_in(client: Client, **fields: str) -> str:
    response = client.post(
        reverse("account_login"), {"login": "member", "password": PASSWORD, **fields}
    )
    assert response.status_code == 302
    return str(response.headers["Location"])


def test_signing_in_leads_to_the_only_team(client: Client, person: User, team: Team) -> None:
    assert _sign_in(client) == reverse("team:index")
    response = client.get(reverse("team:index"))
    assert response.headers["Location"] == reverse("team:home", args=[team.slug])


def test_signing_in_goes_on_to_where_one_was_going(client: Client, person: User) -> None:
    wanted = reverse("team:keys", args=["blue"])
    assert wanted in client.get(f"{reverse('account_login')}?next={wanted}").content.decode()
    assert _sign_in(client, next=wanted) == wanted


@pytest.mark.parametrize(
    "elsewhere",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"],
)
def test_signing_in_never_leads_off_the_site(client: Client, person: User, elsewhere: str) -> None:
    assert _sign_in(client, next=elsewhere) == reverse("team:index")


def test_a_wrong_password_says_so_and_signs_nobody_in(client: Client, person: User) -> None:
    response = client.post(reverse("account_login"), {"login": "member", "password": "no"})
    assert response.status_code == 200
    assert 'role="alert"' in response.content.decode()
    assert "_auth_user_id" not in client.session


def test_signing_out_takes_a_post(member: Client) -> None:
    where = reverse("team:sign-out")
    assert member.get(where).status_code == 405
    assert "_auth_user_id" in member.session
    response = member.post(where, follow=True)
    assert "_auth_user_id" not in member.session
    assert "You are signed out." in response.content.decode()


def test_who_is_in_several_teams_chooses(
    member: Client, people: People, team: Team, red: Team
) -> None:
    Membership.objects.create(team=red, user=people.member)
    shown = member.get(reverse("team:index")).content.decode()
    for one in (team, red):
        assert reverse("team:home", args=[one.slug]) in shown
    assert "Switch team" in member.get(reverse("team:home", args=[team.slug])).content.decode()


@pytest.mark.django_db
def test_who_is_in_no_team_is_told_how_to_get_into_one(client: Client) -> None:
    client.force_login(User.objects.create_user("newcomer"))
    response = client.get(reverse("team:index"))
    assert response.status_code == 200
    assert "You are not in a team yet" in response.content.decode()


def test_a_superuser_may_choose_every_team(
    client: Client, people: People, team: Team, red: Team
) -> None:
    client.force_login(people.superuser)
    shown = client.get(reverse("team:index")).content.decode()
    assert team.name in shown
    assert red.name in shown
