"""Who may enter: keys, sessions, and nobody else."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from governance import keys
from governance.models import ApiKey, Team
from palyra_site.api.root import api
from tests.api.callers import Caller, holder, items_of, member_of, person, signed_in
from tests.api.problems import assert_problem

# Who may enter is asked of Python: once is enough.
pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


def operations() -> list[tuple[str, str]]:
    """Every operation's method and path, its parameters filled with what finds nothing."""
    return [
        (method.upper(), _filled(path).removeprefix("/api/v1"))
        for path, methods in api.get_openapi_schema(path_prefix="/api/v1/")["paths"].items()
        for method in methods
    ]


def _filled(path: str) -> str:
    path = re.sub(r"\{(model|policy|channel|tier|price|calendar)_id\}", "1", path)
    return re.sub(r"\{\w+\}", "01890000-0000-7000-8000-000000000000", path)


@pytest.mark.parametrize(("method", "path"), operations())
def test_nobody_enters_anywhere(method: str, path: str) -> None:
    response = Caller().send(method, path, None if method in {"GET", "DELETE"} else {})
    problem = assert_problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="Palyra"'
    assert "Authorization: Bearer ply_" in problem["detail"]


def assert_key_refused(key_text: str, *words: str) -> None:
    response = holder(key_text).get("/teams")
    problem = assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="Palyra", error="invalid_token"'
    for word in words:
        assert word in problem["detail"]
    assert key_text not in response.content.decode()


@pytest.mark.every_database
def test_a_key_enters_for_its_team(integration: Caller, team: Team) -> None:
    response = integration.get("/teams")
    assert response.status_code == 200
    assert [item["slug"] for item in items_of(response)] == [team.slug]


@pytest.mark.parametrize(
    "text", ["", "ply_", "ply__", "ply_0_0", "sk-other", "ply_é_ö", "x" * 9000]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    response = holder(text).get("/teams")
    assert_problem(response, 401)
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_another_scheme_is_refused_even_beside_a_session(administrator: User) -> None:
    caller = Caller(signed_in(administrator).client, {"Authorization": "Basic YTpi"})
    assert_problem(caller.get("/teams"), 401)


def test_a_bad_key_is_refused_even_beside_a_session(administrator: User) -> None:
    caller = Caller(signed_in(administrator).client, {"Authorization": "Bearer ply_0_0"})
    assert_problem(caller.get("/teams"), 401)


def test_a_key_with_another_secret_is_refused_like_an_unknown_one(team: Team) -> None:
    new = keys.create(team=team, name="one")
    keys.revoke(new.record)
    assert_key_refused(f"ply_{new.record.public_id}_{'0' * 64}", "not a key that Palyra knows")


def test_a_revoked_key_is_refused_in_words(team: Team) -> None:
    new = keys.create(team=team, name="one")
    keys.revoke(new.record)
    assert_key_refused(new.text, "revoked on")


def test_an_expired_key_is_refused_in_words(team: Team) -> None:
    new = keys.create(team=team, name="one")
    ApiKey.objects.filter(pk=new.record.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert_key_refused(new.text, "expired on")


def test_a_disabled_teams_key_is_refused_in_words(team: Team) -> None:
    new = keys.create(team=team, name="one")
    Team.objects.filter(pk=team.pk).update(enabled=False)
    assert_key_refused(new.text, "team is disabled")


def test_a_key_of_a_team_holds_no_permission(integration: Caller) -> None:
    problem = assert_problem(integration.get("/providers"), 403)
    assert "providers.view_provider" in problem["detail"]


def test_a_session_writes_only_with_the_csrf_token(administrator: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(administrator)
    caller = Caller(client)
    assert caller.get("/teams").status_code == 200
    body = {"slug": "new", "name": "New"}
    problem = assert_problem(caller.post("/teams", body), 403)
    assert "X-CSRFToken" in problem["detail"]
    assert not Team.objects.exists()

    client.get("/account/sign-in/")
    page = client.get("/api/v1/docs")
    token = str(page.context["csrf_token"])
    with_token = Caller(client, {"X-CSRFToken": token})
    assert with_token.post("/teams", body).status_code == 201


def test_a_stranger_is_asked_to_sign_in_and_not_for_a_token() -> None:
    stranger = Caller(Client(enforce_csrf_checks=True))
    assert_problem(stranger.post("/teams", {}), 401)


def test_staff_may_do_what_their_permissions_say_and_no_more() -> None:
    caller = signed_in(person("viewer", "governance.view_team"))
    assert caller.get("/teams").status_code == 200
    problem = assert_problem(caller.post("/teams", {"slug": "new", "name": "New"}), 403)
    assert "governance.add_team" in problem["detail"]


def test_a_permission_without_staff_gives_nothing(team: Team) -> None:
    user = person("viewer", "governance.view_team")
    User.objects.filter(pk=user.pk).update(is_staff=False)
    assert items_of(signed_in(user).get("/teams")) == []


def test_a_deactivated_person_is_nobody(administrator: User) -> None:
    caller = signed_in(administrator)
    User.objects.filter(pk=administrator.pk).update(is_active=False)
    assert_problem(caller.get("/teams"), 401)


def test_a_member_acts_for_their_teams(team: Team) -> None:
    caller = signed_in(member_of(team))
    assert [item["slug"] for item in items_of(caller.get("/teams"))] == [team.slug]
    assert_problem(caller.get("/policies"), 403)


def test_the_docs_are_for_people_signed_in(administrator: User, integration: Caller) -> None:
    sent_away = Client().get("/api/v1/docs")
    assert sent_away.status_code == 302
    assert sent_away.headers["Location"] == "/account/sign-in/?next=/api/v1/docs"
    assert integration.get("/docs").status_code == 302

    page = signed_in(administrator).get("/docs")
    assert page.status_code == 200
    html = page.content.decode()
    assert "/static/ninja/swagger-ui-bundle.js" in html
    assert "https://" not in html
    assert '"validatorUrl": null' in html
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")


def test_the_document_is_for_people_and_keys(administrator: User, integration: Caller) -> None:
    assert signed_in(administrator).get("/openapi.json").status_code == 200
    assert integration.get("/openapi.json").status_code == 200
    assert_problem(Caller().get("/openapi.json"), 401)
    assert_problem(holder("ply_0_0").get("/openapi.json"), 401)
