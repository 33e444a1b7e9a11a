"""What a process needs to make calls: its connection pool, its ledger thread, its snapshot.

A web process makes one `Runtime` on its event loop. A process without a loop, such as a worker,
uses `blocking_runtime`, which keeps a loop on a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from governance.lease_line import LeaseLine
from governance.ledger import LedgerWriter, Settlement
from governance.snapshot import Snapshot, SnapshotKeeper
from governance.texts.keeper import TextKeeper
from providers.identifiers import new_id
from providers.services import ProviderServices

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Runtime:
    """One process's share of Palyra, bound to the event loop it was started on."""

    process_id: UUID
    providers: ProviderServices
    ledger: LedgerWriter
    keeper: SnapshotKeeper
    lease_line: LeaseLine
    texts: TextKeeper

    @property
    def snapshot(self) -> Snapshot:
        """Registry, keys, policies and prices as of this moment."""
        return self.keeper.current

    @classmethod
    async def start(cls, *, role: str) -> Runtime:
        """Start the threads and read the first snapshot; from then on the process is alive."""
        process_id = new_id()
        ledger = LedgerWriter(process_id=process_id, role=role)
        services, keeper = ProviderServices.make(), SnapshotKeeper()
        runtime = cls(process_id, services, ledger, keeper, LeaseLine(), TextKeeper())
        try:
            await asyncio.to_thread(runtime._start_threads)
        except BaseException:
            await asyncio.to_thread(runtime.keeper.stop)
            await runtime.providers.stop()
            raise
        return runtime

    def _start_threads(self) -> None:
        from django.db import connection  # noqa: PLC0415 - this thread's own, closed again below

        try:
            self.keeper.start()
            self.providers.start()
            self.ledger.start()
            self.texts.start()
        finally:
            connection.close()

    async def stop(self) -> None:
        """Write every pending settlement, then let go of everything."""
        await asyncio.to_thread(self.ledger.stop)
        await asyncio.to_thread(self.texts.stop)
        await asyncio.to_thread(self.keeper.stop)
        await self.providers.stop()

    def settle(self, settlement: Settlement, provider_ids: frozenset[int]) -> Future[Any]:
        """Have a call settled; whoever waits for a place at one of the providers is then told."""
        written = self.ledger.submit(settlement)
        if not provider_ids:
            return written
        loop = asyncio.get_running_loop()

        def tell(_: Future[Any]) -> None:
            # The loop may have been closed by the time the last settlement is written.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._notice, provider_ids)

        written.add_done_callback(tell)
        return written

    def _notice(self, provider_ids: Iterable[int]) -> None:
        for provider_id in provider_ids:
            self.lease_line.notice(provider_id)


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

    def begin(self, work: Callable[[Runtime], Coroutine[Any, Any, None]]) -> None:
        """Have `work` done on the loop, and do not wait for it. It must not raise."""
        asyncio.run_coroutine_threadsafe(work(self.runtime), self._loop)

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


def silence_counts() -> bool:
    """Whether this process's runtime, if it has one, was heard so steadily that the silence of
    other processes means their death."""
    found = _of_process
    return found is not None and found[1].runtime.ledger.silence_counts


def stop_blocking_runtime() -> None:
    """Stop this process's runtime, if it made one."""
    global _of_process  # noqa: PLW0603
    with _lock:
        if _of_process is not None and _of_process[0] == os.getpid():
            _of_process[1].stop()
        _of_process = None
