"""What a process needs to make calls: its connection pool, its ledger thread, its snapshot.

A web process makes one `Runtime` on its event loop. A process without a loop, such as a worker,
uses `blocking_runtime`, which keeps a loop on a thread of its own.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from governance.ledger import LedgerWriter
from governance.snapshot import Snapshot, SnapshotKeeper
from providers.identifiers import new_id
from providers.transport import Transport

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One process's share of Palyra, bound to the event loop it was started on."""

    process_id: UUID
    transport: Transport
    ledger: LedgerWriter
    keeper: SnapshotKeeper

    @property
    def snapshot(self) -> Snapshot:
        """Registry, keys, policies and prices as of this moment."""
        return self.keeper.current

    @classmethod
    async def start(cls, *, role: str) -> Runtime:
        """Start the threads and read the first snapshot; from then on the process is alive."""
        process_id = new_id()
        ledger = LedgerWriter(process_id=process_id, role=role)
        runtime = cls(process_id, Transport(), ledger, SnapshotKeeper())
        try:
            await asyncio.to_thread(runtime._start_threads)
        except BaseException:
            await asyncio.to_thread(runtime.keeper.stop)
            await runtime.transport.close()
            raise
        return runtime

    def _start_threads(self) -> None:
        from django.db import connection  # noqa: PLC0415 - this thread's own, closed again below

        try:
            self.keeper.start()
            self.ledger.start()
        finally:
            connection.close()

    async def stop(self) -> None:
        """Write every pending settlement, then let go of everything."""
        await asyncio.to_thread(self.ledger.stop)
        await asyncio.to_thread(self.keeper.stop)
        await self.transport.close()


class BlockingRuntime:
    """A `Runtime` for synchronous code, on an event loop of its own."""

    def __init__(self, *, role: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="calls", daemon=True)
        self._thread.start()
        try:
            self.runtime = self._run(Runtime.start(role=role))
        except BaseException:
            # Whoever tries again while the database is away must not gather threads.
            self._end_loop()
            raise

    def _run(self, work: Coroutine[Any, Any, ResultT]) -> ResultT:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def process_id(self) -> UUID:
        """Who holds what this process holds."""
        return self.runtime.process_id

    def call(self, work: Callable[[Runtime], Awaitable[ResultT]]) -> ResultT:
        """Run `work` on the loop and wait for what it gives, or raises."""

        async def run() -> ResultT:
            return await work(self.runtime)

        return self._run(run())

    def stop(self) -> None:
        """Write what is pending and end the threads."""
        self._run(self.runtime.stop())
        self._end_loop()


_lock = threading.Lock()
_of_process: tuple[int, BlockingRuntime] | None = None


def blocking_runtime(*, role: str) -> BlockingRuntime:
    """This process's runtime, made on first use. A forked child makes one of its own."""
    global _of_process  # noqa: PLW0603 - one a process is the point
    with _lock:
        if _of_process is None or _of_process[0] != os.getpid():
            _of_process = (os.getpid(), BlockingRuntime(role=role))
        return _of_process[1]


def stop_blocking_runtime() -> None:
    """Stop this process's runtime, if it made one."""
    global _of_process  # noqa: PLW0603
    with _lock:
        if _of_process is not None and _of_process[0] == os.getpid():
            _of_process[1].stop()
        _of_process = None
