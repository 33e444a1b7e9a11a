"""Actions on one object: each a POST form on the object's page, with a permission of its own.

Unfold's own detail actions run on GET, unprotected and by default unpermissioned, so they are not
used. An action here is a method of the admin class, marked with `object_action` and named in
`object_actions`; it returns the sentence that says what was done.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from django import forms
from django.core.exceptions import ValidationError
from django.forms.utils import ErrorDict

MethodT = TypeVar("MethodT", bound=Callable[..., str])


class NothingToFill(forms.Form):
    """The form of an action that asks for nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectAction:
    """What an action is called, what it will do, who may do it and when it applies.

    An action with a `consequence` or a form asks before it acts; any other acts at once. One with a
    `dialog` shows what came of it in a dialog over the page, and these words while it is under way;
    its admin answers to that, see `providers.admin.dialogs`.
    """

    name: str
    label: str
    icon: str
    permission: str
    consequence: str | Callable[[Any], str]
    tone: str
    form_class: type[forms.Form]
    applies: Callable[[Any], bool]
    dialog: str

    def warns(self, obj: Any) -> str:
        """What taking the action on `obj` will do, in words; empty if it need not be said."""
        return self.consequence(obj) if callable(self.consequence) else self.consequence


def object_action(
    *,
    label: str,
    permission: str,
    icon: str = "bolt",
    consequence: str | Callable[[Any], str] = "",
    tone: str = "default",
    form_class: type[forms.Form] = NothingToFill,
    applies: Callable[[Any], bool] = lambda _obj: True,
    dialog: str = "",
) -> Callable[[MethodT], MethodT]:
    """Mark a method `(self, request, obj, data) -> sentence` as an action on one object.

    `permission` names the admin's method `has_<permission>_permission(request, obj)`.
    """

    def mark(method: MethodT) -> MethodT:
        method.object_action = ObjectAction(  # type: ignore[attr-defined]
            name=method.__name__,
            label=label,
            icon=icon,
            permission=permission,
            consequence=consequence,
            tone=tone,
            form_class=form_class,
            applies=applies,
            dialog=dialog,
        )
        return method

    return mark


def faults_of(error: ValidationError) -> list[str]:
    """Every sentence of a validation error, with the field it is about where there is one."""
    if not hasattr(error, "error_dict"):
        return list(error.messages)
    return [text for texts in error.message_dict.values() for text in texts]


def faults_in(errors: ErrorDict, form: forms.Form) -> list[str]:
    """Every fault of a form, led by its field's label."""
    sentences = []
    for name, texts in errors.items():
        label = form.fields[name].label or name if name in form.fields else ""
        led = f"{label}{'' if str(label).endswith('?') else ':'} " if label else ""
        sentences += [f"{led}{text}" for text in texts]
    return sentences
