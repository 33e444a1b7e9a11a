"""Upkeep that is due every few seconds. Claims, and keys that are open once, make each thing happen
once even where a lease ended and two processes are at it.
"""

from __future__ import annotations

from datetime import datetime

from governance import kept_calls
from governance.alerts import deliveries
from governance.alerts.evaluation import evaluate
from governance.ledger import sweep_left_behind
from providers import health
from scheduling import recovery
from scheduling.maintenance.turn import Turn
from scheduling.maintenance.words import counted
from scheduling.models import CronRun


def deliver(turn: Turn) -> str:
    """Send the messages that are due, a bounded number at once."""
    claimed = deliveries.claim_due(turn.now)
    if not claimed:
        return "Nothing was due."
    sent = turn.ask(lambda transport: deliveries.send_all(claimed, transport, turn.now))
    deliveries.record(sent, turn.clock())
    taken = sum(result.taken for _, result in sent)
    failed = len(sent) - taken
    words = f"{counted(taken, 'message was', 'messages were')} taken."
    return f"{words} {failed:,} will be tried again or given up." if failed else words


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
