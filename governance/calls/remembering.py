"""Keeping what a call asked and was answered, where its team wants that.

Whatever goes wrong here is no matter of the call: it is answered and settled all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from governance.calls.planning import CallPlan
from governance.texts.keeper import Exchange
from governance.texts.reading import answered_text, asked_text

if TYPE_CHECKING:
    from governance.runtime import Runtime

logger = logging.getLogger(__name__)


def remembers(plan: CallPlan, runtime: Runtime) -> bool:
    """Whether the call's team wants prompts and answers to be kept, as of now."""
    team = runtime.snapshot.teams.get(plan.request.caller.team_id)
    return team is not None and team.text_days > 0


def remember(
    plan: CallPlan, runtime: Runtime, settled: Future[Any], answer: Callable[[], Any]
) -> None:
    """Have what was asked, and what `answer` gives if not None, kept once the call is settled.

    `answer` is only called where the team wants it kept.
    """
    if not remembers(plan, runtime):
        return
    try:
        said = answer()
        # Only what is kept of them: the request and the answer themselves may be large.
        exchange = Exchange(
            call_id=plan.call_id,
            team_id=plan.request.caller.team_id,
            admitted_at=plan.begun_at,
            asked=asked_text(plan.asked.role, plan.request.body),
            answered=None if said is None else answered_text(plan.asked.role, said),
        )
    except Exception:
        # Without the error: it may quote what it failed on.
        logger.warning("What call %s asked and was answered cannot be kept.", plan.call_id)
        return
    settled.add_done_callback(lambda _: runtime.texts.put(exchange))
