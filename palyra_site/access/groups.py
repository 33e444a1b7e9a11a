"""The roles as groups, and the role of each person."""

from __future__ import annotations

from itertools import chain, count
from typing import Any

from django.apps import apps
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.db.models import Q, QuerySet

from palyra_site.access import cache
from palyra_site.access.roles import GROUPS, OURS, Role, Standing, permissions_of

# The last app to be migrated tells that all are.
LAST = "scheduling"
NEEDED = {"auth_group", "auth_permission", "django_content_type"}


def make_roles(using: str = "default", **_: Any) -> None:
    """Make the roles' groups, and have each hold just what its role may do. Idempotent.

    Called whenever migrations have run, so a role keeps up with what there is to permit.
    """
    tables = tables_of(using)
    if not tables >= NEEDED:
        return
    # Made right after the roles, so until then no group can be a role's.
    is_first = cache.TABLE not in tables
    for label in (*OURS, "auth"):
        # Django makes them at the same moment, before or after this.
        create_permissions(apps.get_app_config(label), verbosity=0, using=using)
    rows = {_name_of(row): row for row in _permissions(using)}
    with transaction.atomic(using=using):
        for role in GROUPS:
            # In bulk: what Palyra keeps for itself is no entry of the audit trail.
            all_groups = Group.objects.using(using)
            wanted = {rows[name].pk for name in permissions_of(role, rows)}
            if is_first:
                _set_aside(all_groups, role, wanted)
            all_groups.bulk_create([Group(name=role.value)], ignore_conflicts=True)
            held = Group.permissions.through.objects.using(using)
            group = all_groups.get(name=role.value)
            _hold(held, group, wanted)


def _set_aside(all_groups: QuerySet[Group], role: Role, wanted: set[int]) -> None:
    """Rename a group that had the role's name before there were roles, for it is people's own and
    may say something else. Its people keep what it gave them; the audit trail tells of it."""
    group = all_groups.filter(name=role.value).first()
    if group is None or set(group.permissions.values_list("pk", flat=True)) == wanted:
        return
    name = f"{role.value} (before roles)"
    others = (f"{name} {number}" for number in count(2))
    group.name = next(
        one for one in chain([name], others) if not all_groups.filter(name=one).exists()
    )
    group.save()


def _hold(held: Any, group: Group, wanted: set[int]) -> None:
    """Have `group` hold just the permissions with those keys, through the table `held`."""
    own = held.filter(group_id=group.pk)
    now = set(own.values_list("permission_id", flat=True))
    own.filter(permission_id__in=now - wanted).delete()
    held.bulk_create(
        [held.model(group_id=group.pk, permission_id=key) for key in sorted(wanted - now)]
    )


def tables_of(using: str) -> set[str]:
    """Those that there are: fewer while going back past the migrations that made them."""
    from django.db import connections  # noqa: PLC0415

    return set(connections[using].introspection.table_names())


def _permissions(using: str = "default") -> QuerySet[Permission]:
    return Permission.objects.using(using).select_related("content_type").order_by("pk")


def _name_of(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def existing_permissions() -> frozenset[str]:
    """Every permission there is to give."""
    return frozenset(_name_of(row) for row in _permissions())


def group_of(role: Role) -> Group:
    """The group of that role, which is made if it is not there."""
    found = Group.objects.filter(name=role.value).first()
    if found is None:
        make_roles()
        found = Group.objects.get(name=role.value)
    return found


def is_role(group: Group) -> bool:
    """Whether the group is a role's, and so not for people to change."""
    return group.name in {role.value for role in GROUPS}


def role_of(user: User) -> Role:
    """The person's role: the first that their groups give them."""
    if user.is_superuser:
        return Role.OWNER
    names = {group.name for group in user.groups.all()} if user.pk else set()
    if not user.is_staff:
        return Role.MEMBER
    return next((role for role in GROUPS if role.value in names), Role.OTHER)


def give_role(user: User, role: Role) -> None:
    """Make that the only role of `user`, who is saved. Other groups of theirs stay."""
    with transaction.atomic():
        others = user.groups.exclude(name__in=[one.value for one in GROUPS])
        wanted = [*others, *([group_of(role)] if role in GROUPS else [])]
        user.is_superuser = role is Role.OWNER
        user.is_staff = role is not Role.MEMBER
        user.save()
        if {one.pk for one in wanted} != set(user.groups.values_list("pk", flat=True)):
            user.groups.set(wanted)


def standing(user: User) -> Standing:
    """What `user` may do now: read anew, not from what this request has kept."""
    if user.is_superuser:
        return Standing(key=user.pk, is_owner=True)
    held = _permissions().filter(Q(group__user=user) | Q(user=user)).distinct()
    return Standing(
        key=user.pk, is_owner=False, permissions=frozenset(_name_of(row) for row in held)
    )


def role_by_rights(user: User) -> Role:
    """The person's role, or `OTHER` if other groups or permissions of their own give them more."""
    role = role_of(user)
    held = standing(user).permissions
    return Role.OTHER if held - permissions_of(role, held) else role


def administrators() -> QuerySet[User]:
    """Who may do everything that administrators may, and may sign in."""
    named = Q(is_superuser=True) | Q(groups__name=Role.ADMINISTRATOR.value, is_staff=True)
    found: QuerySet[User] = User.objects.filter(named, is_active=True).distinct()
    return found


def is_last(user: User) -> bool:
    """Whether nobody but `user` could run Palyra."""
    keys = list(administrators().values_list("pk", flat=True)[:2])
    return keys == [user.pk]


def lock_administrators() -> list[int]:
    """Their keys; none of them can be changed by anybody else until the transaction ends."""
    keys = list(administrators().order_by("pk").values_list("pk", flat=True))
    locked = User.objects.filter(pk__in=keys).select_for_update().order_by("pk")
    found = list(locked.values_list("pk", flat=True))
    # Read anew: whoever held the locks before may have taken one of them away.
    still = set(administrators().values_list("pk", flat=True))
    return [key for key in found if key in still]


def with_role(people: QuerySet[User], role: Role) -> QuerySet[User]:
    """Those of `people` whose `role_of` is that."""
    if role is Role.OWNER:
        return people.filter(is_superuser=True)
    others = people.filter(is_superuser=False)
    if role is Role.MEMBER:
        return others.filter(is_staff=False)
    others = others.filter(is_staff=True)
    for one in GROUPS:
        of_it = User.objects.filter(groups__name=one.value).values("pk")
        if one is role:
            return others.filter(pk__in=of_it)
        others = others.exclude(pk__in=of_it)
    return others
