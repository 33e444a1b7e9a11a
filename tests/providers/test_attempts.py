"""One attempt: what goes out, what comes of it, and that nothing else does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import attempts
from providers.attempts import ChunkStream, StreamBroken, open_stream, presentable, send
from providers.failures import Failure, FailureClass
from providers.registry import ModelEntry
from providers.requests import Answer, ChatRequest, Chunk
from providers.sse import ServerSentEvent
from providers.transport import InboundAnswer, Limits, OutboundRequest, Transport, TransportFailed
from providers.usage import Usage
from providers.vault import MASK
from tests.providers.anthropic_reference import events_of, message, sent_event
from tests.providers.entries import (
    anthropic_entry,
    chat_request,
    credential_entry,
    embeddings_request,
    model_entry,
    provider_entry,
    remote_entry,
    transcription_request,
)

KEY = "sk-very-secret"
CREDENTIAL = credential_entry(KEY)
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "up",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hi."},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
}
BROKEN = Failure(failure_class=FailureClass.NETWORK_UNAVAILABLE, message="Broken.")
EVENTS = {"content-type": "text/event-stream; charset=utf-8"}


@dataclass
class FakeStream:
    """An answer whose head has come. An event that is a failure is where it breaks."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(EVENTS))
    coming: Sequence[ServerSentEvent | Failure] = ()
    answer: Any = None
    lingers: bool = False
    read_fails: Failure | None = None
    closed: int = 0
    exhausted: bool = False

    async def read(self) -> InboundAnswer:
        if self.read_fails is not None:
            raise TransportFailed(self.read_fails)
        return InboundAnswer(self.status, self.answer, self.headers)

    async def events(self) -> AsyncIterator[ServerSentEvent]:
        for event in self.coming:
            if isinstance(event, Failure):
                raise TransportFailed(event)
            yield event
        if self.lingers:
            await asyncio.Event().wait()
        self.exhausted = True

    async def aclose(self) -> None:
        self.closed += 1


@dataclass
class FakeTransport:
    """Answers as it is told to, and keeps what it was sent."""

    answer: InboundAnswer | Failure = field(
        default_factory=lambda: InboundAnswer(200, orjson.loads(orjson.dumps(COMPLETION)))
    )
    stream: FakeStream | Failure = field(default_factory=FakeStream)
    sent: list[tuple[OutboundRequest, Limits]] = field(default_factory=list)

    async def send(self, request: OutboundRequest, limits: Limits) -> InboundAnswer:
        self.sent.append((request, limits))
        if isinstance(self.answer, Failure):
            raise TransportFailed(self.answer)
        return self.answer

    async def open(self, request: OutboundRequest, limits: Limits) -> FakeStream:
        self.sent.append((request, limits))
        if isinstance(self.stream, Failure):
            raise TransportFailed(self.stream)
        return self.stream


def as_transport(fake: FakeTransport) -> Transport:
    return cast(Transport, fake)


def remote_model(**fields: Any) -> ModelEntry:
    provider = remote_entry("https://models.example.com/v1", **fields)
    return model_entry(provider, name="nice", upstream_name="up")


def remote_request(**body: Any) -> ChatRequest:
    return chat_request(remote_model(), **body)


async def failed(fake: FakeTransport, request: Any = None, credential: Any = CREDENTIAL) -> Failure:
    outcome = await send(request or remote_request(), credential, as_transport(fake))
    assert isinstance(outcome, Failure)
    return outcome


def event(data: Any) -> ServerSentEvent:
    return ServerSentEvent("", data if isinstance(data, str) else orjson.dumps(data).decode())


def chunk(content: str, finish: str | None = None) -> ServerSentEvent:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return event({"id": "c", "object": "chat.completion.chunk", "choices": [choice]})


DONE = event("[DONE]")


async def opened(stream: FakeStream, request: ChatRequest | None = None) -> ChunkStream:
    fake = FakeTransport(stream=stream)
    request = request or remote_request(stream=True)
    found = await open_stream(request, CREDENTIAL, as_transport(fake))
    assert not isinstance(found, Failure)
    return found


async def not_opened(stream: FakeStream | Failure) -> Failure:
    fake = FakeTransport(stream=stream)
    found = await open_stream(remote_request(stream=True), CREDENTIAL, as_transport(fake))
    assert isinstance(found, Failure)
    return found


async def drained(stream: ChunkStream) -> list[Chunk]:
    return [one async for one in stream]


def texts(chunks: list[Chunk]) -> list[str]:
    return [
        choice["delta"]["content"]
        for one in chunks
        for choice in one.body["choices"]
        if choice["delta"].get("content")
    ]


# --- Whole answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "path", "header", "answer"),
    [
        (remote_model(), "/chat/completions", ("authorization", f"Bearer {KEY}"), COMPLETION),
        (
            model_entry(anthropic_entry()),
            "/messages",
            ("x-api-key", KEY),
            message({"type": "text", "text": "Hi."}),
        ),
    ],
)
async def test_the_providers_kind_chooses_the_protocol(
    model: ModelEntry, path: str, header: tuple[str, str], answer: dict[str, Any]
) -> None:
    fake = FakeTransport(answer=InboundAnswer(200, orjson.loads(orjson.dumps(answer))))
    outcome = await send(chat_request(model), CREDENTIAL, as_transport(fake))
    assert isinstance(outcome, Answer)
    assert outcome.body["choices"][0]["message"]["content"] == "Hi."
    ((outbound, _),) = fake.sent
    assert outbound.url == model.provider.base_url + path
    assert outbound.headers[header[0]] == header[1]


async def test_other_roles_take_their_way() -> None:
    fake = FakeTransport(answer=InboundAnswer(200, {"text": "Hi."}))
    outcome = await send(transcription_request(remote_model()), None, as_transport(fake))
    assert isinstance(outcome, Answer)
    fake.answer = InboundAnswer(200, {"data": [{"embedding": [1.0]}]})
    outcome = await send(embeddings_request(remote_model()), None, as_transport(fake))
    assert isinstance(outcome, Answer)
    assert [outbound.url.rpartition("/v1")[2] for outbound, _ in fake.sent] == [
        "/audio/transcriptions",
        "/embeddings",
    ]
    assert not any("authorization" in outbound.headers for outbound, _ in fake.sent)


async def test_the_providers_limits_are_kept() -> None:
    model = remote_model(connect_timeout=1, first_token_timeout=2, total_timeout=3)
    fake = FakeTransport()
    await send(chat_request(model), None, as_transport(fake))
    await open_stream(chat_request(model, stream=True), None, as_transport(fake))
    assert [limits for _, limits in fake.sent] == [
        Limits(connect=1, total=3, allow_private=True),
        Limits(connect=1, total=3, first_byte=2, allow_private=True),
    ]


async def test_what_the_transport_cannot_do_is_a_failure() -> None:
    assert await failed(FakeTransport(answer=BROKEN)) == BROKEN


@pytest.mark.parametrize("model", [remote_model(), model_entry(), model_entry(anthropic_entry())])
async def test_with_a_faulty_credential_nothing_is_sent(model: ModelEntry) -> None:
    fake, broken = FakeTransport(), credential_entry(fault="The secret\ncannot be read.")
    for outcome in (
        await send(chat_request(model), broken, as_transport(fake)),
        await open_stream(chat_request(model, stream=True), broken, as_transport(fake)),
    ):
        assert isinstance(outcome, Failure)
        assert outcome.failure_class is FailureClass.AUTH_INVALID
        assert outcome.message == "The secret cannot be read."
    assert fake.sent == []


async def test_what_cannot_be_said_is_not_sent_and_is_the_callers() -> None:
    fake = FakeTransport()
    request = embeddings_request(model_entry(anthropic_entry()))
    failure = await failed(fake, request)
    assert failure.callers_fault
    streamed = chat_request(model_entry(anthropic_entry()), stream=True, n=2)
    assert isinstance(await open_stream(streamed, None, as_transport(fake)), Failure)
    assert fake.sent == []


async def test_a_date_to_wait_for_is_counted_from_now() -> None:
    headers = {"retry-after": "Fri, 01 Jan 2100 00:00:00 GMT"}
    failure = await failed(FakeTransport(answer=InboundAnswer(429, None, headers)))
    assert failure.retry_after is not None
    assert failure.retry_after > 10**9


# --- Messages -------------------------------------------------------------------------------------


async def test_a_host_that_repeats_the_key_is_not_repeated() -> None:
    said = {"error": {"message": f"Key {KEY} is wrong.\nTry\x00another."}}
    failure = await failed(FakeTransport(answer=InboundAnswer(401, said)))
    assert failure.message == f"The provider answered 401: Key {MASK} is wrong. Try another."


@given(before=st.text(max_size=500), after=st.text(max_size=500))
def test_messages_are_one_short_printable_line_without_the_key(before: str, after: str) -> None:
    failure = Failure(
        failure_class=FailureClass.AUTH_INVALID, message=f"{before}{KEY}{after}", http_status=401
    )
    shown = presentable(failure, CREDENTIAL)
    assert shown.message.isprintable()
    assert len(shown.message) <= attempts.MESSAGE_LENGTH
    # Not even a part of it, for it was hidden before the message was cut.
    if KEY[:6] not in before + after:
        assert KEY[:6] not in shown.message
    assert (shown.failure_class, shown.http_status) == (failure.failure_class, 401)


@pytest.mark.parametrize("credential", [None, credential_entry(), credential_entry("")])
def test_without_a_key_there_is_nothing_to_hide(credential: Any) -> None:
    assert presentable(BROKEN, credential) == BROKEN


# --- Streams --------------------------------------------------------------------------------------


async def test_events_are_chunks() -> None:
    source = FakeStream(coming=[chunk("Hi "), chunk("there."), chunk("", "stop"), DONE])
    stream = await opened(source)
    chunks = await drained(stream)
    assert texts(chunks) == ["Hi ", "there."]
    assert {one.body["model"] for one in chunks} == {"nice"}
    assert source.exhausted
    await stream.aclose()
    assert source.closed == 1


async def test_usage_is_known_as_soon_as_it_is_reported() -> None:
    usage = event({"choices": [], "usage": COMPLETION["usage"]})
    stream = await opened(FakeStream(coming=[chunk("Hi", "stop"), usage, DONE]))
    await anext(stream)
    assert stream.usage is None
    assert (await anext(stream)).usage_only
    assert stream.usage == Usage(uncached_input=3, output=2)


async def test_anthropics_events_are_chunks() -> None:
    events = [sent_event(one) for one in events_of(message({"type": "text", "text": "Hi you."}))]
    request = chat_request(model_entry(anthropic_entry()), stream=True)
    stream = await opened(FakeStream(coming=events), request)
    assert "".join(texts(await drained(stream))) == "Hi you."
    assert stream.usage == Usage(uncached_input=10, output=5)


@pytest.mark.parametrize("media_type", ["", "text/plain", "TEXT/EVENT-STREAM", "text/event-stream"])
async def test_some_hosts_label_their_events_badly(media_type: str) -> None:
    source = FakeStream(headers={"content-type": media_type}, coming=[chunk("Hi", "stop"), DONE])
    assert texts(await drained(await opened(source))) == ["Hi"]


async def test_a_host_that_does_not_hang_up_after_the_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(attempts, "DRAIN_SECONDS", 0.01)
    source = FakeStream(coming=[chunk("Hi", "stop"), DONE], lingers=True)
    stream = await opened(source)
    async with asyncio.timeout(5):
        assert texts(await drained(stream)) == ["Hi"]


@pytest.mark.parametrize(
    ("coming", "failure_class"),
    [
        pytest.param([chunk("Hi")], FailureClass.MALFORMED_RESPONSE, id="ends too soon"),
        pytest.param([chunk("Hi"), BROKEN], FailureClass.NETWORK_UNAVAILABLE, id="breaks"),
        pytest.param(
            [chunk("Hi"), event({"error": {"message": KEY}})],
            FailureClass.TRANSIENT_UPSTREAM,
            id="an error",
        ),
        pytest.param([chunk("Hi"), event("x")], FailureClass.MALFORMED_RESPONSE, id="nonsense"),
    ],
)
async def test_a_stream_that_breaks_off_raises_after_what_came(
    coming: list[Any], failure_class: FailureClass
) -> None:
    stream = await opened(FakeStream(coming=coming))
    assert (await anext(stream)).substance
    with pytest.raises(StreamBroken) as caught:
        await anext(stream)
    assert caught.value.failure.failure_class is failure_class
    assert KEY not in caught.value.failure.message
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_a_stream_of_nothing_is_broken() -> None:
    stream = await opened(FakeStream(coming=[DONE]))
    with pytest.raises(StreamBroken):
        await anext(stream)


async def test_what_breaks_after_the_answer_takes_nothing_away_from_it() -> None:
    without_done = FakeStream(coming=[chunk("Hi", "stop"), BROKEN])
    after_done = FakeStream(coming=[chunk("Hi", "stop"), DONE, BROKEN])
    for source in (without_done, after_done):
        assert texts(await drained(await opened(source))) == ["Hi"]


async def test_a_closed_stream_gives_nothing_more() -> None:
    source = FakeStream(coming=[chunk("Hi"), chunk("there")])
    stream = await opened(source)
    await anext(stream)
    await stream.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert source.closed == 1


# --- Streams that are none ------------------------------------------------------------------------

JSON = {"content-type": "application/json"}


async def test_an_error_is_a_failure_and_the_stream_is_closed() -> None:
    body = {"error": {"message": f"Not with {KEY}."}}
    source = FakeStream(403, JSON, answer=body)
    failure = await not_opened(source)
    assert failure.failure_class is FailureClass.PERMISSION_DENIED
    assert failure.message == f"The provider answered 403: Not with {MASK}."
    assert source.closed == 1


async def test_an_error_labelled_as_events_is_still_an_error() -> None:
    assert (await not_opened(FakeStream(500))).failure_class is FailureClass.TRANSIENT_UPSTREAM


async def test_a_host_that_does_not_stream_is_taken_at_its_word() -> None:
    source = FakeStream(200, JSON, answer=orjson.loads(orjson.dumps(COMPLETION)))
    stream = await opened(source)
    chunks = await drained(stream)
    assert texts(chunks) == ["Hi."]
    assert chunks[1].body["choices"][0]["finish_reason"] == "stop"
    assert chunks[-1].usage_only
    assert {one.body["object"] for one in chunks} == {"chat.completion.chunk"}
    assert stream.usage == Usage(uncached_input=3, output=2)
    assert source.closed == 1
    await stream.aclose()


@pytest.mark.parametrize("answer", [None, {}, {"choices": []}])
async def test_anything_else_is_malformed(answer: Any) -> None:
    failure = await not_opened(FakeStream(200, JSON, answer=answer))
    assert failure.failure_class is FailureClass.MALFORMED_RESPONSE
    assert failure.may_be_billed


async def test_a_stream_that_cannot_be_opened_or_read() -> None:
    assert await not_opened(BROKEN) == BROKEN
    source = FakeStream(500, JSON, read_fails=BROKEN)
    assert await not_opened(source) == BROKEN
    assert source.closed == 1


# --- Without a network ----------------------------------------------------------------------------


async def test_the_deterministic_kind_answers_whole_and_in_pieces() -> None:
    fake = as_transport(FakeTransport())
    whole = await send(chat_request(), None, fake)
    assert isinstance(whole, Answer)
    model = model_entry(provider_entry(rehearsal_failure_percent=100))
    for outcome in (
        await send(chat_request(model), None, fake),
        await open_stream(chat_request(model, stream=True), None, fake),
    ):
        assert isinstance(outcome, Failure)
        assert outcome.http_status == 503


async def test_the_pieces_of_the_deterministic_kind_make_its_answer() -> None:
    fake, model = as_transport(FakeTransport()), model_entry()
    whole = await send(chat_request(model), None, fake)
    stream = await open_stream(chat_request(model, stream=True), None, fake)
    assert isinstance(whole, Answer)
    assert not isinstance(stream, Failure)
    chunks = await drained(stream)
    assert "".join(texts(chunks)) == whole.body["choices"][0]["message"]["content"]
    assert stream.usage == whole.usage
