"""Users and groups in the console, in its looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html

from governance.admin.call_links import calls_links
from governance.audit import record
from palyra_site.access import groups
from palyra_site.access.records import SIGNED_OUT, TWO_STEP_OFF
from palyra_site.access.roles import (
    IN_WORDS,
    Role,
    Standing,
    may_handle,
    may_set_rights,
    roles_to_give,
)
from palyra_site.access.sessions import end_sessions
from palyra_site.access.two_step import uses_two_step
from palyra_site.console.person_form import NewPersonForm, PersonForm
from providers.admin.actions import object_action
from providers.admin.base import ConsoleAdmin, ObjectLink, remembered
from providers.display import badge, moment, muted, number, two_lines

if TYPE_CHECKING:
    AdminPasswordChangeForm: Any

    class UserAdminBase(auth_admin.UserAdmin[User]):
        pass

    class GroupAdminBase(auth_admin.GroupAdmin):
        pass
else:
    from unfold.forms import AdminPasswordChangeForm

    class UserAdminBase(auth_admin.UserAdmin, ConsoleAdmin):
        """Django's user pages on the console's base."""

    class GroupAdminBase(auth_admin.GroupAdmin, ConsoleAdmin):
        """Django's group pages on the console's base."""


admin.site.unregister(User)
admin.site.unregister(Group)
OWN = (
    "Nobody sets their own rights: another administrator can. Your password and two-step sign-in "
    "are on the page of your account."
)
BEYOND = "This account may do more than yours, so you may look at it only."
# What only owners give: a group or a permission is no role, and may be anything.
FURTHER = ("groups", "user_permissions")
RIGHTS = ("role", "is_active", *FURTHER)


class RoleFilter(admin.SimpleListFilter):
    """By role."""

    title = "role"
    parameter_name = "role"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(role.name.lower(), role.value) for role in Role]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:
        wanted = next((role for role in Role if role.name.lower() == self.value()), None)
        return queryset if wanted is None else groups.with_role(queryset, wanted)


@admin.register(User)
class UserAdmin(UserAdminBase):
    """People who may sign in. What they may do in the console is said by their role."""

    form = PersonForm
    add_form = NewPersonForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("person", "email", "role", "amount_teams", "two_step", "state", "signed_in")
    list_filter = (RoleFilter, "is_active", "groups")
    search_help_text = "Name or e-mail address"
    empty_text = "Nobody may sign in yet."
    empty_action = ("admin:auth_user_add", "Add a person")
    filter_horizontal = FURTHER
    object_actions = ("sign_out", "take_two_step_away")
    fieldsets = (
        (None, {"fields": ("username", "password_state")}),
        ("Person", {"fields": ("first_name", "last_name", "email")}),
        ("Rights", {"fields": RIGHTS}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = ((None, {"fields": ("username", "role", "password1", "password2")}),)
    readonly_fields = ("password_state", "password_to_set", "last_login", "date_joined")

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        from allauth.mfa.models import Authenticator  # noqa: PLC0415 - once there are models

        codes = Authenticator.objects.filter(user=OuterRef("pk"), type=Authenticator.Type.TOTP)
        people: QuerySet[User] = super().get_queryset(request)
        return people.prefetch_related("groups").annotate(
            team_count=Count("memberships", distinct=True), has_two_step=Exists(codes)
        )

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return super().has_change_permission(request, obj) and self._may_handle(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        permitted = super().has_delete_permission(request, obj)
        if obj is None or not permitted:
            return permitted
        return self.has_rights_permission(request, obj) and not groups.is_last(obj)

    def has_rights_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whether this person may say what that one may do: never of themselves."""
        if obj is None or not self.has_change_permission(request, obj):
            return obj is None and super().has_change_permission(request)
        return may_set_rights(_standing(request.user), _standing(obj))

    def has_sign_out_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        """Whether this person may sign that one out; oneself on the page of one's account."""
        own = obj is not None and obj.pk == request.user.pk
        return not own and self.has_change_permission(request, obj)

    def _may_handle(self, request: HttpRequest, obj: User | None) -> bool:
        return obj is None or may_handle(_standing(request.user), _standing(obj))

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        fields = tuple(super().get_readonly_fields(request, obj))
        if obj is None:
            return fields
        if not self.has_rights_permission(request, obj):
            return (*fields, "role", "is_active", *FURTHER)
        return fields if request.user.is_superuser else (*fields, *FURTHER)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        found = super().get_fieldsets(request, obj)
        if obj is None or obj.pk == request.user.pk or not self.has_change_permission(request, obj):
            return found
        return ((None, {"fields": ("username", "password_to_set")}), *found[1:])

    def get_form(
        self, request: HttpRequest, obj: User | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change=change, **kwargs)
        offered = roles_to_give(_standing(request.user), groups.existing_permissions())
        return type(form.__name__, (form,), {"offered": offered})

    def object_note(self, request: HttpRequest, obj: User) -> str:
        if obj.pk == request.user.pk:
            return OWN
        changes = super().has_change_permission(request, obj)
        return BEYOND if changes and not self._may_handle(request, obj) else ""

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """With the role that was picked, if this person may say so."""
        super().save_model(request, obj, form, change)
        if change and "email" in form.changed_data:
            _forget_addresses(obj)
        role = form.cleaned_data.get("role")
        if role is not None and (not change or self.has_rights_permission(request, obj)):
            groups.give_role(obj, Role(role))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """All or, if that would leave no administrator, none."""
        super().delete_queryset(request, queryset)
        if not groups.administrators().exists():
            raise PermissionDenied

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with _alone(request):
            return super().changeform_view(request, *args, **kwargs)

    def delete_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        with _alone(request):
            return super().delete_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Bulk deletion happens here."""
        with _alone(request):
            return super().changelist_view(request, *args, **kwargs)

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - Django's name
        form_url: str = "",
    ) -> HttpResponse:
        """For others; one's own is changed with the old one, on one's account's page."""
        target = self.get_object(request, unquote(id))
        if target is not None and target.pk == request.user.pk:
            return redirect("account_change_password")
        response = super().user_change_password(request, id, form_url)
        if target is not None and response.status_code == HTTPStatus.FOUND:
            end_sessions(target)
        return response

    @object_action(
        label="Sign out everywhere",
        permission="sign_out",
        icon="logout",
        consequence="They are signed out in every browser, and may sign in again.",
    )
    def sign_out(self, _request: HttpRequest, user: User, _data: Any) -> str:
        """End all their sessions."""
        ended = end_sessions(user)
        record(SIGNED_OUT, user, {"sessions ended": [None, ended]})
        return f"{user} is signed out everywhere: {ended} sessions ended."

    @object_action(
        label="Take two-step away",
        permission="rights",
        icon="phonelink_erase",
        tone="danger",
        consequence="Their password alone lets them in until they set it up again, with a new "
        "phone for example. Make sure that it is they who ask.",
        applies=uses_two_step,
    )
    def take_two_step_away(self, _request: HttpRequest, user: User, _data: Any) -> str:
        """For who has lost both phone and codes."""
        from allauth.mfa.models import Authenticator  # noqa: PLC0415 - once there are models

        Authenticator.objects.filter(user=user).delete()
        record(TWO_STEP_OFF, user, {"two-step sign-in": ["on", "off"]})
        return f"{user} signs in with a password alone until two-step sign-in is set up again."

    def object_links(self, request: HttpRequest, obj: User) -> list[ObjectLink]:
        return calls_links(request, user__id__exact=obj.pk)

    @admin.display(description="person", ordering="username")
    def person(self, user: User) -> str:
        full = user.get_full_name()
        return two_lines(user.username, muted(full)) if full else user.username

    @admin.display(description="role", ordering="is_superuser")
    def role(self, user: User) -> str:
        role = groups.role_of(user)
        if role is Role.MEMBER:
            return "Team pages only"
        return badge(role.value, "busy" if role is Role.OWNER else "quiet")

    @admin.display(description="teams", ordering="team_count")
    def amount_teams(self, user: Any) -> str:
        return number(user.team_count)

    @admin.display(description="password")
    def password_state(self, user: User) -> str:
        """That there is one, and nothing of it."""
        return "Set" if user.has_usable_password() else "None: by single sign-on only"

    @admin.display(description="password")
    def password_to_set(self, user: User) -> str:
        """The same, for whoever may set another."""
        if not user.has_usable_password():
            return self.password_state(user)
        change = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('Set. <a class="underline" href="{}">Set another</a>', change)

    @admin.display(description="two-step", ordering="has_two_step")
    def two_step(self, user: Any) -> str:
        return badge("On", "good") if user.has_two_step else "Off"

    @admin.display(description="state", ordering="is_active")
    def state(self, user: User) -> str:
        return badge("Active", "good") if user.is_active else badge("Switched off", "quiet")

    @admin.display(description="last signed in", ordering="last_login")
    def signed_in(self, user: User) -> str:
        return moment(user.last_login) if user.last_login else "Never"


def _forget_addresses(user: User) -> None:
    """What allauth remembers of the addresses that single sign-on gave, which others may have."""
    from allauth.account.models import EmailAddress  # noqa: PLC0415 - once there are models

    EmailAddress.objects.filter(user=user).delete()


@contextmanager
def _alone(request: HttpRequest) -> Iterator[None]:
    """Nobody else changes an administrator while this request does."""
    if request.method != "POST":
        yield
        return
    with transaction.atomic():
        groups.lock_administrators()
        yield


def _standing(user: Any) -> Standing:
    """Read once a request, for every field of a page asks."""
    found: Standing = remembered(user, "_palyra_standing", lambda: groups.standing(user))
    return found


@admin.register(Group)
class GroupAdmin(GroupAdminBase):
    """Sets of permissions to give to people beside their role. Only owners change them."""

    list_display = ("name", "kind", "amount_people", "amount_permissions")
    empty_text = "A group gives its people the same permissions."
    empty_action = ("admin:auth_group_add", "Add the first group")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        found: QuerySet[Group] = super().get_queryset(request)
        return found.annotate(
            people_count=Count("user", distinct=True),
            permission_count=Count("permissions", distinct=True),
        )

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return self.has_add_permission(request) and (obj is None or not groups.is_role(obj))

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def object_note(self, request: HttpRequest, obj: Group) -> str:
        if not groups.is_role(obj):
            return ""
        return f"{obj.name}: {IN_WORDS[Role(obj.name)]}. Palyra keeps this role up itself."

    @admin.display(description="kind")
    def kind(self, group: Group) -> str:
        return badge("Role", "busy") if groups.is_role(group) else "Group"

    @admin.display(description="people", ordering="people_count")
    def amount_people(self, group: Any) -> str:
        return number(group.people_count)

    @admin.display(description="permissions", ordering="permission_count")
    def amount_permissions(self, group: Any) -> str:
        return number(group.permission_count)
