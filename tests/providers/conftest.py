"""The way out, for whoever asks hosts that the tests serve."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio

from providers.transport import Transport


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    await made.close()
