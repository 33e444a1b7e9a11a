"""One attempt: what goes out, what comes of it, and that nothing else does."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import failures
from providers.attempts import open_stream, send
from providers.failures import Failure, FailureClass
from providers.redaction import MESSAGE_LENGTH, presentable
from providers.registry import ModelEntry
from providers.requests import Answer
from providers.transport import InboundAnswer, Limits
from providers.vault import MASK
from tests.providers.anthropic_reference import message
from tests.providers.entries import (
    anthropic_entry,
    chat_request,
    credential_entry,
    embeddings_request,
    model_entry,
    provider_entry,
    transcription_request,
)
from tests.providers.fake_transport import (
    BROKEN,
    COMPLETION,
    CREDENTIAL,
    KEY,
    FakeTransport,
    as_transport,
    drained,
    failed,
    remote_model,
    texts,
)

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
    assert len(shown.message) <= MESSAGE_LENGTH
    # Not even a part of it, for it was hidden before the message was cut.
    if KEY[:6] not in before + after:
        assert KEY[:6] not in shown.message
    assert (shown.failure_class, shown.http_status) == (failure.failure_class, 401)


LONG_KEY = "sk-proj-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        pytest.param(LONG_KEY, MASK, id="whole"),
        pytest.param(f"“{LONG_KEY[:20]}…” is wrong", f"“{MASK}…” is wrong", id="its beginning"),
        pytest.param(f"…{LONG_KEY[-12:]}.", f"…{MASK}.", id="its end"),
        pytest.param(f"Key {LONG_KEY[:25]}\n  {LONG_KEY[25:]}!", f"Key {MASK}!", id="wrapped"),
        pytest.param(f"{LONG_KEY} or {LONG_KEY}", f"{MASK} or {MASK}", id="twice"),
        pytest.param("ends in 6789", "ends in 6789", id="four letters tell nothing"),
    ],
)
def test_no_part_of_a_key_is_repeated(said: str, shown: str) -> None:
    failure = Failure(failure_class=FailureClass.AUTH_INVALID, message=said)
    assert presentable(failure, credential_entry(LONG_KEY)).message == shown


SIGNS = 'ab/cd+ef="gh/ij&kl<mn/op=='


@pytest.mark.parametrize(
    "spelt",
    [
        pytest.param("ab%2Fcd%2Bef%3D%22gh%2Fij%26kl%3Cmn%2Fop%3D%3D", id="in an address"),
        pytest.param("ab%2fcd%2bef%3d%22gh%2fij%26kl%3cmn%2fop%3d%3d", id="in small letters"),
        pytest.param("ab/cd%2Bef%3D%22gh/ij%26kl%3Cmn/op%3D%3D", id="in a path"),
        pytest.param('ab/cd+ef=\\"gh/ij&kl<mn/op==', id="in JSON"),
        pytest.param('ab\\/cd+ef=\\"gh\\/ij&kl<mn\\/op==', id="in JSON of a script"),
        pytest.param(
            'ab/cd\\u002bef=\\"gh/ij\\u0026kl\\u003Cmn/op\\u003d=', id="in JSON without signs"
        ),
        pytest.param("ab/cd+ef=&quot;gh/ij&amp;kl&lt;mn/op==", id="in a page"),
        pytest.param(
            "ab&#x2F;cd&#43;ef=&#34;gh&sol;ij&#38;kl&LT;mn/op==", id="in a page, by number"
        ),
    ],
)
def test_no_spelling_of_a_key_is_repeated(spelt: str) -> None:
    failure = Failure(failure_class=FailureClass.AUTH_INVALID, message=f"Key {spelt}, no.")
    assert presentable(failure, credential_entry(SIGNS)).message == f"Key {MASK}, no."


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("http://ada:secret@host/v1 is down", f"http://{MASK}@host/v1 is down"),
        ("http://ada:p@ss@host:3128 refused", f"http://{MASK}@host:3128 refused"),
        ("https://example.com?mail=a@example.com", "https://example.com?mail=a@example.com"),
        ('"Bearer sk-abcdefghijklmnopq", "error": "quota"', f'"Bearer {MASK}", "error": "quota"'),
        ("Bearer  sk-1234567890 is unknown", f"Bearer  {MASK} is unknown"),
        ('Bearer realm="https://host/v1",error="expired"',) * 2,
        ("upstream got Bearer sk-of-the-gateway-1", f"upstream got Bearer {MASK}"),
        ("bearer authentication is needed", "bearer authentication is needed"),
        ("ask ada@example.com at http://host", "ask ada@example.com at http://host"),
    ],
)
@pytest.mark.parametrize("credential", [None, CREDENTIAL])
def test_keys_that_are_not_ours_are_hidden_where_they_are_known_by_their_place(
    said: str, shown: str, credential: Any
) -> None:
    failure = Failure(failure_class=FailureClass.TRANSIENT_UPSTREAM, message=said)
    assert presentable(failure, credential).message == shown


def test_an_endless_message_takes_no_time() -> None:
    body = {"error": {"message": "a" * 2**24}}
    began = time.process_time()
    failure = failures.from_http(400, body)
    presentable(failure, credential_entry(LONG_KEY))
    assert time.process_time() - began < 0.2


@pytest.mark.parametrize("credential", [None, credential_entry(), credential_entry("")])
def test_without_a_key_there_is_nothing_to_hide(credential: Any) -> None:
    assert presentable(BROKEN, credential) == BROKEN


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
