"""What request headers ask of Palyra itself."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import pytest

from governance.errors import InvalidRequest
from governance.models import RoutingMode, TaskClass
from palyra_site.openai_endpoint import options
from palyra_site.openai_endpoint.requests import Request
from providers.response_cache import CacheUse


def asked(**headers: str) -> Request:
    """A request with headers; an underscore stands for a hyphen."""
    raw = {name.replace("_", "-").encode(): text.encode() for name, text in headers.items()}
    nothing = cast(Any, None)
    return Request("/v1/chat/completions", raw, nothing, nothing, nothing, 1000)


@pytest.mark.parametrize(
    ("headers", "use"),
    [
        ({}, CacheUse.DEFAULT),
        ({"cache_control": "max-age=0"}, CacheUse.DEFAULT),
        ({"cache_control": "no-store"}, CacheUse.OFF),
        ({"cache_control": "No-Store"}, CacheUse.OFF),
        ({"cache_control": "no-cache, no-store"}, CacheUse.OFF),
        ({"cache_control": "no-cache"}, CacheUse.REFRESH),
        ({"cache_control": "private,no-cache"}, CacheUse.REFRESH),
        ({"x_palyra_cache": "use"}, CacheUse.ASKED),
        ({"x_palyra_cache": " USE "}, CacheUse.ASKED),
        ({"x_palyra_cache": "use", "cache_control": "no-cache"}, CacheUse.REFRESH),
        ({"x_palyra_cache": "use", "cache_control": "no-store"}, CacheUse.OFF),
    ],
)
def test_the_cache_is_used_as_asked(headers: dict[str, str], use: CacheUse) -> None:
    assert options.cache_use(asked(**headers)) is use


def test_what_cannot_be_asked_of_the_cache_is_refused() -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.cache_use(asked(x_palyra_cache="always"))
    assert caught.value.param == "x-palyra-cache"


@pytest.mark.parametrize("name", TaskClass.values)
def test_every_task_class_may_be_named(name: str) -> None:
    assert options.task_class(asked(x_palyra_task_class=f" {name} ")) == name


def test_without_a_word_a_call_is_interactive() -> None:
    assert options.task_class(asked()) == "primary_interactive"


def test_an_unknown_task_class_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.task_class(asked(x_palyra_task_class="urgent"))
    assert caught.value.param == "x-palyra-task-class"
    assert all(name in caught.value.message for name in TaskClass.values)


def test_calls_that_belong_together_have_a_name() -> None:
    assert options.session(asked(x_palyra_session=" invoices-7 ")) == "invoices-7"
    assert options.session(asked()) == ""


@pytest.mark.parametrize("name", ["x" * 129, "tab\tbed", "nul\0", "Grüße", "二"])
def test_a_session_is_a_short_plain_name(name: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.session(asked(x_palyra_session=name))
    assert caught.value.param == "x-palyra-session"


@pytest.mark.parametrize("name", RoutingMode.values)
def test_every_routing_mode_may_be_asked_for(name: str) -> None:
    assert options.routing_mode(asked(x_palyra_routing_mode=name)) == name


def test_an_unknown_routing_mode_is_refused_and_the_known_ones_are_named() -> None:
    assert options.routing_mode(asked()) is None
    with pytest.raises(InvalidRequest) as caught:
        options.routing_mode(asked(x_palyra_routing_mode="cheapest"))
    assert caught.value.param == "x-palyra-routing-mode"
    assert all(name in caught.value.message for name in RoutingMode.values)


ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", ()),
        (str(ONE), (ONE,)),
        (f"{ONE}, {OTHER}", (ONE, OTHER)),
        (f" ,{ONE},", (ONE,)),
        (",".join([str(ONE)] * 8), (ONE,) * 8),
    ],
)
def test_approvals_are_named_by_their_identifiers(text: str, found: tuple[UUID, ...]) -> None:
    assert options.approvals(asked(x_palyra_approval=text)) == found


@pytest.mark.parametrize("text", ["yes", f"{ONE} {OTHER}", f"{ONE},no", ",".join([str(ONE)] * 9)])
def test_what_is_no_approval_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        options.approvals(asked(x_palyra_approval=text))
    assert caught.value.param == "x-palyra-approval"


@pytest.mark.parametrize(
    ("prefer", "waits"),
    [
        ("", False),
        ("respond-async", True),
        ("Respond-Async, wait=10", True),
        ("return=minimal; foo=bar , respond-async; x=1", True),
        ("wait=10", False),
        ("respond-asynchronously", False),
    ],
)
def test_a_client_says_whether_it_may_wait(prefer: str, waits: bool) -> None:
    assert options.respond_async(asked(prefer=prefer)) is waits
