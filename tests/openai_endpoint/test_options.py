"""What request headers ask of Palyra itself."""

from __future__ import annotations

from typing import Any, cast

import pytest

from governance.errors import InvalidRequest
from governance.models import TaskClass
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
