"""A breaker board in a process of its own, told what to do line by line.

Each line in is a JSON object: `do` names the deed, `at` is the time (seconds since the epoch) and
`probe` a probe's id. Each line out, after `> `, is what came of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import django

if TYPE_CHECKING:
    from providers.breakers import BreakerBoard
    from providers.registry import CredentialEntry, ProviderEntry

ANSWER = "> "


@dataclass(slots=True)
class Participant:
    """A board whose clock is told, at one provider's credential."""

    provider: ProviderEntry
    credential: CredentialEntry | None
    board: BreakerBoard = field(init=False)
    now: datetime = field(default=datetime.fromtimestamp(0, UTC))

    def __post_init__(self) -> None:
        from providers.breakers import BreakerBoard  # noqa: PLC0415 - Django must be set up before

        self.board = BreakerBoard(clock=lambda: self.now)
        self.board.start()

    def perform(self, deed: dict[str, Any]) -> Any:
        """Do what is asked and wait until it is written."""
        self.now = datetime.fromtimestamp(deed["at"], UTC)
        probe = deed.get("probe")
        doing: dict[str, Callable[[UUID | None], Any]] = {
            "view": lambda _: self._view(),
            "claim": lambda _: self._claim(),
            "succeed": lambda id_: self.board.succeeded(self.provider, self.credential, id_),
            "fail": self._fail,
            "give back": self._give_back,
        }
        result = doing[deed["do"]](None if probe is None else UUID(probe))
        asyncio.run(self.board.settled())
        return result

    def _view(self) -> dict[str, Any]:
        self.board.refresh()
        view = self.board.view(self.provider, self.credential, self.now)
        retry_at = None if view.retry_at is None else view.retry_at.timestamp()
        return {"verdict": view.verdict.value, "retry_at": retry_at}

    def _claim(self) -> str | None:
        probe = asyncio.run(self.board.claim_probe(self.provider, self.credential))
        return None if probe is None else str(probe)

    def _fail(self, probe: UUID | None) -> None:
        from providers.failures import Failure, FailureClass  # noqa: PLC0415

        failure = Failure(failure_class=FailureClass.TRANSIENT_UPSTREAM, message="Down.")
        self.board.failed(self.provider, self.credential, failure, probe)

    def _give_back(self, probe: UUID | None) -> None:
        assert probe is not None
        self.board.given_back(self.provider, self.credential, probe)


def main() -> None:
    """Serve one participant until the input ends; its entries are given as primary keys."""
    django.setup()
    from providers.models import Provider  # noqa: PLC0415 - after the setup
    from providers.registry import entry  # noqa: PLC0415

    provider = entry(Provider.objects.get(pk=int(sys.argv[1])))
    credential = provider.credentials[0] if provider.credentials else None
    participant = Participant(provider, credential)
    _say("ready")
    for line in sys.stdin:
        _say(participant.perform(json.loads(line)))
    participant.board.stop()


def _say(what: Any) -> None:
    sys.stdout.write(f"{ANSWER}{json.dumps(what)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "palyra_site.settings")
    main()
