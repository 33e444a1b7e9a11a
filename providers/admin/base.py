"""What every page of objects in the console is built on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.urls import URLPattern, path, reverse

from providers.admin import csv_lists
from providers.admin.actions import ObjectAction, faults_in, faults_of
from providers.display import NOTHING

if TYPE_CHECKING:
    # Unfold carries no types; its classes add options to Django's and change none of their methods.
    class ModelAdmin(admin.ModelAdmin[Any]):
        pass

    class UnfoldTabularInline(admin.TabularInline[Any, Any]):
        pass
else:
    from unfold.admin import ModelAdmin
    from unfold.admin import TabularInline as UnfoldTabularInline

__all__ = [
    "ConsoleAdmin",
    "ConsolePage",
    "ObjectLink",
    "ReadOnlyAdmin",
    "TabularInline",
    "remembered",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsolePage:
    """A page beside an admin's list and forms: Ctrl+K finds it for those whom the admin's method
    `has_<permission>_permission(request)` lets in."""

    title: str
    view: str
    permission: str
    icon: str = "article"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectLink:
    """A way from an object's page to others that belong to it."""

    label: str
    address: str
    icon: str = "arrow_forward"


def remembered(obj: Any, name: str, find: Callable[[], Any]) -> Any:
    """What `find` gives, found once an object: Unfold asks for a shown value several times."""
    kept = vars(obj)
    if name not in kept:
        kept[name] = find()
    return kept[name]


class ConsoleAdmin(ModelAdmin):
    """An object's list, form and actions.

    Display methods named `amount_…` are set flush right. `empty_text` and `empty_action` (an
    address's name and a label) are what an empty list says and offers. Every list can be had as
    CSV: with what it shows, or with `csv_columns`, by heading. `is_list` is off where there is one
    object only, whose page stands in for the list.
    """

    empty_value_display = NOTHING
    list_per_page = 25
    list_max_show_all = 100
    # The ledger has millions of rows: a filtered list does not count the unfiltered one as well.
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    list_filter_sheet = True
    compressed_fields = True
    warn_unsaved_form = True
    view_on_site = False
    change_form_outer_before_template = "admin/object_actions.html"
    # Fields shown by what another field holds: names to conditions, in Alpine's language.
    conditional_fields: dict[str, str] = {}
    empty_text = "Nothing here yet."
    empty_action: tuple[str, str] | None = None
    object_actions: Iterable[str] = ()
    csv_columns: Mapping[str, str] = {}
    is_list = True
    pages: Iterable[ConsolePage] = ()

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist: Any = super().get_changelist_instance(request)
        if not changelist.result_count:
            # The template of an empty list is not told whose it is.
            changelist.offered = self.offered_when_empty(request)
        return changelist

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any], *rest: Any) -> Any:
        """What comes of an action on the rows that are picked, once those can be rows at all."""
        key = self.model._meta.pk
        try:
            for picked in request.POST.getlist(ACTION_CHECKBOX_NAME):
                key.run_validators(key.to_python(picked))
        except ValidationError:
            raise BadRequest("What is picked is no row of this list.") from None
        return super().response_action(request, queryset, *rest)

    def offered_when_empty(self, request: HttpRequest) -> tuple[str, str] | None:
        """The address and label of what an empty list offers, if this person may do it."""
        if self.empty_action is None:
            return None
        name, label = self.empty_action
        for model, other in self.admin_site._registry.items():
            stem = f"admin:{model._meta.app_label}_{model._meta.model_name}_"
            if name == f"{stem}add" and not other.has_add_permission(request):
                return None
            if name == f"{stem}changelist" and not other.has_view_or_change_permission(request):
                return None
        return reverse(name), label

    def get_urls(self) -> list[URLPattern]:
        own = path(
            "<path:object_id>/do/<slug:action_name>/",
            self.admin_site.admin_view(self.object_action_view),
            name=self._address("do").removeprefix("admin:"),
        )
        listed = path(
            "csv/",
            self.admin_site.admin_view(self.csv_view),
            name=self._address("csv").removeprefix("admin:"),
        )
        return [own, *([listed] if self.is_list else []), *super().get_urls()]

    def csv_view(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The list as it is filtered and sorted, as CSV, for whoever may see the list."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        address = reverse(self._address("changelist"))
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(f"{address}?e=1")
        try:
            return csv_lists.response(request, changelist, self.csv_columns)
        except csv_lists.TooManyRows:
            most = f"{csv_lists.MOST_ROWS:,}"
            messages.error(
                request,
                f"The list has more than {most} rows, too many for a file. Narrow it by a filter, "
                "such as by day, and download it again.",
            )
            return HttpResponseRedirect(f"{address}?{request.GET.urlencode()}")

    def object_action_view(
        self, request: HttpRequest, object_id: str, action_name: str
    ) -> HttpResponse:
        """Do what was asked, once method, permission and form are right; then show the object."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        obj, action = self.asked_of(request, object_id, action_name)
        self._perform(request, obj, action)
        return HttpResponseRedirect(reverse(self._address("change"), args=[quote(obj.pk)]))

    def asked_of(
        self, request: HttpRequest, object_id: str, action_name: str
    ) -> tuple[Any, ObjectAction]:
        """The object and the action that are asked for. Raises `PermissionDenied` where this person
        may not take it, or there is none."""
        obj = self.get_object(request, unquote(object_id))
        action = next((one for one in self._actions() if one.name == action_name), None)
        if obj is None or action is None or not self._permitted(request, obj, action):
            raise PermissionDenied
        return obj, action

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        obj = self.get_object(request, unquote(object_id)) if object_id else None
        context = {**(extra_context or {})}
        if obj is not None:
            context = {**self.object_context(request, obj), **context}
            context["object_actions"] = self._offered(request, obj)
            context["object_note"] = self.object_note(request, obj)
            if self.has_view_or_change_permission(request, obj):
                context["object_links"] = self.object_links(request, obj)
        return super().changeform_view(request, object_id, form_url, context)

    def render_change_form(  # noqa: PLR0917 - Django's own signature
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> Any:
        if not add and not self.has_change_permission(request, obj):
            # Whoever may only look has no field that others could depend on.
            self.show_all_fields(context)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> Any:
        """What the site knows was done to the object; Django's own log is of this console only."""
        if not self.has_view_or_change_permission(request):
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            return super().history_view(request, object_id, extra_context)
        site: Any = self.admin_site
        pages = self.get_paginator(request, site.history_of(obj), 100)
        page = pages.get_page(request.GET.get("p", 1))
        shown = {
            "action_list": page,
            "page_range": pages.get_elided_page_range(page.number),
            "pagination_required": pages.num_pages > 1,
        }
        return super().history_view(request, object_id, {**(extra_context or {}), **shown})

    def show_all_fields(self, context: dict[str, Any]) -> None:
        """Have the form in `context` hide no field because of what another one says."""
        shown = copy.copy(self)
        shown.conditional_fields = {}
        context["adminform"].model_admin = shown

    def object_context(self, request: HttpRequest, obj: Any) -> dict[str, Any]:
        """What the object's page shows besides its form, for its templates."""
        return {}

    def object_links(self, request: HttpRequest, obj: Any) -> list[ObjectLink]:
        """Where to go on from the object; each for those alone who may open it."""
        return []

    def object_note(self, request: HttpRequest, obj: Any) -> str:
        """A sentence to show above the object, or nothing."""
        return ""

    def _actions(self) -> list[ObjectAction]:
        return [getattr(self, name).object_action for name in self.object_actions]

    def _permitted(self, request: HttpRequest, obj: Any, action: ObjectAction) -> bool:
        may = getattr(self, f"has_{action.permission}_permission")
        return bool(self.has_view_permission(request, obj) and may(request, obj))

    def _offered(self, request: HttpRequest, obj: Any) -> list[dict[str, Any]]:
        """The actions this person may take on the object as it is now."""
        return [
            {
                "action": action,
                "form": self.form_of_action(action, obj),
                "address": reverse(self._address("do"), args=[quote(obj.pk), action.name]),
                "warning": action.warns(obj),
            }
            for action in self._actions()
            if action.applies(obj) and self._permitted(request, obj, action)
        ]

    def form_of_action(self, action: ObjectAction, obj: Any) -> forms.Form:
        """The form that is shown for the action, yet to be filled in."""
        return action.form_class(prefix=action.name, label_suffix="")

    def _perform(self, request: HttpRequest, obj: Any, action: ObjectAction) -> None:
        form = action.form_class(request.POST, prefix=action.name)
        if not action.applies(obj):
            faults = [f"“{action.label}” no longer applies: this changed since the page was read."]
        elif not form.is_valid():
            faults = faults_in(form.errors, form)
        else:
            try:
                said = getattr(self, action.name)(request, obj, form.cleaned_data)
            except ValidationError as error:
                faults = faults_of(error)
            else:
                self.log_change(request, obj, said)
                messages.success(request, said)
                return
        for fault in faults:
            messages.error(request, fault)

    def _address(self, view: str) -> str:
        return f"admin:{self.opts.app_label}_{self.opts.model_name}_{view}"


class TabularInline(UnfoldTabularInline):
    """Rows of other objects on an object's page; each field says its name, as there is no label."""

    def formfield_for_dbfield(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None:
            widget: Any = getattr(field.widget, "widget", field.widget)
            widget.attrs["aria-label"] = str(field.label).capitalize()
        return field


class ReadOnlyAdmin(ConsoleAdmin):
    """Objects that are written by the system alone: nobody adds, changes or deletes them here."""

    actions: Any = None

    def has_add_permission(self, request: HttpRequest, *_: Any) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
