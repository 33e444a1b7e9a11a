"""An answer of the playground by itself: without words, without an end, without a reader."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from governance.acting import Acting
from governance.calls import Caller, CallRequest
from governance.errors import ProviderFailed
from palyra_site.console.playground import sending
from palyra_site.serving import Serving, UnderWay
from tests.openai_endpoint.streams import PATIENCE, chunk


class Silent:
    """An answer of no words."""

    provider, model, cached = "here", "nice", False
    decision: Any = SimpleNamespace(explanation=())

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        yield {"choices": [{"delta": {"role": "assistant"}, "finish_reason": "stop"}]}

    async def aclose(self) -> None:
        self.closed.set()


class Failing(Silent):
    """An answer that breaks off after a word."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        yield chunk("one")
        raise self.error


class Endless(Silent):
    """An answer without an end."""

    async def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        while True:
            yield chunk("more")


NOBODY = sending.Sender(acting=Acting(actor="somebody", surface="console"), viewable=frozenset())


def _unserved() -> sending.Answer:
    call = CallRequest(caller=Caller(team_id=1, surface="console"), body={})
    return sending.Answer(call, Serving(cast(Any, None)), NOBODY)


def _opened(monkeypatch: pytest.MonkeyPatch, stream: Silent) -> None:
    async def opened(*_: Any, **__: Any) -> Silent:
        return stream

    monkeypatch.setattr(sending, "open_stream", opened)


async def test_an_answer_of_no_words_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Silent()
    _opened(monkeypatch, stream)

    said = [one async for one in _unserved()]

    assert said[-1] == sending.event("ended", note="The model answered without a word.")
    assert stream.closed.is_set()


async def test_a_browser_that_takes_nothing_any_more_has_gone_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stream = Endless()
    _opened(monkeypatch, stream)
    monkeypatch.setattr(sending, "LONGEST_STALL", 0.05)
    answer = _unserved()
    async with asyncio.timeout(PATIENCE):
        await anext(answer)
        await stream.closed.wait()
        # What had been said by then is still there for it, and then there is no more.
        rest = [one async for one in answer]

    assert len(rest) == sending.MOST_WAITING


@pytest.mark.parametrize("error", [ProviderFailed("No."), RuntimeError("No.")])
async def test_a_browser_that_has_gone_away_need_not_take_why_it_broke_off(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    _opened(monkeypatch, Failing(error))
    monkeypatch.setattr(sending, "LONGEST_STALL", 0.05)
    # Full as soon as one word was said that is not taken.
    monkeypatch.setattr(sending, "MOST_WAITING", 2)
    answer = _unserved()
    async with asyncio.timeout(PATIENCE):
        await anext(answer)
        assert answer._making is not None
        await asyncio.wait([answer._making])

    assert answer._making.exception() is None


async def test_a_timeout_of_the_call_is_not_taken_for_the_browsers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _opened(monkeypatch, Failing(TimeoutError()))

    said = [one async for one in _unserved()]

    assert said[-1].startswith(b"event: refused\n")
    assert b"Palyra failed" in said[-1]


async def test_an_answer_that_is_closed_before_it_begins_makes_no_call() -> None:
    answer = _unserved()

    answer.close()

    assert answer._making is None


async def test_a_server_does_not_wait_for_ever_for_what_will_not_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def stubborn() -> None:
        begun.set()
        while not over.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await over.wait()

    under_way = UnderWay()
    await under_way.finish(PATIENCE)
    task = under_way.begin(stubborn())
    await begun.wait()

    await under_way.finish(0.01)

    assert "1 have not ended" in caplog.text
    over.set()
    await task
