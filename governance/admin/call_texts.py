"""The prompt and the answer on a call's page: whether they are kept, and reading them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import QuerySet

from governance.audit.recording import record
from governance.models import CallStatus, CallText, ModelCall
from governance.texts import READ, Text, unstored
from providers.display import moment_text

NEVER_SENT = (CallStatus.BLOCKED, CallStatus.DENIED, CallStatus.WAITING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Texts:
    """What a call's page says of them: `note` in words, and the texts once somebody reads them."""

    note: str
    can_read: bool = False
    asked: Text | None = None
    answered: Text | None = None


def note_of(call: ModelCall, now: datetime, *, may_read: bool) -> Texts:
    """Whether they are kept, and for how long still."""
    if not _kept(call, now).exists():
        return Texts(note=_why_not(call, now))
    until = call.admitted_at + timedelta(days=call.team.text_days)
    note = f"They are kept until {moment_text(until)}, because the team's setting says so."
    if not may_read:
        return Texts(note=f"{note} Reading them takes a permission that you do not have.")
    return Texts(note=f"{note} That you read them will be in the audit trail.", can_read=True)


def read(call: ModelCall, now: datetime) -> Texts:
    """The texts, with an entry in the audit trail that whoever is acting has read them."""
    kept = _kept(call, now).first()
    if kept is None:
        return Texts(note=_why_not(call, now))
    record(READ, call, {})
    return Texts(
        note="That you read this is in the audit trail.",
        asked=unstored(kept.asked),
        answered=None if kept.answered is None else unstored(kept.answered),
    )


def _kept(call: ModelCall, now: datetime) -> QuerySet[CallText]:
    """What is kept of the call, and may be still: what is too old is shown no more, even if it is
    not deleted yet."""
    if call.admitted_at < now - timedelta(days=call.team.text_days):
        return CallText.objects.none()
    return CallText.objects.filter(pk=call.pk)


def _why_not(call: ModelCall, now: datetime) -> str:
    days = call.team.text_days
    if not days:
        return "They are not kept: the team's setting keeps none."
    if call.status in NEVER_SENT:
        return "They are not kept: nothing was sent."
    if call.status == CallStatus.IN_FLIGHT:
        return "The call is under way. They are kept once it has ended."
    if call.admitted_at < now - timedelta(days=days):
        return f"They are no longer kept: the team keeps them for {days:,} days."
    return (
        "They were not kept: the team's setting kept none then, or they could not be written "
        "(the log says so)."
    )
