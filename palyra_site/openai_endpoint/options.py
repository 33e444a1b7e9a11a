"""What a client asks of Palyra itself, in its request's headers."""

from __future__ import annotations

from governance.errors import InvalidRequest
from governance.models import TaskClass
from palyra_site.openai_endpoint.requests import Request
from providers.response_cache import CacheUse

TASK_CLASS = "x-palyra-task-class"
CACHE = "x-palyra-cache"


def task_class(request: Request) -> str:
    """What the call is for. Raises `InvalidRequest` for what no task class is called."""
    name = request.header(TASK_CLASS.encode()) or TaskClass.PRIMARY_INTERACTIVE.value
    if name not in TaskClass.values:
        raise InvalidRequest(
            f"The header {TASK_CLASS} is one of {', '.join(TaskClass.values)}.", param=TASK_CLASS
        )
    return name


def cache_use(request: Request) -> CacheUse:
    """What the call may take of answers kept, and leave behind. Raises `InvalidRequest`.

    `Cache-Control` comes first: who forbids storing does not want what is stored either.
    """
    asked = request.header(CACHE.encode()).lower()
    if asked not in {"", "use"}:
        raise InvalidRequest(
            f"The header {CACHE} is “use”, or is left out. Cache-Control: no-store keeps an answer "
            "out of the cache, no-cache asks for a new one.",
            param=CACHE,
        )
    said = request.header(b"cache-control").lower()
    directives = {directive.strip() for directive in said.split(",")}
    if "no-store" in directives:
        return CacheUse.OFF
    if "no-cache" in directives:
        return CacheUse.REFRESH
    return CacheUse.ASKED if asked else CacheUse.DEFAULT
