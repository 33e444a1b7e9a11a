"""What to do when a child process ends: a pure decision over its history."""

from __future__ import annotations

import signal
from dataclasses import dataclass

STEADY_SECONDS = 60.0
LONGEST_DELAY = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """A child since it was started (monotonic seconds), after so many short lives in a row."""

    role: str
    started_at: float
    short_lives: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restart:
    """Start the child again `delay` seconds from now; `line` says so to a person."""

    delay: float
    short_lives: int
    line: str


def on_end(life: Life, *, status: int, now: float, stopping: bool) -> Restart | None:
    """What follows the end of a life. `status` is the exit status, or minus a signal's number.

    None when everything is stopping. The first death is mended at once; a child that keeps dying
    within a minute of its start is given 1, 2, 4 … 30 seconds.
    """
    if stopping:
        return None
    lived = now - life.started_at
    short_lives = 0 if lived >= STEADY_SECONDS else life.short_lives + 1
    delay = 0.0 if short_lives <= 1 else min(2.0 ** (short_lives - 2), LONGEST_DELAY)
    when = "at once" if delay == 0 else f"in {delay:.0f} s"
    return Restart(
        delay=delay,
        short_lives=short_lives,
        line=f"{life.role} {_how(status)} after {lived:.0f} s; it is started again {when}.",
    )


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"
