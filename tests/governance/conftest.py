"""A runtime on the test's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import connections

from governance.runtime import Runtime
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
