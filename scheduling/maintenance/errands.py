"""Upkeep that is due every few seconds. Claims, and keys that are open once, make each thing happen
once even where a lease ended and two processes are at it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime

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

# A turn of deliveries ends in time for its lease; it looks so often for what becomes due meanwhile.
DELIVERING_SECONDS, LOOK_FOR_MORE_SECONDS = 10.0, 0.25
UNDER_WAY = "under way"


def deliver(turn: Turn) -> str:
    """Send the messages that are due, each as soon as there is a place for it.

    Whoever is slow keeps nobody waiting: what is under way at the end of a turn goes on, and is
    looked after in the next.
    """
    under_way: Underway = turn.kept.setdefault(UNDER_WAY, Underway())
    # What has ended since the last turn is recorded before it might be claimed anew.
    sent = _go_on(turn, under_way, [], patience=0.0) if under_way else []
    until = time.monotonic() + DELIVERING_SECONDS
    while turn.goes_on() and time.monotonic() < until:
        claimed = deliveries.claim_due(turn.clock(), under_way.lines())
        if not claimed and not under_way:
            break
        sent += _go_on(turn, under_way, claimed, LOOK_FOR_MORE_SECONDS)
    if not under_way:
        del turn.kept[UNDER_WAY]
    return _delivered(sent, len(under_way))


def _go_on(
    turn: Turn, under_way: Underway, claimed: Sequence[Outgoing], patience: float
) -> list[Result]:
    """Send on for a moment, and record what came of those that were sent."""
    now = turn.clock()
    sent = turn.ask(lambda transport: under_way.go_on(claimed, transport, now, patience))
    deliveries.record(sent, turn.clock())
    return [result for _, result in sent]


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
