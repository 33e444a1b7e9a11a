"""Users and groups in the console, in its looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User
from django.db.models import Count, QuerySet
from django.http import HttpRequest

from governance.admin.call_links import calls_links
from providers.admin.base import ConsoleAdmin, ObjectLink
from providers.display import badge, moment, muted, number, two_lines

if TYPE_CHECKING:
    AdminPasswordChangeForm: Any
    UserChangeForm: Any
    UserCreationForm: Any

    class UserAdminBase(auth_admin.UserAdmin[User]):
        pass

    class GroupAdminBase(auth_admin.GroupAdmin):
        pass
else:
    from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

    class UserAdminBase(auth_admin.UserAdmin, ConsoleAdmin):
        """Django's user pages on the console's base."""

    class GroupAdminBase(auth_admin.GroupAdmin, ConsoleAdmin):
        """Django's group pages on the console's base."""


admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(User)
class UserAdmin(UserAdminBase):
    """People who may sign in. What they may do is given by groups and permissions."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("person", "email", "access", "amount_teams", "state", "signed_in")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_help_text = "Name or e-mail address"
    empty_text = "Nobody may sign in yet."
    empty_action = ("admin:auth_user_add", "Add a person")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        people: QuerySet[User] = super().get_queryset(request)
        return people.annotate(team_count=Count("memberships", distinct=True))

    def object_links(self, request: HttpRequest, obj: User) -> list[ObjectLink]:
        return calls_links(request, user__id__exact=obj.pk)

    @admin.display(description="person", ordering="username")
    def person(self, user: User) -> str:
        full = user.get_full_name()
        return two_lines(user.username, muted(full)) if full else user.username

    @admin.display(description="console")
    def access(self, user: User) -> str:
        if user.is_superuser:
            return badge("Everything", "busy")
        return badge("By permission", "quiet") if user.is_staff else "Team pages only"

    @admin.display(description="teams", ordering="team_count")
    def amount_teams(self, user: Any) -> str:
        return number(user.team_count)

    @admin.display(description="state", ordering="is_active")
    def state(self, user: User) -> str:
        return badge("Active", "good") if user.is_active else badge("Switched off", "quiet")

    @admin.display(description="last signed in", ordering="last_login")
    def signed_in(self, user: User) -> str:
        return moment(user.last_login) if user.last_login else "Never"


@admin.register(Group)
class GroupAdmin(GroupAdminBase):
    """Sets of permissions to give to people."""

    list_display = ("name", "amount_people", "amount_permissions")
    empty_text = "A group gives its people the same permissions."
    empty_action = ("admin:auth_group_add", "Add the first group")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        groups: QuerySet[Group] = super().get_queryset(request)
        return groups.annotate(
            people_count=Count("user", distinct=True),
            permission_count=Count("permissions", distinct=True),
        )

    @admin.display(description="people", ordering="people_count")
    def amount_people(self, group: Any) -> str:
        return number(group.people_count)

    @admin.display(description="permissions", ordering="permission_count")
    def amount_permissions(self, group: Any) -> str:
        return number(group.permission_count)
