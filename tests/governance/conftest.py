"""A runtime on the test's event loop; a store of the ledger, and who asks it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from datetime import datetime
from types import SimpleNamespace
from uuid import UUID

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections
from django.utils import timezone

from governance import kept_calls, processes
from governance.ledger import store as store_module
from governance.ledger.store import LedgerStore
from governance.runtime import Runtime
from providers.identifiers import new_id
from tests.governance.kept_calls import Told
from tests.governance.ledger_calls import Who, make_caller
from tests.governance.scenes import TwoProviders


@pytest_asyncio.fixture
async def two(transactional_db: None) -> AsyncIterator[TwoProviders]:
    """Two providers with a model each, and a runtime that knows them."""
    scene = await sync_to_async(TwoProviders)()
    scene.runtime = await Runtime.start(role="web")
    yield scene
    await scene.runtime.stop()
    # The thread behind asynchronous queries keeps its connection, and the database is dropped soon.
    await sync_to_async(connections.close_all)()


@pytest.fixture
def owner(db: None) -> UUID:
    """A process that beats."""
    process_id = new_id()
    processes.beat(process_id, "web", timezone.now())
    return process_id


@pytest.fixture
def store(owner: UUID) -> LedgerStore:
    """The ledger's store of that process."""
    return LedgerStore(owner)


@pytest.fixture
def who(db: None) -> Who:
    """A caller whom every scope counts."""
    return make_caller()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets what the store takes for the present."""

    def turn(now: datetime) -> None:
        monkeypatch.setattr(store_module, "timezone", SimpleNamespace(now=lambda: now))

    return turn


@pytest.fixture
def told(two: TwoProviders) -> Iterator[Told]:
    """Whoever is told of calls to make, in place of the workers."""
    before = list(kept_calls._tell)
    told = Told()
    kept_calls.register_teller(told)
    yield told
    kept_calls._tell[:] = before
