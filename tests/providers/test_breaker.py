"""A breaker's states, and what each event makes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from providers.breaker import (
    CLOSED,
    HALF_OPEN,
    OPEN,
    WELL,
    Settings,
    Status,
    Verdict,
    claimed,
    failed,
    given_back,
    succeeded,
    tripped,
    view,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SETTINGS = Settings(threshold=3, cooldown=timedelta(seconds=30))
RETRY_AT = NOW + timedelta(seconds=30)
LEASE = timedelta(seconds=75)
PROBE, OTHER = UUID(int=1), UUID(int=2)
HURT = Status(failures=2, failure_class="auth_invalid", message="Earlier.")
OPENED = Status(
    state=OPEN,
    failures=3,
    opened_at=NOW,
    retry_at=RETRY_AT,
    failure_class="transient_upstream",
    message="Down.",
)
PROBED = replace(OPENED, state=HALF_OPEN, probe=PROBE, probe_expires_at=RETRY_AT + LEASE)
TRIPPED = replace(HURT, state=OPEN, opened_at=NOW, tripped_by="ada")


def fail(status: Status, probe: UUID | None = None, now: datetime = NOW) -> Status:
    return failed(
        status, SETTINGS, failure_class="transient_upstream", message="Down.", now=now, probe=probe
    )


def claim(status: Status, now: datetime) -> Status | None:
    return claimed(status, OTHER, now=now, expires_at=now + LEASE)


SECOND = timedelta(seconds=1)
VIEWS = [
    ("well", WELL, NOW, Verdict.PASS, None),
    ("hurt", HURT, NOW, Verdict.PASS, None),
    ("open", OPENED, NOW, Verdict.REFUSE, RETRY_AT),
    ("nearly due", OPENED, RETRY_AT - SECOND, Verdict.REFUSE, RETRY_AT),
    ("due", OPENED, RETRY_AT, Verdict.PROBE, RETRY_AT),
    ("probed", PROBED, RETRY_AT + SECOND, Verdict.REFUSE, RETRY_AT + LEASE),
    ("probe expired", PROBED, RETRY_AT + LEASE, Verdict.PROBE, RETRY_AT),
    ("tripped", TRIPPED, NOW + timedelta(days=9), Verdict.REFUSE, None),
]


@pytest.mark.parametrize(
    ("status", "now", "verdict", "retry_at"), [row[1:] for row in VIEWS], ids=[r[0] for r in VIEWS]
)
def test_what_is_let_through(
    status: Status, now: datetime, verdict: Verdict, retry_at: datetime | None
) -> None:
    seen = view(status, now)
    assert (seen.verdict, seen.retry_at) == (verdict, retry_at)
    # It is claimed exactly where it is said that it may be.
    assert (claim(status, now) is not None) == (verdict is Verdict.PROBE)


def test_what_is_refused_says_why() -> None:
    assert view(OPENED, NOW).message == (
        "Held back for a while after 3 failures in a row. The last one: Down."
    )
    assert view(replace(OPENED, failures=1, message=""), NOW).message == (
        "Held back for a while after 1 failure in a row."
    )
    assert view(PROBED, RETRY_AT).message == (
        "Held back while one call finds out whether it is well again. The last one: Down."
    )
    assert view(TRIPPED, NOW).message == "Taken out of use by ada until it is reset."
    assert view(tripped(WELL, by="", now=NOW), NOW).message == (
        "Taken out of use by an operator until it is reset."
    )


LATER = RETRY_AT + SECOND
REOPENED = replace(OPENED, failures=4, opened_at=LATER, retry_at=LATER + SETTINGS.cooldown)
EVENTS: list[tuple[str, Status | None, Status | None]] = [
    (
        "a failure counts",
        fail(WELL),
        Status(failures=1, failure_class="transient_upstream", message="Down."),
    ),
    ("the third opens it", fail(HURT), OPENED),
    ("a late failure changes nothing", fail(OPENED, now=LATER), OPENED),
    ("not even with a probe of another time", fail(PROBED, OTHER, now=LATER), PROBED),
    ("a probe that fails opens it anew", fail(PROBED, PROBE, now=LATER), REOPENED),
    ("an answer clears what was counted", succeeded(HURT, None), WELL),
    ("a late answer changes nothing", succeeded(OPENED, None), OPENED),
    ("a probe that was replaced says nothing", succeeded(PROBED, OTHER), PROBED),
    ("nor does a call that is no probe", succeeded(PROBED, None), PROBED),
    ("a probe that succeeds closes it", succeeded(PROBED, PROBE), WELL),
    ("a probe is given back", given_back(PROBED, PROBE), OPENED),
    ("another's is not", given_back(PROBED, OTHER), PROBED),
    (
        "a probe is claimed",
        claim(OPENED, RETRY_AT),
        replace(PROBED, probe=OTHER, probe_expires_at=RETRY_AT + LEASE),
    ),
    ("tripped by hand", tripped(HURT, by="ada", now=NOW), TRIPPED),
    (
        "tripped while it is probed",
        tripped(PROBED, by="ada", now=LATER),
        replace(OPENED, opened_at=LATER, retry_at=None, tripped_by="ada"),
    ),
    ("an answer does not undo it", succeeded(TRIPPED, PROBE), TRIPPED),
    ("nor does a failure add to it", fail(TRIPPED, PROBE), TRIPPED),
    ("nor does a probe given back", given_back(TRIPPED, PROBE), TRIPPED),
]


@pytest.mark.parametrize(
    ("became", "expected"), [r[1:] for r in EVENTS], ids=[r[0] for r in EVENTS]
)
def test_what_each_event_makes_of_it(became: Status | None, expected: Status | None) -> None:
    assert became == expected


def test_a_threshold_of_one_opens_at_once() -> None:
    opened = failed(
        WELL,
        Settings(1, timedelta(seconds=5)),
        failure_class="auth_invalid",
        message="No.",
        now=NOW,
        probe=None,
    )
    assert (opened.state, opened.retry_at) == (OPEN, NOW + timedelta(seconds=5))
    assert WELL.state == CLOSED
