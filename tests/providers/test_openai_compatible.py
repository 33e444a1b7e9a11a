"""OpenAI's protocol on the wire: what is sent, and what an answer stands for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.adapters import Untranslatable, openai_compatible
from providers.failures import Failure, FailureClass
from providers.requests import Answer, ChatRequest, Outcome
from providers.transport import InboundAnswer, OutboundRequest
from providers.usage import Usage
from providers.vault import SecretText
from tests.providers.entries import chat_request, model_entry, question, remote_entry

BASE_URL = "https://models.example.com/v1"
OPENAI = "https://api.openai.com/v1"
CAPS = ("max_tokens", "max_completion_tokens")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def request_to(base_url: str = BASE_URL, *, cap_field: str = "", **body: Any) -> ChatRequest:
    provider = remote_entry(base_url, output_cap_field=cap_field)
    model = model_entry(provider, name="nice", upstream_name="vendor/nice-1")
    return chat_request(model, **body)


def encode(request: ChatRequest, key: str | None = None) -> OutboundRequest:
    return openai_compatible.encode(request, None if key is None else SecretText(key))


def decode(inbound: InboundAnswer, request: ChatRequest) -> Outcome:
    return openai_compatible.decode(inbound, request, now=NOW)


def sent(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(encode(request).body)
    return body


def test_everything_else_is_passed_on_as_it_is() -> None:
    asked: dict[str, Any] = {
        "messages": question("Hello."),
        "temperature": 0.3,
        "seed": None,
        "tools": [
            {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
        ],
        "something_new": {"nested": [1, 2.5, "three", None]},
    }
    body = sent(request_to(**asked, output_cap=50))
    assert body == {**asked, "model": "vendor/nice-1", "max_tokens": 50}


def test_it_goes_to_the_chat_path_below_the_base_url() -> None:
    outbound = encode(request_to())
    assert outbound.url == f"{BASE_URL}/chat/completions"
    assert outbound.headers["content-type"] == "application/json"


def test_the_key_is_in_its_header_and_nowhere_else() -> None:
    outbound = encode(request_to(), "sk-very-secret")
    assert outbound.headers["authorization"] == "Bearer sk-very-secret"
    others = {name: value for name, value in outbound.headers.items() if name != "authorization"}
    assert b"sk-very-secret" not in outbound.body + repr((outbound.url, others)).encode()
    assert "sk-very-secret" not in repr(outbound)


def test_without_a_credential_no_header_is_sent() -> None:
    assert "authorization" not in encode(request_to()).headers


@pytest.mark.parametrize(
    ("base_url", "obeyed"),
    [
        (OPENAI, "max_completion_tokens"),
        ("https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("https://ours.openai.azure.com/openai/v1", "max_completion_tokens"),
        ("https://models.example.com/v1", "max_tokens"),
        ("http://127.0.0.1:11434/v1", "max_tokens"),
        ("https://api.openai.com.example.com/v1", "max_tokens"),
    ],
)
@pytest.mark.parametrize(
    "asked", [{}, {"max_tokens": 7}, {"max_completion_tokens": 7}, dict.fromkeys(CAPS, 7)]
)
def test_the_cap_goes_under_the_one_name_the_host_obeys(
    base_url: str, obeyed: str, asked: dict[str, Any]
) -> None:
    body = sent(request_to(base_url, output_cap=7, **asked))
    assert {name: body[name] for name in CAPS if name in body} == {obeyed: 7}


@pytest.mark.parametrize("base_url", [BASE_URL, OPENAI])
@pytest.mark.parametrize("obeyed", CAPS)
def test_an_operator_says_which_name_the_host_obeys(base_url: str, obeyed: str) -> None:
    body = sent(request_to(base_url, cap_field=obeyed, output_cap=7, max_tokens=9))
    assert {name: body[name] for name in CAPS if name in body} == {obeyed: 7}


@pytest.mark.parametrize(
    ("asked", "sent_on"),
    [
        pytest.param({}, {"include_usage": True}, id="nothing said"),
        pytest.param({"stream_options": None}, {"include_usage": True}, id="null options"),
        pytest.param(
            {"stream_options": {"include_usage": False, "include_obfuscation": False}},
            {"include_usage": True, "include_obfuscation": False},
            id="usage not wanted, another option kept",
        ),
    ],
)
def test_a_stream_is_always_asked_for_its_usage(asked: dict[str, Any], sent_on: Any) -> None:
    request = request_to(stream=True, **asked)
    body = sent(request)
    assert body["stream"] is True
    assert body["stream_options"] == sent_on
    assert encode(request).headers["accept"] == "text/event-stream"


def test_a_whole_answer_is_asked_for_without_a_word_of_streams() -> None:
    body = sent(request_to(stream_options={"include_usage": True}))
    assert not {"stream", "stream_options"} & body.keys()


def test_what_cannot_be_json_is_the_callers_to_change() -> None:
    with pytest.raises(Untranslatable):
        encode(request_to(seed=2**70))


limits = st.none() | st.integers(min_value=1, max_value=10**9)


@given(
    output_cap=st.integers(1, 10**6),
    max_tokens=limits,
    max_completion_tokens=limits,
    base_url=st.sampled_from([BASE_URL, OPENAI]),
)
def test_no_more_output_is_asked_for_than_is_paid_for(
    output_cap: int, max_tokens: int | None, max_completion_tokens: int | None, base_url: str
) -> None:
    body = sent(
        request_to(
            base_url,
            output_cap=output_cap,
            max_tokens=max_tokens,
            max_completion_tokens=max_completion_tokens,
        )
    )
    assert [body[name] for name in CAPS if name in body] == [output_cap]


def completion(**fields: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi."}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "model": "vendor/nice-1-2026-01-01",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
        **fields,
    }


def test_an_answer_is_passed_on_under_the_name_the_client_knows() -> None:
    body = completion(system_fingerprint="fp_1", service_tier="default")
    outcome = decode(InboundAnswer(200, body), request_to())
    assert isinstance(outcome, Answer)
    assert outcome.usage == Usage(uncached_input=3, output=2)
    expected = completion(system_fingerprint="fp_1", service_tier="default", model="nice")
    assert outcome.body == expected


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": -1}])
def test_an_answer_without_usage_says_so(usage: Any) -> None:
    outcome = decode(InboundAnswer(200, completion(usage=usage)), request_to())
    assert isinstance(outcome, Answer)
    assert outcome.usage is None


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(None, id="not JSON"),
        pytest.param("text", id="text"),
        pytest.param([], id="a list"),
        pytest.param({}, id="an empty object"),
        pytest.param(completion(choices=None), id="null choices"),
        pytest.param(completion(choices=[]), id="no choices"),
        pytest.param(completion(choices=["Hi."]), id="a choice that is text"),
        pytest.param(completion(choices=[{"index": 0}]), id="a choice without a message"),
        pytest.param(completion(choices=[{"message": "Hi."}]), id="a message that is text"),
    ],
)
def test_what_is_no_completion_is_malformed_and_may_be_billed(body: Any) -> None:
    outcome = decode(InboundAnswer(200, body), request_to())
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.MALFORMED_RESPONSE
    assert outcome.may_be_billed


def test_an_error_inside_a_success_is_a_failure() -> None:
    body = completion(error={"message": "The model fell over.", "code": 502})
    outcome = decode(InboundAnswer(200, body), request_to())
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is FailureClass.TRANSIENT_UPSTREAM
    assert "The model fell over." in outcome.message


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ({"finish_reason": "error"}, FailureClass.TRANSIENT_UPSTREAM),
        ({"error": {"code": 429, "message": "Slow."}}, FailureClass.RATE_LIMITED),
    ],
)
def test_half_an_answer_whose_choice_failed_is_none(
    fault: dict[str, Any], expected: FailureClass
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Half"}, **fault}
    outcome = decode(InboundAnswer(200, {"choices": [choice]}), request_to())
    assert isinstance(outcome, Failure)
    assert outcome.failure_class is expected


def test_an_empty_error_beside_an_answer_is_none() -> None:
    assert isinstance(decode(InboundAnswer(200, completion(error=None)), request_to()), Answer)


def test_an_error_status_is_a_failure_whatever_the_body() -> None:
    outcome = decode(InboundAnswer(503, completion()), request_to())
    assert isinstance(outcome, Failure)
    assert (outcome.failure_class, outcome.http_status) == (FailureClass.TRANSIENT_UPSTREAM, 503)


def test_reasoning_and_tool_calls_survive() -> None:
    message = {
        "role": "assistant",
        "content": None,
        "reasoning": "Hm.",
        "reasoning_content": "Hm.",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
    choices = [{"index": 0, "message": message, "finish_reason": "tool_calls"}]
    outcome = decode(InboundAnswer(200, completion(choices=choices)), request_to())
    assert isinstance(outcome, Answer)
    assert outcome.body["choices"] == choices


def test_what_the_headers_say_of_trying_again_is_kept() -> None:
    inbound = InboundAnswer(429, None, {"retry-after": "7"})
    outcome = decode(inbound, request_to())
    assert isinstance(outcome, Failure)
    assert outcome.retry_after == 7
