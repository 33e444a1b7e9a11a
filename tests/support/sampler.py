"""A witness that reads a budget window for as long as calls are made."""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

from tests.support.records import Records, Window

PAUSE = 0.002


class WindowSampler:
    """Reads a policy's window again and again in a thread of its own; `samples` is what it saw."""

    pause = PAUSE

    def __init__(self, records: Records, policy: str) -> None:
        self._records = records
        self._policy = policy
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"sampler of {policy}", daemon=True)
        self.samples: list[Window] = []

    def _run(self) -> None:
        try:
            while not self._stop.wait(self.pause):
                self.samples += self._read()
        except Exception as error:
            self._failure = error
        finally:
            self._records.close()

    def _read(self) -> list[Window]:
        return [self._records.window(self._policy)]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._failure and error is None:
            raise self._failure

    @property
    def over_limit(self) -> list[Window]:
        """The samples in which more was spent and held than allowed."""
        return [
            sample
            for sample in self.samples
            if sample.consumed + sample.held > sample.limit + sample.raised_by
        ]


class BudgetsSampler(WindowSampler):
    """Reads what every budget allows and has, all of them as of one instant each time."""

    # There is much to add up, and the machine is needed for those who spend.
    pause = 0.02

    def __init__(self, records: Records) -> None:
        super().__init__(records, "every budget")

    def _read(self) -> list[Window]:
        return self._records.windows()
