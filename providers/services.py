"""What a process needs to call providers; one of each, bound to its event loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection
from django.utils.crypto import salted_hmac

from providers.breakers import BreakerBoard
from providers.metrics import MetricsRecorder
from providers.response_cache import ResponseCache
from providers.transport import Transport

logger = logging.getLogger(__name__)
FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class ProviderServices:
    """The way out, who is well, what was measured, and what was answered a moment ago."""

    transport: Transport
    breakers: BreakerBoard
    metrics: MetricsRecorder
    cache: ResponseCache
    _flushing: Flushing = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_flushing", Flushing(self.metrics))

    @classmethod
    def make(cls) -> ProviderServices:
        """All of them, not started yet."""
        return cls(
            Transport(),
            BreakerBoard(),
            MetricsRecorder(),
            ResponseCache(
                redis_url=settings.PALYRA_REDIS_URL,
                # Its secret key is an installation's own, and the same in all its processes.
                installation=salted_hmac("palyra.answers", "", algorithm="sha256").hexdigest()[:32],
            ),
        )

    def start(self) -> None:
        """Begin to keep breakers fresh and metrics written: a thread of its own. Blocks once, to
        read the breakers; call it where the database may be used."""
        self.breakers.start()
        self._flushing.start()

    async def stop(self) -> None:
        """Write what is measured, and close every connection."""
        await asyncio.to_thread(self._stop_threads)
        await self.cache.close()
        await self.transport.close()

    def _stop_threads(self) -> None:
        self.breakers.stop()
        self._flushing.stop()


class Flushing:
    """Writes metrics every `FLUSH_SECONDS`, and once more at the end, on a thread of its own."""

    def __init__(self, metrics: MetricsRecorder) -> None:
        self._metrics = metrics
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._away = False

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Write the rest, and end the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(FLUSH_SECONDS):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        try:
            self._metrics.flush()
            self._away = False
        except Exception as error:
            # Whatever it was, what was counted is kept, and written the next time.
            if not self._away:
                line = str(error).partition("\n")[0] or type(error).__name__
                logger.warning("Metrics cannot be written for now: %s", line)
            self._away = True
        finally:
            connection.close()
