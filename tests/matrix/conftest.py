from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections

from tests.support.upstream import Upstream, start_upstream


@pytest.fixture(scope="package")
def running() -> Iterator[Upstream]:
    with start_upstream() as started:
        yield started


@pytest_asyncio.fixture
async def connections_closed() -> AsyncIterator[None]:
    """The thread behind asynchronous queries keeps its connection; the database is dropped soon."""
    yield
    await sync_to_async(connections.close_all)()
