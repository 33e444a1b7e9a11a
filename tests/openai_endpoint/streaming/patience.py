"""Streams that are opened by the tests, and how long is waited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any, cast

from governance.calls import CallRequest
from tests.openai_endpoint.streams import PATIENCE

NO_CALL = cast(CallRequest, None)


async def within(work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(PATIENCE) as patience:
        result = await work
    # Being cancelled is answered, so it would not be noticed.
    assert not patience.expired()
    return result
