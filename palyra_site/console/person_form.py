"""The forms of a person in the console: with a role, in place of Django's flags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.auth.models import Group, Permission, User
from django.db.models import QuerySet

from palyra_site.access import groups
from palyra_site.access.roles import GROUPS, IN_WORDS, OURS, Role

if TYPE_CHECKING:

    class UserChangeForm(forms.ModelForm[User]):
        pass

    class UserCreationForm(forms.ModelForm[User]):
        pass

    UnfoldAdminSelectWidget: Any = forms.Select
else:
    from unfold.forms import UserChangeForm, UserCreationForm
    from unfold.widgets import UnfoldAdminSelectWidget

LAST = "This is the last administrator who can sign in. Make somebody else one first."


def choices(offered: tuple[Role, ...], present: Role) -> list[tuple[str, str]]:
    """Each role that may be given, with what it may do; and the present one, which may stay."""
    return [
        (role.value, f"{role.value}: {IN_WORDS[role]}")
        for role in Role
        if role is present or (role in offered and role is not Role.OTHER)
    ]


class _WithRole(forms.ModelForm):  # type: ignore[type-arg]
    """`offered` are the roles that whoever fills the form in may give."""

    offered: tuple[Role, ...] = ()

    def _prepare_role(self, present: Role) -> None:
        field = self.fields.get("role")
        if isinstance(field, forms.ChoiceField):
            field.choices = choices(self.offered, present)
            field.initial = present.value


class PersonForm(_WithRole, UserChangeForm):
    """Somebody who is there. The last administrator stays one."""

    role = forms.ChoiceField(label="Role", widget=UnfoldAdminSelectWidget)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_role(groups.role_of(self.instance))
        self._leave_out("groups", Group.objects.exclude(name__in=[role.value for role in GROUPS]))
        of_pages = Permission.objects.filter(content_type__app_label__in=(*OURS, "auth"))
        self._leave_out("user_permissions", of_pages.select_related("content_type"))

    def _leave_out(self, name: str, others: QuerySet[Any]) -> None:
        """Offer `others` only in the field of that name, if there is one."""
        field = self.fields.get(name)
        if isinstance(field, forms.ModelMultipleChoiceField):
            field.queryset = others

    def clean(self) -> dict[str, Any]:
        sent: dict[str, Any] = super().clean() or self.cleaned_data
        if "groups" in sent and sent.get("role") in {role.value for role in GROUPS}:
            # None of those to pick: it goes with the role.
            own = groups.group_of(Role(sent["role"])).pk
            picked = [*sent["groups"].values_list("pk", flat=True), own]
            sent["groups"] = Group.objects.filter(pk__in=picked)
        if self._would_leave_none(sent):
            self.add_error("role" if "role" in self.fields else None, LAST)
        return sent

    def _would_leave_none(self, sent: dict[str, Any]) -> bool:
        """Whether nobody could run Palyra afterwards. The administrators' rows are locked."""
        role = Role(sent["role"]) if sent.get("role") else groups.role_of(self.instance)
        stays = role in {Role.OWNER, Role.ADMINISTRATOR}
        if stays and sent.get("is_active", self.instance.is_active):
            return False
        return groups.is_last(self.instance)


class NewPersonForm(_WithRole, UserCreationForm):
    """Somebody new."""

    role = forms.ChoiceField(label="Role", widget=UnfoldAdminSelectWidget)

    class Meta:
        model = User
        fields = ("username",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_role(Role.MEMBER)
