"""Being asked to stop: a flag a signal handler may set while the process waits on anything."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType


class StopRequest:
    """Set by SIGTERM or SIGINT. Locks are not safe in a signal handler; a pipe is."""

    def __init__(self) -> None:
        self._readable, self._writable = os.pipe()
        os.set_blocking(self._writable, False)
        self.times_asked = 0

    def listen(self) -> None:
        """Be set by SIGTERM and SIGINT from now on. For the main thread only."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.ask()

    def ask(self) -> None:
        """Ask to stop; a second time is remembered as well."""
        self.times_asked += 1
        if self.times_asked == 1:
            os.write(self._writable, b".")

    def is_set(self) -> bool:
        """Whether anybody has asked."""
        return self.times_asked > 0

    def wait(self, seconds: float | None, *descriptors: int) -> bool:
        """Wait until asked, a descriptor can be read, or `seconds` have passed (None: for ever)."""
        timeout = None if seconds is None else max(0.0, seconds)
        select.select([self._readable, *descriptors], [], [], timeout)
        return self.is_set()
