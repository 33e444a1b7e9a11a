"""The table of roles, and who may give which."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.management import call_command
from django.db import connection

from governance.models import AuditEntry
from palyra_site.access import cache, groups
from palyra_site.access.roles import (
    GROUPS,
    NOT_SEEN_BY_OPERATORS,
    OF_ADMINISTRATORS,
    OF_OPERATORS,
    SEEN_BY_AUDITORS,
    Role,
    Standing,
    may_handle,
    may_set_rights,
    permissions_of,
    roles_to_give,
)

EXISTING = frozenset(
    {
        "governance.view_modelcall",
        "governance.change_budgetpolicy",
        "governance.decide_approval",
        "providers.view_secret",
        "providers.view_provider",
        "providers.add_secret",
        "scheduling.change_cronjob",
        "auth.view_user",
        "auth.change_user",
        "auth.change_group",
        "auth.view_group",
        "auth.delete_permission",
        "mfa.delete_authenticator",
        "sessions.delete_session",
        "django_q.change_schedule",
    }
)
OWNER = Standing(key=1, is_owner=True)


def somebody(key: int, role: Role) -> Standing:
    return Standing(key=key, is_owner=False, permissions=permissions_of(role, EXISTING))


ADMINISTRATOR = somebody(2, Role.ADMINISTRATOR)
OPERATOR = somebody(3, Role.OPERATOR)
AUDITOR = somebody(4, Role.AUDITOR)
MEMBER = somebody(5, Role.MEMBER)


@pytest.mark.parametrize(
    ("role", "permissions"),
    [
        (
            Role.ADMINISTRATOR,
            {
                "governance.view_modelcall",
                "governance.change_budgetpolicy",
                "governance.decide_approval",
                "providers.view_secret",
                "providers.view_provider",
                "providers.add_secret",
                "scheduling.change_cronjob",
                "auth.view_user",
                "auth.change_user",
                "auth.view_group",
            },
        ),
        (
            Role.OPERATOR,
            {
                "governance.view_modelcall",
                "governance.decide_approval",
                "providers.view_provider",
                "scheduling.change_cronjob",
            },
        ),
        (
            Role.AUDITOR,
            {
                "governance.view_modelcall",
                "providers.view_secret",
                "providers.view_provider",
                "auth.view_user",
                "auth.view_group",
            },
        ),
        (Role.OWNER, set()),
        (Role.OTHER, set()),
        (Role.MEMBER, set()),
    ],
)
def test_what_a_role_may_do(role: Role, permissions: set[str]) -> None:
    assert permissions_of(role, EXISTING) == permissions


@pytest.mark.django_db
def test_the_table_names_only_what_there_is() -> None:
    named = OF_ADMINISTRATORS | OF_OPERATORS | NOT_SEEN_BY_OPERATORS | SEEN_BY_AUDITORS
    assert named <= groups.existing_permissions()


@pytest.mark.parametrize(
    ("one", "other", "may"),
    [
        (OWNER, ADMINISTRATOR, True),
        (OWNER, Standing(key=9, is_owner=True), True),
        (ADMINISTRATOR, OWNER, False),
        (ADMINISTRATOR, somebody(9, Role.ADMINISTRATOR), True),
        (ADMINISTRATOR, OPERATOR, True),
        (ADMINISTRATOR, AUDITOR, True),
        (OPERATOR, AUDITOR, False),
        (AUDITOR, OPERATOR, False),
        (OPERATOR, MEMBER, True),
        (
            ADMINISTRATOR,
            Standing(key=9, is_owner=False, permissions=frozenset({"auth.change_group"})),
            False,
        ),
    ],
)
def test_nobody_takes_over_an_account_that_may_do_more(
    one: Standing, other: Standing, may: bool
) -> None:
    assert may_handle(one, other) is may
    assert may_set_rights(one, other) is may


@pytest.mark.parametrize("one", [OWNER, ADMINISTRATOR, OPERATOR])
def test_nobody_sets_their_own_rights(one: Standing) -> None:
    assert may_handle(one, one)
    assert not may_set_rights(one, one)


@pytest.mark.parametrize(
    ("one", "roles"),
    [
        (OWNER, set(Role)),
        (ADMINISTRATOR, set(Role) - {Role.OWNER}),
        (OPERATOR, {Role.OPERATOR, Role.OTHER, Role.MEMBER}),
        (MEMBER, {Role.OTHER, Role.MEMBER}),
    ],
)
def test_nobody_gives_a_role_that_may_do_more(one: Standing, roles: set[Role]) -> None:
    assert set(roles_to_give(one, EXISTING)) == roles


@pytest.mark.django_db
def test_the_groups_are_there_after_migrating_and_say_what_the_table_says() -> None:
    known = groups.existing_permissions()
    for role in GROUPS:
        group = Group.objects.get(name=role.value)
        held = {groups._name_of(one) for one in group.permissions.select_related("content_type")}
        assert held == permissions_of(role, known)


@pytest.mark.django_db
def test_migrating_again_puts_right_what_was_changed_and_leaves_the_rest() -> None:
    auditor = Group.objects.get(name=Role.AUDITOR.value)
    auditor.permissions.add(Permission.objects.get(codename="add_secret"))
    own = Group.objects.create(name="Finance")
    own.permissions.add(Permission.objects.get(codename="add_price"))
    before = auditor.permissions.count()

    call_command("migrate", verbosity=0)

    assert auditor.permissions.count() == before - 1
    assert own.permissions.count() == 1
    assert Group.objects.filter(name__in=[role.value for role in GROUPS]).count() == len(GROUPS)


@pytest.mark.django_db
def test_a_group_of_a_roles_name_from_before_there_were_roles_is_set_aside() -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {cache.TABLE}")
    Group.objects.filter(name__in=[role.value for role in GROUPS]).delete()
    theirs = Group.objects.create(name=Role.OPERATOR.value)
    theirs.permissions.add(Permission.objects.get(codename="add_price"))
    nina = User.objects.create_user("nina", is_staff=True)
    nina.groups.add(theirs)
    told = AuditEntry.objects.count()

    for _ in range(2):
        call_command("migrate", verbosity=0)

    theirs.refresh_from_db()
    assert theirs.name == "Operator (before roles)"
    assert theirs.permissions.get().codename == "add_price"
    assert groups.role_of(User.objects.get(pk=nina.pk)) is Role.OTHER
    assert set(Group.objects.values_list("name", flat=True)) == {
        theirs.name,
        *(role.value for role in GROUPS),
    }
    assert AuditEntry.objects.count() == told + 1
    entry = AuditEntry.objects.first()
    assert entry is not None
    assert entry.changes == {"name": ["Operator", "Operator (before roles)"]}


@pytest.mark.parametrize("role", Role)
@pytest.mark.django_db
def test_a_role_that_is_given_is_had(role: Role) -> None:
    user = User.objects.create_user("nina")
    own = Group.objects.create(name="Finance")
    user.groups.add(own)
    for one in (role, Role.OPERATOR, role):
        groups.give_role(user, one)
    fresh = User.objects.get(pk=user.pk)
    assert groups.role_of(fresh) is role
    assert own in fresh.groups.all()
    assert list(groups.with_role(User.objects.all(), role)) == [fresh]
    for other in set(Role) - {role}:
        assert not groups.with_role(User.objects.all(), other).exists()


@pytest.mark.django_db
def test_administrators_are_those_who_can_sign_in() -> None:
    for name, role, active in (
        ("owner", Role.OWNER, True),
        ("administrator", Role.ADMINISTRATOR, True),
        ("off", Role.ADMINISTRATOR, False),
        ("operator", Role.OPERATOR, True),
    ):
        user = User.objects.create_user(name, is_active=active)
        groups.give_role(user, role)
    found = groups.administrators().order_by("username").values_list("username", flat=True)
    assert list(found) == ["administrator", "owner"]
    assert not groups.is_last(User.objects.get(username="owner"))
    User.objects.filter(username="administrator").update(is_active=False)
    assert groups.is_last(User.objects.get(username="owner"))
