"""The provider without a network: the same prompt, the same answer, within what is paid for."""

from __future__ import annotations

import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from providers.adapters import deterministic
from providers.adapters.deterministic.chat import IMAGE_TOKENS
from providers.failures import Failure, FailureClass
from providers.registry import ModelEntry
from providers.requests import Answer, ChatRequest, ModelRequest, Outcome, answer_text
from providers.usage import BYTES_PER_TOKEN, to_openai
from tests.providers.entries import (
    chat_request,
    embeddings_request,
    model_entry,
    provider_entry,
    question,
    transcription_request,
)

MODEL = model_entry(name="steady")


async def answered(request: ChatRequest) -> Answer:
    outcome = await deterministic.send(request)
    assert isinstance(outcome, Answer)
    return outcome


async def test_the_same_prompt_has_the_same_answer() -> None:
    first = await answered(chat_request(MODEL, messages=question("How are we?"), temperature=1))
    second = await answered(chat_request(MODEL, messages=question("How are we?"), temperature=0))
    assert first == second
    assert answer_text(first.body).startswith("You asked: “How are we?” ")


async def test_another_prompt_or_model_has_another_answer() -> None:
    ids = {
        (await answered(chat_request(model, messages=question(text)))).body["id"]
        for model in (MODEL, model_entry(name="other"))
        for text in ("How are we?", "How are they?")
    }
    assert len(ids) == 4


async def test_the_answer_is_a_whole_chat_completion() -> None:
    answer = await answered(chat_request(MODEL))
    usage = answer.usage
    assert usage is not None
    assert usage.reported
    assert answer.body["object"] == "chat.completion"
    assert answer.body["model"] == "steady"
    assert answer.body["usage"] == to_openai(usage)
    ChatCompletion.model_validate(answer.body)
    (choice,) = answer.body["choices"]
    assert choice["message"]["role"] == "assistant"
    assert choice["finish_reason"] == "stop"


async def test_output_stops_at_the_cap() -> None:
    whole = await answered(chat_request(MODEL, output_cap=4096))
    cut = await answered(chat_request(MODEL, output_cap=5))
    assert whole.usage is not None
    assert whole.usage.output > 5
    assert cut.usage is not None
    assert cut.usage.output == 5
    assert cut.body["choices"][0]["finish_reason"] == "length"
    assert answer_text(whole.body).startswith(answer_text(cut.body))


@given(text=st.text(max_size=200), output_cap=st.integers(1, 200), choices=st.integers(1, 16))
async def test_no_more_output_than_the_cap_for_each_choice(
    text: str, output_cap: int, choices: int
) -> None:
    answer = await answered(
        chat_request(MODEL, output_cap=output_cap, n=choices, messages=question(text))
    )
    assert answer.usage is not None
    assert answer.usage.output <= output_cap * choices
    for choice in answer.body["choices"]:
        assert len(choice["message"]["content"].encode()) <= output_cap * BYTES_PER_TOKEN


async def test_as_many_choices_as_were_asked_for() -> None:
    one = await answered(chat_request(MODEL))
    three = await answered(chat_request(MODEL, n=3))
    assert [choice["index"] for choice in three.body["choices"]] == [0, 1, 2]
    assert one.usage is not None
    assert three.usage is not None
    assert three.usage.output == 3 * one.usage.output
    assert three.usage.input == one.usage.input


async def test_an_answer_in_json() -> None:
    answer = await answered(chat_request(MODEL, response_format={"type": "json_object"}))
    assert list(orjson.loads(answer_text(answer.body))) == ["answer"]


@pytest.mark.parametrize(
    ("content", "quoted"),
    [
        pytest.param("One  two\nthree", "One two three", id="blanks are one"),
        pytest.param("x" * 61, "x" * 59 + "…", id="a long question is cut"),
        pytest.param("x" * 60, "x" * 60, id="the longest that is not"),
        pytest.param(None, "", id="no content"),
        pytest.param([], "", id="no parts"),
        pytest.param(
            [
                {"type": "text", "text": "Look:"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                "not a part",
                {"type": "text", "text": "nice"},
            ],
            "Look: nice",
            id="parts",
        ),
    ],
)
async def test_the_question_is_quoted(content: Any, quoted: str) -> None:
    messages = [{"role": "user", "content": content}]
    answer = await answered(chat_request(MODEL, messages=messages))
    assert answer_text(answer.body).startswith(f"You asked: “{quoted}”")


async def test_an_image_counts_the_same_however_large() -> None:
    def looking_at(address: str) -> ChatRequest:
        image = {"type": "image_url", "image_url": {"url": address}}
        return chat_request(MODEL, messages=[{"role": "user", "content": [image]}])

    small = await answered(looking_at("https://example.com/a.png"))
    large = await answered(looking_at("data:image/png;base64," + "A" * 100_000))
    assert small.usage is not None
    assert large.usage is not None
    assert IMAGE_TOKENS < small.usage.input == large.usage.input < 2 * IMAGE_TOKENS


def failing(percent: int) -> ModelEntry:
    return model_entry(provider_entry(rehearsal_failure_percent=percent), name="shaky")


async def outcomes(percent: int, prompts: int = 500) -> list[Outcome]:
    model = failing(percent)
    return [
        await deterministic.send(chat_request(model, messages=question(f"Prompt {number}.")))
        for number in range(prompts)
    ]


@pytest.mark.parametrize(("percent", "fewest", "most"), [(0, 0, 0), (20, 70, 130), (100, 500, 500)])
async def test_about_as_many_prompts_fail_as_asked(percent: int, fewest: int, most: int) -> None:
    failures = [outcome for outcome in await outcomes(percent) if isinstance(outcome, Failure)]
    assert fewest <= len(failures) <= most
    assert {failure.failure_class for failure in failures} <= {FailureClass.TRANSIENT_UPSTREAM}
    assert not any(failure.may_be_billed for failure in failures)


async def test_the_same_prompts_fail_every_time_and_more_with_a_higher_share() -> None:
    def failed(found: list[Outcome]) -> set[int]:
        return {index for index, outcome in enumerate(found) if isinstance(outcome, Failure)}

    few, again, many = await outcomes(10), await outcomes(10), await outcomes(60)
    assert failed(few) == failed(again)
    assert failed(few) < failed(many)


FITTING = {
    FailureClass.AUTH_INVALID: (401, False, False),
    FailureClass.AUTH_EXPIRED: (401, False, False),
    FailureClass.PERMISSION_DENIED: (403, False, False),
    FailureClass.RATE_LIMITED: (429, False, False),
    FailureClass.QUOTA_EXCEEDED: (429, False, False),
    FailureClass.TRANSIENT_UPSTREAM: (503, False, False),
    FailureClass.PERMANENT_UPSTREAM: (404, False, False),
    FailureClass.CONTEXT_WINDOW_EXCEEDED: (400, False, True),
    FailureClass.CONTENT_POLICY_BLOCKED: (400, False, True),
    FailureClass.MALFORMED_RESPONSE: (200, True, False),
    FailureClass.NETWORK_UNAVAILABLE: (None, False, False),
    FailureClass.PROVIDER_TIMEOUT: (504, True, False),
}


@pytest.mark.parametrize("failure_class", FailureClass)
@pytest.mark.parametrize("ask", [chat_request, embeddings_request, transcription_request])
async def test_every_class_of_failure_is_rehearsed_in_every_role(
    failure_class: FailureClass, ask: Any
) -> None:
    provider = provider_entry(
        rehearsal_failure_percent=100, rehearsal_failure_class=failure_class.value
    )
    request: ModelRequest = ask(model_entry(provider))
    failure = await deterministic.send(request)
    assert isinstance(failure, Failure)
    assert failure.failure_class is failure_class
    status, billed, at_fault = FITTING[failure_class]
    assert failure.http_status == status
    assert failure.may_be_billed is billed
    assert failure.callers_fault is at_fault


async def test_an_answer_takes_the_rehearsed_latency() -> None:
    model = model_entry(provider_entry(rehearsal_latency_ms=50))
    started = time.monotonic()
    await answered(chat_request(model))
    assert time.monotonic() - started >= 0.049
