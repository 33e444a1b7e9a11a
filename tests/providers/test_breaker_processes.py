"""The real board in two processes against a model of it: at most one probe, one truth for both."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)

from providers.breakers import reset, trip
from providers.models import Breaker, Provider
from providers.registry import entry
from tests.providers.breaker_process import ANSWER, Participant
from tests.support.factories import make_provider
from tests.support.processes import ChildProcess

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]
THRESHOLD, COOLDOWN = 3, 30.0
# How long a probe may go unheard of: its provider's time limits (5 + 60) and a margin (10).
LEASE = 75.0
START = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
MINE, THEIRS = 0, 1


class OtherProcess:
    """The other process's participant."""

    def __init__(self, child: ChildProcess) -> None:
        self._child = child
        self._heard = 0
        assert self.hear() == "ready"

    def tell(self, deed: dict[str, Any]) -> None:
        """Begin a deed there."""
        self._child.write_line(json.dumps(deed))

    def hear(self) -> Any:
        """What came of the oldest deed not heard of yet."""
        said = self._child.wait_for_line(f"^{ANSWER}(.*)", after=self._heard)
        found = [number for number, line in enumerate(self._child.lines) if line.startswith(ANSWER)]
        self._heard = next(number for number in found if number >= self._heard) + 1
        return json.loads(said[1])

    def perform(self, deed: dict[str, Any]) -> Any:
        """Do it there, and wait."""
        self.tell(deed)
        return self.hear()


@dataclass(slots=True)
class Model:
    """What a breaker is supposed to be, in other words than Palyra's own."""

    in_a_row: int = 0
    # None while it is closed; else when a probe may go through next.
    closed_until: float | None = None
    probe: str | None = None
    probe_since: float = 0.0
    by_hand: bool = False

    @property
    def open(self) -> bool:
        return self.by_hand or self.closed_until is not None

    def probe_lives(self, now: float) -> bool:
        return self.probe is not None and now < self.probe_since + LEASE

    def may_probe(self, now: float) -> bool:
        return (
            self.open
            and not self.by_hand
            and self.closed_until is not None
            and now >= self.closed_until
            and not self.probe_lives(now)
        )

    def open_at(self, now: float) -> None:
        self.closed_until, self.probe = now + COOLDOWN, None

    def expected(self, now: float) -> dict[str, Any]:
        if not self.open:
            return {"verdict": "pass", "retry_at": None}
        if self.by_hand:
            return {"verdict": "refuse", "retry_at": None}
        if self.may_probe(now):
            return {"verdict": "probe", "retry_at": self.closed_until}
        if self.probe is not None:
            return {"verdict": "refuse", "retry_at": self.probe_since + LEASE}
        return {"verdict": "refuse", "retry_at": self.closed_until}


class Breakers(RuleBasedStateMachine):
    """Whatever two processes do, in whatever order, both see what the model says."""

    mine: ClassVar[Participant]
    theirs: ClassVar[OtherProcess]
    probes = Bundle("probes")
    processes = st.sampled_from([MINE, THEIRS])

    @initialize()
    def begin(self) -> None:
        Breaker.objects.all().delete()
        self.now, self.model = START, Model()
        self._see()

    def _do(self, process: int, what: str, probe: str | None = None) -> Any:
        deed = {"do": what, "at": self.now, "probe": probe}
        return self.mine.perform(deed) if process == MINE else self.theirs.perform(deed)

    def _see(self) -> tuple[Any, Any]:
        return self._do(MINE, "view"), self._do(THEIRS, "view")

    @rule(seconds=st.sampled_from([0.5, 10.0, COOLDOWN, LEASE]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(process=processes)
    def call_fails(self, process: int) -> None:
        self._do(process, "fail")
        if not self.model.open:
            self.model.in_a_row += 1
            if self.model.in_a_row >= THRESHOLD:
                self.model.open_at(self.now)

    @rule(process=processes)
    def call_succeeds(self, process: int) -> None:
        self._do(process, "succeed")
        if not self.model.open:
            self.model.in_a_row = 0

    @rule(target=probes, process=processes)
    def probe_is_claimed(self, process: int) -> Any:
        may = self.model.may_probe(self.now)
        probe = self._do(process, "claim")
        assert (probe is not None) == may
        return self._claimed(probe)

    @rule(target=probes)
    def both_claim_at_once(self) -> Any:
        may = self.model.may_probe(self.now)
        deed = {"do": "claim", "at": self.now}
        self.theirs.tell(deed)
        claims = [self.mine.perform(deed), self.theirs.hear()]
        won = [probe for probe in claims if probe is not None]
        assert len(won) == may
        return self._claimed(won[0] if won else None)

    def _claimed(self, probe: str | None) -> Any:
        if probe is None:
            return multiple()
        self.model.probe, self.model.probe_since = probe, self.now
        return probe

    @rule(process=processes, probe=probes)
    def probe_succeeds(self, process: int, probe: str) -> None:
        self._do(process, "succeed", probe)
        if probe == self.model.probe or not self.model.open:
            self.model = Model()

    @rule(process=processes, probe=probes)
    def probe_fails(self, process: int, probe: str) -> None:
        self._do(process, "fail", probe)
        if probe == self.model.probe:
            self.model.in_a_row += 1
            self.model.open_at(self.now)
        elif not self.model.open:
            self.call_counts()

    def call_counts(self) -> None:
        self.model.in_a_row += 1
        if self.model.in_a_row >= THRESHOLD:
            self.model.open_at(self.now)

    @rule(process=processes, probe=probes)
    def probe_is_given_back(self, process: int, probe: str) -> None:
        self._do(process, "give back", probe)
        if probe == self.model.probe:
            self.model.probe = None

    @rule()
    def tripped(self) -> None:
        trip(self.mine.provider.id, [self._credential], by="ada")
        self.model.by_hand, self.model.probe = True, None

    @precondition(lambda self: self.model.open)
    @rule()
    def was_reset(self) -> None:
        reset(self.mine.provider.id, [self._credential])
        self.model = Model()

    @property
    def _credential(self) -> int | None:
        return None if self.mine.credential is None else self.mine.credential.id

    @invariant()
    def both_see_the_same_truth(self) -> None:
        if hasattr(self, "model"):
            expected = self.model.expected(self.now)
            assert self._see() == (expected, expected)

    @invariant()
    def there_is_one_row(self) -> None:
        assert Breaker.objects.count() <= 1


@pytest.fixture
def provider() -> Provider:
    """One provider without a credential; which of the two a breaker is for makes no difference."""
    return make_provider(breaker_threshold=THRESHOLD, breaker_cooldown=COOLDOWN)


@pytest.fixture
def both(provider: Provider) -> Iterator[tuple[Participant, OtherProcess]]:
    """A participant here and one in a process of its own, on the same database."""
    here = Participant(entry(provider), None)
    command = [sys.executable, "-m", "tests.providers.breaker_process", str(provider.pk)]
    environment = {**os.environ, "DATABASE_URL": _test_database(), "PYTHONUNBUFFERED": "1"}
    try:
        with ChildProcess("breakers", command, environment=environment) as child:
            yield here, OtherProcess(child)
            child.close_input()
            assert child.wait() == 0
    finally:
        here.board.stop()


def _test_database() -> str:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlunsplit(urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}"))


def test_two_processes_agree_with_the_model(both: tuple[Participant, OtherProcess]) -> None:
    class Bound(Breakers):
        mine, theirs = both

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=30,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
