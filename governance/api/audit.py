"""The audit trail in the JSON API."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from ninja import Query, Router, Schema
from pydantic import Field

from governance.api.conventions import ActorRequest
from governance.audit.reading import entries_for
from governance.models import AuditEntry
from providers.api.conventions import Moment, refusals
from providers.api.pages import Page, PageQuery, read_page

router = Router()
SEEING = "governance.view_auditentry"


class AuditQuery(PageQuery):
    """Which entries."""

    actor: str | None = Field(None, description="Who, as an entry names them.")
    action: str | None = Field(None, description="Such as added, changed or deleted.")
    object_type: str | None = Field(None, description="Such as governance.team.")
    object_id: str | None = Field(None, description="Of one object; needs its type.")
    since: Moment | None = Field(None, description="Done at this moment or later.")
    until: Moment | None = Field(None, description="Done before this moment.")


class AuditEntryOut(Schema):
    """One change; `changes` has, by field, what it was and what it is. Secrets are masked."""

    id: str
    at: Moment
    actor: str
    user_id: str | None = Field(description="Null if no person did it.")
    surface: str
    address: str
    action: str
    object_type: str
    object_id: str
    object_name: str
    changes: dict[str, list[Any]]
    reason: str

    @classmethod
    def of(cls, entry: AuditEntry) -> AuditEntryOut:
        return cls(
            id=str(entry.pk),
            at=entry.at,
            actor=entry.actor,
            user_id=None if entry.user_id is None else str(entry.user_id),
            surface=entry.surface,
            address=entry.address,
            action=entry.action,
            object_type=entry.object_type,
            object_id=entry.object_id,
            object_name=entry.object_name,
            changes=entry.changes,
            reason=entry.reason,
        )


@router.get(
    "/audit",
    response=Page[AuditEntryOut],
    operation_id="list_audit_entries",
    summary="List who changed what",
    openapi_extra=refusals({403: "You may not read the audit trail."}),
)
def list_audit_entries(request: ActorRequest, page: Query[AuditQuery]) -> Page[AuditEntryOut]:
    """Every change that anyone made, newest first. Needs `governance.view_auditentry`; what was
    done to people, groups, secrets and credentials needs the permission to view such as well."""
    request.auth.require(SEEING)
    if page.object_id is not None and page.object_type is None:
        raise ValidationError({"object_type": "Say of which type the object is."})
    wanted = {
        "actor": page.actor,
        "action": page.action,
        "object_type": page.object_type,
        "object_id": page.object_id,
        "at__gte": page.since,
        "at__lt": page.until,
    }
    rows = entries_for(request.auth.may).filter(
        **{name: value for name, value in wanted.items() if value is not None}
    )
    shown, following = read_page(rows, page, by="-at")
    return Page[AuditEntryOut](
        items=[AuditEntryOut.of(one) for one in shown], next_cursor=following
    )
