"""Upkeep that is due every few seconds. Claims, and keys that are open once, make each thing happen
once even where a lease ended and two processes are at it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError

from governance import kept_calls
from governance.alerts import deliveries
from governance.alerts.evaluation import evaluate
from governance.alerts.sending import Outgoing, Result, Underway
from governance.ledger import sweep_left_behind
from providers import health
from scheduling import recovery
from scheduling.maintenance.turn import Turn
from scheduling.maintenance.words import counted
from scheduling.models import CronRun

logger = logging.getLogger(__name__)
# A turn of deliveries ends in time for its lease. It looks for what is due whenever there is a
# place again, and else so often: where much is due that is no cheap question.
DELIVERING_SECONDS, LOOK_FOR_MORE_SECONDS = 10.0, 1.0
# What is kept from one turn to the next, and until a turn says so.
UNDER_WAY, SENT = "under way", "sent"


def deliver(turn: Turn) -> str:
    """Send the messages that are due, each as soon as there is a place for it.

    Whoever is slow keeps nobody waiting: what is under way at the end of a turn goes on, and
    `record_sent` sees to it.
    """
    until = time.monotonic() + DELIVERING_SECONDS
    while turn.goes_on() and time.monotonic() < until:
        under_way: Underway = turn.kept.get(UNDER_WAY) or Underway()
        claimed = deliveries.claim_due(turn.clock(), under_way.messages())
        if not claimed and not under_way:
            break
        turn.kept[UNDER_WAY] = under_way
        _go_on(turn, under_way, claimed)
        record_sent(turn.kept, turn.clock)
    return _delivered(turn.kept.pop(SENT, ()), len(turn.kept.get(UNDER_WAY, ())))


def _go_on(turn: Turn, under_way: Underway, claimed: Sequence[Outgoing]) -> None:
    now = turn.clock()
    patience = LOOK_FOR_MORE_SECONDS
    turn.ask(lambda transport: under_way.go_on(claimed, transport, now, patience))


def record_sent(kept: dict[str, Any], clock: Callable[[], datetime]) -> None:
    """Record what came of the messages that have been sent, whoever sends those that are due now:
    only this process knows, and once its claims have ended they would be sent again.

    What cannot be recorded because the database is away is kept, for the next time.
    """
    under_way: Underway | None = kept.get(UNDER_WAY)
    if under_way is None:
        return
    for message, result in under_way.ended():
        _record(message, result, clock())
        under_way.forget(message)
        kept.setdefault(SENT, []).append(result)
    if not under_way:
        del kept[UNDER_WAY]


def _record(message: Outgoing, result: Result, now: datetime) -> None:
    try:
        deliveries.record([(message, result)], now)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        # Whatever is odd about one, the others are recorded.
        logger.exception("What came of delivery %s cannot be recorded.", message.delivery.pk)


def _delivered(sent: Sequence[Result], under_way: int) -> str:
    taken = sum(result.taken for result in sent)
    failed = len(sent) - taken
    words = []
    if sent:
        words.append(f"{counted(taken, 'message was', 'messages were')} taken.")
    if failed:
        words.append(f"{failed:,} will be tried again or given up.")
    if under_way:
        words.append(f"{counted(under_way, 'message is', 'messages are')} under way.")
    return " ".join(words) or "Nothing was due."


def probe(turn: Turn) -> str:
    """Look at the providers that are due."""
    claimed = health.claim_due(turn.now)
    if not claimed:
        return "No provider was due."
    found = turn.ask(lambda transport: health.look_at(claimed, transport))
    now = turn.clock()
    for provider, result in found:
        health.record(provider, result, now)
    faulty = [provider.name for provider, result in found if not result.ok]
    words = f"Looked at {counted(len(found), 'provider')}"
    return f"{words}; not reached: {', '.join(faulty)}." if faulty else f"{words}: all reached."


def evaluate_alerts(turn: Turn) -> str:
    """Raise and resolve alerts."""
    raised = evaluate(turn.now)
    return f"Raised {counted(raised, 'alert')}." if raised else "Nothing new."


def sweep_kept_calls(turn: Turn) -> str:
    """Go on with what was left lying."""
    mended = kept_calls.sweep(turn.now)
    return f"Went on with {counted(mended, 'call')}." if mended else "Nothing was left lying."


def no_run_is_open(_now: datetime) -> bool:
    """Whether every run has ended: then nobody need be looked after."""
    return not CronRun.objects.filter(finished_at=None).exists()


def recover_runs(turn: Turn) -> str:
    """Look after runs that nobody looks after."""
    recovery.recover(turn.now, silence_counts=turn.silence_counts)
    return "Every run is looked after."


def sweep_holds(turn: Turn) -> str:
    """Settle what ended processes left."""
    swept = sweep_left_behind(turn.now, silence_counts=turn.silence_counts)
    under_way = f"{counted(swept.in_flight, 'call is', 'calls are')} under way."
    if not swept.settled:
        return f"Nothing was left behind; {under_way}"
    settled = f"Settled {counted(swept.settled, 'abandoned call')} as unconfirmed"
    return f"{settled}; {under_way}"
