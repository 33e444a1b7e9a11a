"""Entries of the audit trail, in words for templates."""

from __future__ import annotations

from django import template

from governance.audit.reading import Change, changes_in_words
from governance.models import AuditEntry
from providers.display import moment

register = template.Library()


@register.filter
def changes(entry: AuditEntry) -> list[Change]:
    """From what to what, field by field."""
    return changes_in_words(entry)


@register.filter
def when(entry: AuditEntry) -> str:
    """When it was done, in the viewer's zone."""
    return moment(entry.at)
