"""The audit trail in the console: read and searched, never changed."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html, format_html_join

from governance.acting import SURFACES
from governance.admin.periods import PeriodFilter
from governance.audit import tracked_models
from governance.audit.reading import changes_in_words, entries_for, summary, type_name
from governance.audit.recording import DELETED
from governance.models import AuditEntry
from providers.admin.base import ReadOnlyAdmin
from providers.display import NOTHING, link, moment, muted, preformatted, two_lines


class AuditPeriodFilter(PeriodFilter):
    """By when it was done."""

    field = "at"


def chosen(one: admin.SimpleListFilter) -> str | None:
    """What was picked in a filter, if it is among what it offers: the address can say anything."""
    return next((str(key) for key, _ in one.lookup_choices if str(key) == one.value()), None)


class TypeFilter(admin.SimpleListFilter):
    """By what kind of object was changed."""

    title = "what"
    parameter_name = "type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        labels = (model._meta.label_lower for model in tracked_models())
        return sorted(((label, type_name(label)) for label in labels), key=lambda one: one[1])

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        wanted = chosen(self)
        return queryset if wanted is None else queryset.filter(object_type=wanted)


class SurfaceFilter(admin.SimpleListFilter):
    """By the face it was done with."""

    title = "by way of"
    parameter_name = "surface"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return [(name, name.capitalize()) for name in SURFACES]

    def queryset(
        self, request: HttpRequest, queryset: QuerySet[AuditEntry]
    ) -> QuerySet[AuditEntry]:
        wanted = chosen(self)
        return queryset if wanted is None else queryset.filter(surface=wanted)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    """Who changed what, the latest first."""

    list_display = ("when", "who", "done", "what", "fields_changed")
    list_filter = (AuditPeriodFilter, TypeFilter, "action", SurfaceFilter, "actor")
    search_fields = ("actor", "object_name", "object_id", "reason")
    search_help_text = "Person, key or object"
    empty_text = "Nobody has changed anything yet."
    empty_action = ("admin:index", "Go to the overview")
    readonly_fields = ("when", "who", "done", "what", "where", "why", "changed")
    fieldsets = ((None, {"fields": readonly_fields}),)

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEntry]:
        return entries_for(request.user.has_perm)

    @admin.display(description="when", ordering="at")
    def when(self, entry: AuditEntry) -> str:
        return moment(entry.at, precision="second")

    @admin.display(description="who", ordering="actor")
    def who(self, entry: AuditEntry) -> str:
        return two_lines(entry.actor, muted(entry.surface))

    @admin.display(description="did", ordering="action")
    def done(self, entry: AuditEntry) -> str:
        return entry.action.capitalize()

    @admin.display(description="what", ordering="object_name")
    def what(self, entry: AuditEntry) -> str:
        return two_lines(_object(entry), muted(type_name(entry.object_type)))

    @admin.display(description="changed")
    def fields_changed(self, entry: AuditEntry) -> str:
        return summary(entry) or NOTHING

    @admin.display(description="from")
    def where(self, entry: AuditEntry) -> str:
        return entry.address or NOTHING

    @admin.display(description="reason")
    def why(self, entry: AuditEntry) -> str:
        return preformatted(entry.reason)

    @admin.display(description="from what to what")
    def changed(self, entry: AuditEntry) -> str:
        rows = format_html_join(
            "",
            '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>',
            ((one.field, one.before, one.after) for one in changes_in_words(entry)),
        )
        head = '<tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">After</th>'
        return format_html(
            '<table class="palyra-table palyra-changes"><thead>'
            + head
            + "</tr></thead><tbody>{}</tbody></table>",
            rows,
        )


def _object(entry: AuditEntry) -> str:
    if not entry.object_id or entry.action == DELETED:
        return entry.object_name
    view = f"admin:{entry.object_type.replace('.', '_')}_change"
    try:
        return link(reverse(view, args=[entry.object_id]), entry.object_name)
    except NoReverseMatch:
        return entry.object_name
