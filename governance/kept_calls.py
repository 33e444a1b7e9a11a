"""Calls that wait for approval: made exactly once when it is given, and answered later.

A worker is told which call to make, and may be told twice: the ledger lets a call begin only if it
is still waiting. `sweep` mends whatever a crash left between two steps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from governance.audit.watching import watching
from governance.calls import Caller, CallRequest, CallResult, execute
from governance.errors import CallError, CallGone, CallTimedOut
from governance.ledger import Dismissal, dismiss
from governance.models import (
    ApiKey,
    Approval,
    ApprovalStatus,
    ApprovalUntil,
    CallStatus,
    KeptCall,
    ModelCall,
)
from governance.money import decimal_text
from governance.runtime import BlockingRuntime, Runtime
from governance.storable import storable
from providers.response_cache import CacheUse

logger = logging.getLogger(__name__)
# How long an answer can be fetched.
KEPT_FOR = timedelta(days=1)
# After that, whoever was to make it is told again.
TOLD_AGAIN_AFTER = timedelta(seconds=60)
# What is entered as waiting is kept in the same moment, or its process died in between.
ORPHANED_AFTER = timedelta(minutes=5)
MOST_AT_ONCE = 50
LONGEST_CALL_SECONDS = 600
LONGEST_COMMENT = 500
NOT_DECIDED = "Nobody decided whether this call may be made while it was kept; it was not made."
NO_LONGER_ALLOWED = (
    "By the time it was approved, the team or the key that asked for this call was no longer let "
    "in; it was not made."
)
LOST = "The process that made this call ended before it kept its answer; the call is charged."
NOT_FOUND_A_PLACE = (
    "It was approved, but while it was kept no provider had a place for it, or no limit of "
    "requests or tokens a minute had room; it was not made."
)
TIMED_OUT = (
    f"The call took longer than {LONGEST_CALL_SECONDS // 60} minutes and was given up; what the "
    "provider did of it may be charged."
)
NOT_KEPT = "The process that took this call ended before it was kept, so it was not made."

Tell = Callable[[UUID], None]
_tell: list[Tell] = []


def register_teller(tell: Tell) -> None:
    """Have a worker told by `tell` which call to make; that is another app's matter."""
    _tell[:] = [tell]


def decided(approval: Approval) -> None:
    """Go on with the call that an approval was asked for, if one waits for it. Within the
    transaction that decides it, nothing is done before that is committed."""
    call_id = approval.call_id
    if call_id is not None:
        transaction.on_commit(lambda: _go_on(call_id, timezone.now()), robust=True)


def _go_on(call_id: UUID, now: datetime) -> None:
    denied = _denied(call_id)
    if denied is not None:
        _dismiss(call_id, _denial(denied), now)
    elif not _undecided(call_id):
        _send(call_id, now)


def _denied(call_id: UUID) -> Approval | None:
    found = Approval.objects.filter(call_id=call_id, status=ApprovalStatus.DENIED)
    denied: Approval | None = found.select_related("decided_by", "policy").first()
    return denied


def _undecided(call_id: UUID) -> bool:
    pending = Approval.objects.filter(call_id=call_id, status=ApprovalStatus.PENDING)
    return pending.exists()


def _send(call_id: UUID, now: datetime) -> None:
    """Tell a worker, once; again only if a minute has passed and nobody has begun it."""
    untold = Q(queued_at__isnull=True) | Q(queued_at__lt=now - TOLD_AGAIN_AFTER)
    mine = KeptCall.objects.filter(untold, pk=call_id, ended_at__isnull=True)
    with transaction.atomic():
        if mine.update(queued_at=now):
            for tell in _tell:
                tell(call_id)


def _denial(approval: Approval) -> str:
    by = approval.decided_by.get_username() if approval.decided_by else "somebody"
    comment = f": “{approval.comment}”" if approval.comment else "."
    return f"{by} denied what this call needed of “{approval.policy}”{comment} It was not made."


def withdraw(call_id: UUID, why: str, now: datetime) -> None:
    """End a call that waits, if it still does, because whoever asked for it wants it no more."""
    _dismiss(call_id, why, now, status=CallStatus.CANCELLED)


def _dismiss(
    call_id: UUID, error: str, now: datetime, *, status: CallStatus = CallStatus.DENIED
) -> None:
    """End a call that is not to be made, unless it is being made already."""
    if dismiss(Dismissal(call_id=call_id, status=status, settled_at=now, error=error)):
        _end(call_id, now, error={"status": 402, "code": str(status), "message": error})
    # Whatever else it asked for, nobody needs to decide any more.
    pending = Approval.objects.filter(call_id=call_id, status=ApprovalStatus.PENDING)
    comment = error[:LONGEST_COMMENT]
    columns = {"status": ApprovalStatus.DENIED, "decided_at": now, "comment": comment}
    with watching(pending, columns):
        pending.update(**columns)


def _end(call_id: UUID, now: datetime, **columns: Any) -> bool:
    """Write how the call ended, once; what was asked is forgotten."""
    open_ = KeptCall.objects.filter(pk=call_id, ended_at__isnull=True)
    return bool(open_.update(request=None, ended_at=now, expires_at=now + KEPT_FOR, **columns))


def make(call_id: UUID, runtime: BlockingRuntime) -> None:
    """Make the call, in a worker, if it still waits. Whatever comes of it can be fetched."""
    open_ = KeptCall.objects.filter(pk=call_id, ended_at__isnull=True)
    kept = open_.select_related("team").first()
    if kept is None or kept.request is None or _undecided(call_id):
        return
    request = _read(kept.pk, kept.request)
    if not _may_still_ask(kept, request.caller):
        _dismiss(call_id, NO_LONGER_ALLOWED, timezone.now())
        return

    async def work(runtime: Runtime) -> CallResult:
        async with asyncio.timeout(LONGEST_CALL_SECONDS):
            return await execute(request, runtime=runtime, settled=True)

    try:
        result = runtime.call(work)
    except CallGone:
        return
    except TimeoutError:
        _failed(call_id, CallTimedOut(TIMED_OUT, call_id=call_id))
    except CallError as error:
        _failed(call_id, error)
    else:
        _end(call_id, timezone.now(), answer=_answer(result))


def _may_still_ask(kept: KeptCall, caller: Caller) -> bool:
    """Whether the team and the key may make calls, as whoever asks now is looked at."""
    if caller.api_key_id is None or not kept.team.enabled:
        return bool(kept.team.enabled)
    lasts = Q(expires_at__isnull=True) | Q(expires_at__gt=timezone.now())
    works = ApiKey.objects.filter(lasts, pk=caller.api_key_id, revoked_at__isnull=True)
    return works.exists()


def _failed(call_id: UUID, error: CallError) -> None:
    passes = error.retryable or isinstance(error, CallTimedOut)
    if passes and ModelCall.objects.filter(pk=call_id, status=CallStatus.WAITING).exists():
        # Nothing was sent, and it goes on waiting: somebody is told again in a while.
        return
    now = timezone.now()
    told = storable(
        {
            "status": error.status,
            "type": error.type,
            "code": error.code,
            "message": error.message,
            "detail": error.detail,
        }
    )
    message = told["message"]
    dismiss(Dismissal(call_id=call_id, status=CallStatus.BLOCKED, settled_at=now, error=message))
    _end(call_id, now, error=told)


def _read(call_id: UUID, written: dict[str, Any]) -> CallRequest:
    written = dict(written)
    caller = dict(written.pop("caller"))
    for name in ("job_id", "run_id"):
        caller[name] = UUID(caller[name]) if caller[name] else None
    # One that was approved until the window resets has raised that already.
    given = Approval.objects.filter(
        call_id=call_id, status=ApprovalStatus.APPROVED, until=ApprovalUntil.CALL
    )
    return CallRequest(
        caller=Caller(**caller),
        **written,
        # An answer that is kept for others would be entered as another call.
        cache=CacheUse.OFF,
        approvals=tuple(given.values_list("pk", flat=True)),
        waiting=call_id,
    )


def _answer(result: CallResult) -> dict[str, Any]:
    return {
        "body": storable(result.body),
        "content_type": result.content_type,
        "model": f"{result.provider}/{result.model}",
        "cost": None if result.cost is None else decimal_text(result.cost),
    }


def none_kept(_now: datetime) -> bool:
    """Whether there is nothing that `sweep` could mend."""
    waiting = ModelCall.objects.filter(status=CallStatus.WAITING)
    return not (KeptCall.objects.exists() or waiting.exists())


def sweep(now: datetime) -> int:
    """Mend what was left undone, a bounded number of calls: how many."""
    open_ = KeptCall.objects.filter(ended_at__isnull=True).order_by("pk")
    # Those that are late whoever was told of them, or telling once more would keep them for ever.
    late = list(open_.filter(expires_at__lt=now)[:MOST_AT_ONCE])
    left = list(_left(open_.filter(expires_at__gte=now), now)[:MOST_AT_ONCE])
    for kept in late + left:
        _resume(kept, now)
    orphans = list(_orphans(now)[:MOST_AT_ONCE])
    for call_id in orphans:
        dismiss(
            Dismissal(call_id=call_id, status=CallStatus.BLOCKED, settled_at=now, error=NOT_KEPT)
        )
    KeptCall.objects.filter(ended_at__isnull=False, expires_at__lt=now).delete()
    return len(late) + len(left) + len(orphans)


def _left(open_: QuerySet[KeptCall], now: datetime) -> QuerySet[KeptCall]:
    """Those that something can be done about: all is decided, or one denial decides it all; and
    nobody was told of it just now."""
    asked = Approval.objects.filter(call_id=OuterRef("pk"))
    pending = Exists(asked.filter(status=ApprovalStatus.PENDING))
    denied = Exists(asked.filter(status=ApprovalStatus.DENIED))
    untold = Q(queued_at__isnull=True) | Q(queued_at__lt=now - TOLD_AGAIN_AFTER)
    return open_.filter(untold, ~pending | denied)


def _resume(kept: KeptCall, now: datetime) -> None:
    """Go on with one as its approvals and the ledger say, unless it is late: then it ends."""
    call = ModelCall.objects.filter(pk=kept.pk).first()
    if call is not None and call.status != CallStatus.WAITING:
        _end_as_entered(call, now)
    elif kept.expires_at >= now or _denied(kept.pk) is not None:
        _go_on(kept.pk, now)
    elif _undecided(kept.pk):
        _dismiss(kept.pk, NOT_DECIDED, now)
    else:
        _dismiss(kept.pk, NOT_FOUND_A_PLACE, now, status=CallStatus.BLOCKED)


def _end_as_entered(call: ModelCall, now: datetime) -> None:
    """End one whose maker has not said the end of it, though the ledger knows it."""
    if call.settled_at is None or call.settled_at >= now - TOLD_AGAIN_AFTER:
        # Whoever makes it is at it, or may be about to say so.
        return
    status = 402 if call.status in (CallStatus.DENIED, CallStatus.BLOCKED) else 502
    code = "answer_lost" if call.status == CallStatus.SUCCEEDED else call.status
    _end(call.pk, now, error={"status": status, "code": code, "message": call.error or LOST})


def _orphans(now: datetime) -> QuerySet[ModelCall, UUID]:
    kept = KeptCall.objects.filter(pk=OuterRef("pk"))
    waiting = ModelCall.objects.filter(
        ~Exists(kept), status=CallStatus.WAITING, admitted_at__lt=now - ORPHANED_AFTER
    )
    return waiting.order_by("pk").values_list("pk", flat=True)
