"""What a process needs to call providers; one of each, bound to its event loop."""

from __future__ import annotations

from dataclasses import dataclass

from providers.breakers import BreakerBoard
from providers.metrics import MetricsRecorder
from providers.response_cache import ResponseCache
from providers.transport import Transport


@dataclass(frozen=True, slots=True)
class ProviderServices:
    """The way out, who is well, what was measured, and what was answered a moment ago."""

    transport: Transport
    breakers: BreakerBoard
    metrics: MetricsRecorder
    cache: ResponseCache

    @classmethod
    def make(cls) -> ProviderServices:
        """All of them, not started yet."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin to keep breakers fresh and metrics written: a thread of its own. Blocks once, to
        read the breakers; call it where the database may be used."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Write what is measured, and close every connection."""
        raise NotImplementedError
