from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections

from tests.matrix.cells import CLAUDE, make_key
from tests.matrix.house import FIRST, SECOND, House
from tests.support.faults import Behaviour
from tests.support.upstream import Upstream, start_upstream


@pytest.fixture(scope="package")
def running() -> Iterator[Upstream]:
    with start_upstream() as started:
        yield started


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    for name in (FIRST, SECOND):
        running.behave(name, Behaviour())
        running.behave(f"{CLAUDE}.{name}", Behaviour())
    running.require_credentials()
    running.forget()
    return running


@pytest.fixture
def house(transactional_db: None, upstream: Upstream) -> House:
    return House(upstream, make_key())


@pytest_asyncio.fixture
async def connections_closed() -> AsyncIterator[None]:
    """The thread behind asynchronous queries keeps its connection; the database is dropped soon."""
    yield
    await sync_to_async(connections.close_all)()
