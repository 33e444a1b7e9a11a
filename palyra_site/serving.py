"""What a web process has for the pages it serves: its runtime, and the answers under way.

A page under full Django reaches them through its request, so that a prompt sent from the console
takes the same way, on the same event loop, as one sent to `/v1`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest

from governance.runtime import Runtime

logger = logging.getLogger(__name__)
# Where a request's ASGI scope has it.
KEY = "palyra.serving"


class UnderWay:
    """Work that outlives its request's view: a server that stops ends it before its runtime."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do `work` in a task of its own on the running loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def finish(self, patience: float) -> None:
        """Break off what is under way, and wait for its end, but no longer than `patience`
        seconds."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        if not tasks:
            return
        _, left = await asyncio.wait(tasks, timeout=patience)
        if left:
            logger.error("Of the answers under way, %d have not ended.", len(left))


@dataclass(frozen=True, slots=True)
class Serving:
    """A web process as its pages see it."""

    runtime: Runtime
    under_way: UnderWay = field(default_factory=UnderWay)


def serving_of(request: HttpRequest) -> Serving | None:
    """The web process that serves the request; None under a server that is not `palyra web`."""
    found: Serving | None = getattr(request, "scope", {}).get(KEY)
    return found
