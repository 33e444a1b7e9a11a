"""What the upstream's process was told, what it received, and how that ended."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from tests.support.faults import Behaviour

ARRIVED, ANSWERED, DISCONNECTED = "arrived", "answered", "disconnected"
CALLS = ("/chat/completions", "/embeddings", "/audio/transcriptions", "/messages")


@dataclass(slots=True)
class Exchange:
    """One request and what became of it; times are seconds of the machine's monotonic clock.

    `answered` is True once a whole and sound answer was written. `disconnected_at` is when the
    client went away before that.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: Any
    arrived_at: float
    answered: bool = False
    disconnected_at: float | None = None

    @property
    def model(self) -> str:
        return str(self.body.get("model", "")) if isinstance(self.body, dict) else ""

    @property
    def is_call(self) -> bool:
        """Whether it asks a model something, rather than for the list of models."""
        return self.path.endswith(CALLS)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class State:
    """The upstream's memory. It belongs to one event loop."""

    def __init__(self) -> None:
        self.credentials: set[str] = set()
        self.received: list[Exchange] = []
        self._behaviours: dict[str, Behaviour] = {}
        self._turns: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._number = 0
        self._changed = asyncio.Event()

    def say(self, model: str, behaviour: Behaviour) -> None:
        """Answer calls of `model` so from now on."""
        self._behaviours[model] = behaviour
        self._turns[model] = 0
        self._notify()

    def receive(
        self, method: str, path: str, headers: dict[str, str], body: Any, *, told: str = ""
    ) -> tuple[Exchange, Behaviour]:
        """Keep what arrived; how it is to be answered, as told of its model or under `told`."""
        self._number += 1
        exchange = Exchange(self._number, method, path, headers, body, time.monotonic())
        self.received.append(exchange)
        self._count(exchange, ARRIVED)
        name = told or exchange.model
        self._turns[name] += 1
        behaviour = self._behaviours.get(name, Behaviour())
        return exchange, behaviour.for_request(self._number, self._turns[name])

    def answered(self, exchange: Exchange) -> None:
        """A whole and sound answer was written."""
        exchange.answered = True
        self._count(exchange, ANSWERED)

    def disconnected(self, exchange: Exchange) -> None:
        """The client went away before its answer was complete."""
        exchange.disconnected_at = time.monotonic()
        self._count(exchange, DISCONNECTED)

    def count(self, event: str, model: str) -> int:
        """How many calls of `model` have arrived, were answered or left; of any if it is empty."""
        return self._counts[event, model]

    async def released(self, model: str) -> None:
        """Wait until calls of `model` are not held."""
        await self.until(lambda: not self._behaviours.get(model, Behaviour()).hold)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something about this state holds."""
        while not holds():
            await self._changed.wait()

    def forget(self) -> None:
        """Forget what was received."""
        self.received.clear()
        self._counts.clear()

    def _count(self, exchange: Exchange, event: str) -> None:
        """Count a call for its model and for all; lists of models are looked at now and then."""
        if exchange.is_call:
            for model in {exchange.model, ""}:
                self._counts[event, model] += 1
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
