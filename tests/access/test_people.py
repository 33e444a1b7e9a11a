"""Roles on people's pages: shown, given, and never taken too far."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from governance.models import AuditEntry
from palyra_site.access import groups
from palyra_site.access.roles import Role
from palyra_site.access.sessions import sessions_of
from palyra_site.console.person_form import LAST
from tests.access.conftest import PASSWORD, sign_in, text
from tests.console.conftest import signed_in
from tests.console.pages import filled, text_of


def make(name: str, role: Role, **fields: Any) -> User:
    user = User.objects.create_user(name, f"{name}@example.com", PASSWORD, **fields)
    groups.give_role(user, role)
    return user


@pytest.fixture
def owner(db: None) -> User:
    return make("olga", Role.OWNER)


@pytest.fixture
def administrator(owner: User) -> User:
    return make("ada", Role.ADMINISTRATOR)


def page_of(user: User) -> str:
    return reverse("admin:auth_user_change", args=[user.pk])


def role_now(user: User) -> Role:
    return groups.role_of(User.objects.get(pk=user.pk))


def send(client: Client, user: User, **changed: Any) -> Any:
    """Send the form of the person's page, with that changed; None takes a field out."""
    form = filled(text(client.get(page_of(user))), "user_form")
    sent = {name: value for name, value in {**form, **changed}.items() if value is not None}
    return client.post(page_of(user), sent)


@pytest.mark.parametrize("role", [Role.ADMINISTRATOR, Role.OPERATOR, Role.AUDITOR, Role.MEMBER])
def test_an_administrator_gives_roles(administrator: User, role: Role) -> None:
    nina = make("nina", Role.MEMBER)
    assert send(signed_in(administrator), nina, role=role.value).status_code == 302
    assert role_now(nina) is role


def test_a_change_of_role_is_in_the_audit_trail(administrator: User) -> None:
    nina = make("nina", Role.MEMBER)
    send(signed_in(administrator), nina, role="Operator")
    entries = AuditEntry.objects.filter(object_id=str(nina.pk), actor="ada")
    changes = {name: both for entry in entries for name, both in entry.changes.items()}
    assert changes == {"is_staff": [False, True], "groups": [[], ["Operator"]]}


def test_saving_a_person_as_they_are_changes_nothing(owner: User) -> None:
    nina = make("nina", Role.OPERATOR)
    nina.groups.add(Group.objects.create(name="Finance"))
    count = AuditEntry.objects.count()
    assert send(signed_in(owner), nina).status_code == 302
    assert role_now(nina) is Role.OPERATOR
    assert {group.name for group in nina.groups.all()} == {"Finance", "Operator"}
    assert AuditEntry.objects.count() == count


def test_another_password_is_offered_to_those_who_may_set_it(
    owner: User, administrator: User
) -> None:
    nina = make("nina", Role.MEMBER)
    client = signed_in(administrator)
    offers = {one: "Set another" in text(client.get(page_of(one))) for one in User.objects.all()}
    assert offers == {owner: False, administrator: False, nina: True}


def test_an_administrator_makes_no_owners(administrator: User) -> None:
    nina = make("nina", Role.MEMBER)
    client = signed_in(administrator)
    assert "Owner" not in text(client.get(page_of(nina)))
    assert send(client, nina, role="Owner").status_code == 200
    assert role_now(nina) is Role.MEMBER
    # Nor by the fields that are not on the page.
    send(
        client,
        nina,
        is_superuser="on",
        is_staff="on",
        groups=str(groups.group_of(Role.OPERATOR).pk),
    )
    assert role_now(nina) is Role.MEMBER


def test_an_administrator_only_looks_at_owners(administrator: User, owner: User) -> None:
    client = signed_in(administrator)
    page = text(client.get(page_of(owner)))
    assert "may do more than yours" in page
    before = User.objects.values().get(pk=owner.pk)
    for address, sent in (
        (page_of(owner), {"username": "taken", "role": "Member"}),
        (
            reverse("admin:auth_user_password_change", args=[owner.pk]),
            {"password1": "another-long-one-1", "password2": "another-long-one-1"},
        ),
        (reverse("admin:auth_user_delete", args=[owner.pk]), {"post": "yes"}),
        (reverse("admin:auth_user_do", args=[owner.pk, "sign_out"]), {}),
        (reverse("admin:auth_user_do", args=[owner.pk, "take_two_step_away"]), {}),
    ):
        assert client.post(address, sent).status_code == 403, address
    chosen = {"action": "delete_selected", "_selected_action": [owner.pk], "post": "yes"}
    client.post(reverse("admin:auth_user_changelist"), chosen)
    assert User.objects.values().get(pk=owner.pk) == before


def test_nor_at_whoever_has_rights_that_administrators_have_not(administrator: User) -> None:
    other = make("otto", Role.OPERATOR)
    other.user_permissions.add(Permission.objects.get(codename="change_group"))
    assert signed_in(administrator).post(page_of(other), {}).status_code == 403


@pytest.mark.parametrize("name", ["olga", "ada"])
def test_nobody_changes_their_own_rights(administrator: User, owner: User, name: str) -> None:
    user = User.objects.get(username=name)
    client = signed_in(user)
    before = role_now(user)
    assert "Nobody sets their own rights" in text(client.get(page_of(user)))
    for role in ("Owner", "Administrator", "Member"):
        send(client, user, role=role, is_active=None, is_superuser="on", first_name="Changed")
        user.refresh_from_db()
        assert (role_now(user), user.is_active) == (before, True)
    assert user.first_name == "Changed"
    assert (
        client.post(reverse("admin:auth_user_delete", args=[user.pk]), {"post": "yes"}).status_code
        == 403
    )


def test_the_last_administrator_stays(administrator: User, owner: User) -> None:
    """Whoever may change people, without being an administrator, may not leave none."""
    owner.delete()
    other = make("otto", Role.OTHER)
    every = Permission.objects.exclude(content_type__app_label="django_q")
    other.user_permissions.set(every)
    client = signed_in(User.objects.get(pk=other.pk))
    for changed in ({"role": "Operator"}, {"role": "Member"}, {"is_active": None}):
        response = send(client, administrator, **changed)
        assert response.status_code == 200, changed
        assert LAST in text_of(text(response))
    delete = reverse("admin:auth_user_delete", args=[administrator.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [administrator.pk], "post": "yes"}
    client.post(reverse("admin:auth_user_changelist"), chosen)
    assert list(groups.administrators()) == [administrator]


def test_the_last_two_are_not_deleted_together(administrator: User, owner: User) -> None:
    owner.delete()
    second = make("adam", Role.ADMINISTRATOR)
    other = make("otto", Role.OTHER)
    other.user_permissions.set(Permission.objects.all())
    keys = [administrator.pk, second.pk]
    chosen = {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
    client = signed_in(User.objects.get(pk=other.pk))
    assert client.post(reverse("admin:auth_user_changelist"), chosen).status_code == 403
    assert groups.administrators().count() == 2


def test_one_of_two_administrators_may_go(administrator: User, owner: User) -> None:
    delete = reverse("admin:auth_user_delete", args=[administrator.pk])
    assert signed_in(owner).post(delete, {"post": "yes"}).status_code == 302
    assert not User.objects.filter(pk=administrator.pk).exists()


def test_groups_are_for_owners_and_roles_for_nobody_to_change(
    administrator: User, owner: User
) -> None:
    role = groups.group_of(Role.AUDITOR)
    own = Group.objects.create(name="Finance")
    before = role.permissions.count()
    for user, group, status in (
        (administrator, own, 403),
        (administrator, role, 403),
        (owner, role, 403),
        (owner, own, 302),
    ):
        address = reverse("admin:auth_group_change", args=[group.pk])
        sent = {"name": group.name, "permissions": []}
        assert signed_in(user).post(address, sent).status_code == status
    assert role.permissions.count() == before
    delete = reverse("admin:auth_group_delete", args=[role.pk])
    assert signed_in(owner).post(delete, {"post": "yes"}).status_code == 403
    assert "keeps this role up itself" in text(
        signed_in(owner).get(reverse("admin:auth_group_change", args=[role.pk]))
    )


def test_somebody_is_signed_out_everywhere(administrator: User, person: User) -> None:
    browsers = [Client(), Client()]
    for browser in browsers:
        sign_in(browser)
    client = signed_in(administrator)
    client.post(reverse("admin:auth_user_do", args=[person.pk, "sign_out"]))
    for browser in browsers:
        assert browser.get("/team/").status_code == 302
    assert client.get("/admin/").status_code == 200
    entry = AuditEntry.objects.get(action="signed out everywhere")
    assert (entry.actor, entry.changes) == ("ada", {"sessions ended": [None, 2]})


def test_who_changes_their_password_is_signed_out_elsewhere(person: User) -> None:
    here, there = Client(), Client()
    for browser in (here, there):
        sign_in(browser)
    new = "quite another one 7"
    response = here.post(
        reverse("account_change_password"),
        {"oldpassword": PASSWORD, "password1": new, "password2": new},
    )
    assert response.status_code == 302
    assert here.get("/team/").status_code == 200
    assert "In this browser only" in text(here.get("/account/"))
    assert Session.objects.count() == 1
    assert there.get("/team/").status_code == 302
    assert sign_in(Client(), password=new).status_code == 302
    assert AuditEntry.objects.filter(changes__has_key="password", actor="mira").exists()


def test_whose_password_is_set_has_no_session_left(administrator: User, person: User) -> None:
    sign_in(Client())
    new = "quite another one 7"
    client = signed_in(administrator)
    address = reverse("admin:auth_user_password_change", args=[person.pk])
    wrong = client.post(address, {"password1": new, "password2": "other"})
    assert wrong.status_code == 200
    assert sessions_of(person).count() == 1
    sent = {"password1": new, "password2": new, "usable_password": "true"}
    assert client.post(address, sent).status_code == 302
    assert not sessions_of(person).exists()


@pytest.mark.parametrize("written", ["{}", "0{}", " {}", "{} ", "+{}"])
def test_ones_own_password_takes_the_old_one(administrator: User, written: str) -> None:
    client = signed_in(administrator)
    key = written.format(administrator.pk)
    response = client.get(f"/admin/auth/user/{quote(key)}/password/")
    assert response["Location"] == reverse("account_change_password")


def test_one_signs_oneself_out_everywhere_else(person: User) -> None:
    here, there = Client(), Client()
    for browser in (here, there):
        sign_in(browser)
    assert "In 2 browsers" in text(here.get("/account/"))
    assert here.get(reverse("sign_out_elsewhere")).status_code == 405
    here.post(reverse("sign_out_elsewhere"))
    assert "In this browser only" in text(here.get("/account/"))
    assert there.get("/team/").status_code == 302


def test_who_lost_the_phone_is_helped(administrator: User, person: User) -> None:
    Authenticator.objects.create(user=person, type="totp", data={"secret": "x"})
    client = signed_in(administrator)
    assert "Take two-step away" in text(client.get(page_of(person)))
    client.post(reverse("admin:auth_user_do", args=[person.pk, "take_two_step_away"]))
    assert not Authenticator.objects.exists()
    assert sign_in(Client()).status_code == 302
    assert AuditEntry.objects.filter(action="took two-step away", actor="ada").exists()


def test_how_people_prove_who_they_are_is_no_page_of_the_console() -> None:
    labels = {model._meta.app_label for model in admin.site._registry}
    assert not labels & {"account", "mfa", "socialaccount"}


@pytest.mark.django_db
def test_the_list_filters_by_role(owner: User) -> None:
    make("nina", Role.OPERATOR)
    client = signed_in(owner)
    page = text_of(text(client.get("/admin/auth/user/?role=operator")))
    assert "nina" in page
    # Her own address is in the page's head.
    assert page.count("olga@example.com") == 1
