"""What a client asks of Palyra itself, in its request's headers."""

from __future__ import annotations

from uuid import UUID

from governance.errors import InvalidRequest
from governance.models import RoutingMode, TaskClass
from palyra_site.openai_endpoint.requests import Request
from providers.response_cache import CacheUse

TASK_CLASS = "x-palyra-task-class"
CACHE = "x-palyra-cache"
SESSION = "x-palyra-session"
ROUTING_MODE = "x-palyra-routing-mode"
APPROVAL = "x-palyra-approval"
LONGEST_SESSION = 128
MOST_APPROVALS = 8


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


def session(request: Request) -> str:
    """The caller's own name for calls that belong together; empty if it gives none. Raises
    `InvalidRequest`."""
    name = request.header(SESSION.encode()).strip()
    if len(name) > LONGEST_SESSION or not name.isprintable() or not name.isascii():
        raise InvalidRequest(
            f"The header {SESSION} is a name of at most {LONGEST_SESSION} printable ASCII "
            "characters.",
            param=SESSION,
        )
    return name


def routing_mode(request: Request) -> str | None:
    """The routing mode that the call asks for; None if it asks for none. Raises
    `InvalidRequest`."""
    name = request.header(ROUTING_MODE.encode())
    if name and name not in RoutingMode.values:
        raise InvalidRequest(
            f"The header {ROUTING_MODE} is one of {', '.join(RoutingMode.values)}.",
            param=ROUTING_MODE,
        )
    return name or None


def approvals(request: Request) -> tuple[UUID, ...]:
    """The approvals that were given for this call, by their identifiers. Raises
    `InvalidRequest`."""
    given = [one.strip() for one in request.header(APPROVAL.encode()).split(",") if one.strip()]
    try:
        found = tuple(UUID(one) for one in given)
    except ValueError:
        found = ()
    if len(found) != len(given) or len(found) > MOST_APPROVALS:
        raise InvalidRequest(
            f"The header {APPROVAL} is the identifier of an approval, or at most {MOST_APPROVALS} "
            "of them with commas between.",
            param=APPROVAL,
        )
    return found


def respond_async(request: Request) -> bool:
    """Whether a call that needs approval is to be kept: RFC 7240, section 4.1."""
    preferences = request.header(b"prefer").lower().split(",")
    return any(one.partition(";")[0].strip() == "respond-async" for one in preferences)
