"""Making a call: whatever the provider does is an outcome, and no outcome shows a key."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import asdict

import pytest_asyncio

from providers.failures import Failure, FailureClass
from providers.invocation import MESSAGE_LENGTH, invoke
from providers.requests import Answer, ChatRequest
from providers.transport import Transport
from providers.vault import MASK
from tests.providers.entries import chat_request, model_entry, provider_entry, remote_entry
from tests.providers.test_openai_compatible import completion
from tests.providers.wire import Behaviour, Exchange, serving

KEY = "sk-this-is-the-key-itself"


@pytest_asyncio.fixture
async def transport() -> AsyncIterator[Transport]:
    made = Transport()
    yield made
    await made.close()


def refusing(message: str) -> Behaviour:
    async def refuse(exchange: Exchange) -> None:
        await exchange.answer(401, {"error": {"message": message, "code": "invalid_api_key"}})

    return refuse


async def failure_of(request: ChatRequest, transport: Transport) -> Failure:
    invocation = await invoke(request, transport)
    assert isinstance(invocation.outcome, Failure)
    (attempt,) = invocation.attempts
    assert (attempt.outcome, attempt.message) == ("failed", invocation.outcome.message)
    assert attempt.failure_class == invocation.outcome.failure_class
    assert attempt.as_json() == asdict(attempt)
    return invocation.outcome


async def test_an_answer_is_one_answered_attempt(transport: Transport) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.answer(200, completion())

    async with serving(answer) as wire:
        model = model_entry(remote_entry(wire.base_url, key=KEY), name="nice")
        invocation = await invoke(chat_request(model), transport)

    assert isinstance(invocation.outcome, Answer)
    (attempt,) = invocation.attempts
    assert (attempt.provider, attempt.model) == (model.provider.name, "nice")
    assert (attempt.outcome, attempt.failure_class, attempt.message) == ("answered", "", "")
    assert attempt.latency_ms >= 0
    assert wire.received[0].header("authorization") == f"Bearer {KEY}"


async def test_a_key_that_the_host_repeats_is_masked(transport: Transport) -> None:
    async with serving(refusing(f"Incorrect API key provided: {KEY}. Again: {KEY}")) as wire:
        request = chat_request(model_entry(remote_entry(wire.base_url, key=KEY)))
        failure = await failure_of(request, transport)
    assert failure.failure_class is FailureClass.AUTH_INVALID
    assert failure.message.count(MASK) == 2
    assert KEY not in failure.message


async def test_a_long_message_is_never_cut_inside_a_key(transport: Transport) -> None:
    lengths = range(MESSAGE_LENGTH - 60, MESSAGE_LENGTH)
    said = iter(["x" * before + KEY + "y" * 900 for before in lengths])

    async def refuse(exchange: Exchange) -> None:
        await refusing(next(said))(exchange)

    async with serving(refuse) as wire:
        request = chat_request(model_entry(remote_entry(wire.base_url, key=KEY)))
        messages = [(await failure_of(request, transport)).message for _ in lengths]
    assert {len(message) for message in messages} == {MESSAGE_LENGTH}
    assert not any(KEY[:4] in message for message in messages)


async def test_what_cannot_be_stored_or_logged_is_left_out(transport: Transport) -> None:
    async with serving(refusing("First.\nSecond.\x00\x1b[31mRed")) as wire:
        request = chat_request(model_entry(remote_entry(wire.base_url, key=KEY)))
        failure = await failure_of(request, transport)
    assert failure.message == "The provider answered 401: First. Second.  [31mRed"


async def test_an_empty_credential_masks_nothing(transport: Transport) -> None:
    async with serving(refusing("Say who you are.")) as wire:
        request = chat_request(model_entry(remote_entry(wire.base_url, key="")))
        failure = await failure_of(request, transport)
    assert failure.message == "The provider answered 401: Say who you are."


async def test_a_credential_that_cannot_be_read_is_never_used(transport: Transport) -> None:
    async def never(exchange: Exchange) -> None:
        raise AssertionError("the provider was asked")

    async with serving(never) as wire:
        provider = remote_entry(wire.base_url, credential_fault="The vault's key is another.")
        failure = await failure_of(chat_request(model_entry(provider)), transport)
        assert wire.received == []
    assert failure.failure_class is FailureClass.AUTH_INVALID
    assert failure.message == "The vault's key is another."
    assert not failure.may_be_billed


async def test_a_rehearsed_failure_is_an_outcome_too(transport: Transport) -> None:
    model = model_entry(provider_entry(rehearsal_failure_percent=100))
    failure = await failure_of(chat_request(model), transport)
    assert (failure.failure_class, failure.http_status) == (FailureClass.TRANSIENT_UPSTREAM, 503)
