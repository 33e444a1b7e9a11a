"""OpenAI's protocol from the provider's side: requests read, answers and streams put in shape."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.support.completions import (
    Asked,
    Finish,
    Reply,
    ToolCall,
    Usage,
    asked_of,
    packed,
    text_pieces,
    tokens_in,
    vector_of,
)
from tests.support.faults import Behaviour, Fault
from tests.support.frames import Frame, event

CREATED = 1_760_000_000
MODELS = ("upstream-small", "upstream-large", "upstream-embedding", "upstream-transcription")
DONE = event("[DONE]")
BYTES_PER_SECOND = 1600
FINISHES = {Finish.STOP: "stop", Finish.LENGTH: "length", Finish.TOOL: "tool_calls"}
TRANSCRIPT = "The upstream heard"
SUBTITLE_FORMATS = {"text", "srt", "vtt"}


def asked(body: Mapping[str, Any]) -> Asked:
    """What a chat request asks."""
    return asked_of(body)


def objection(body: Mapping[str, Any]) -> str | None:
    """Why OpenAI would refuse a chat request; None if it would not."""
    messages = body.get("messages")
    if not body.get("model") or not isinstance(messages, list) or not messages:
        return "A model and messages are required."
    if "max_tokens" in body and "max_completion_tokens" in body:
        return "Give max_tokens or max_completion_tokens, not both."
    if body.get("stream_options") and not body.get("stream"):
        return "stream_options may only be given with stream."
    called: set[str] = set()
    for message in messages:
        if message.get("role") == "tool" and message.get("tool_call_id") not in called:
            return "A message of the role tool must answer a tool call before it."
        called |= {call["id"] for call in message.get("tool_calls") or ()}
    return None


def completion(
    reply: Reply, behaviour: Behaviour, body: Mapping[str, Any], *, number: int
) -> dict[str, Any]:
    """A whole chat completion."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in reply.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": FINISHES[reply.finish],
        "logprobs": None,
    }
    answer = {**_head(body, number, "chat.completion"), "choices": [choice]}
    if behaviour.fault is not Fault.NO_USAGE:
        answer["usage"] = chat_usage(reply.usage)
    return answer


def frames(
    reply: Reply, behaviour: Behaviour, body: Mapping[str, Any], *, number: int
) -> Iterator[Frame]:
    """A streamed chat completion, with a chunk for the usage if that was asked for."""
    head = _head(body, number, "chat.completion.chunk")
    wants_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    reports = wants_usage and behaviour.fault is not Fault.NO_USAGE
    more: dict[str, Any] = {"usage": None} if reports else {}

    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> Frame:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        generated = any(delta.get(name) for name in ("content", "reasoning_content", "tool_calls"))
        return event({**head, "choices": [choice], **more}, generated=generated)

    yield chunk({"role": "assistant", "content": ""})
    for piece in text_pieces(reply.reasoning):
        yield chunk({"reasoning_content": piece})
    for piece in text_pieces(reply.text):
        yield chunk({"content": piece})
    for delta in _tool_deltas(reply.tool_calls):
        yield chunk({"tool_calls": [delta]})
    yield chunk({}, FINISHES[reply.finish])
    if reports:
        yield event({**head, "choices": [], "usage": chat_usage(reply.usage)})
    yield DONE


def error(behaviour: Behaviour) -> dict[str, Any]:
    """An error in OpenAI's shape."""
    return {
        "error": {
            "message": behaviour.said,
            "type": behaviour.error_type,
            "param": None,
            "code": behaviour.error_code,
        }
    }


def error_event(behaviour: Behaviour) -> Frame:
    """An error in the middle of a stream, after which there is no `[DONE]`."""
    return event(error(behaviour))


def malformed_event() -> Frame:
    """An event that is not JSON."""
    return event('{"choices": [')


def models() -> dict[str, Any]:
    """The list of models."""
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "created": CREATED, "owned_by": "upstream"}
            for name in MODELS
        ],
    }


def embeddings(body: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any]:
    """The embeddings of every input, in the encoding asked for."""
    vectors = [vector_of(text, body.get("dimensions")) for text in inputs(body)]
    as_text = body.get("encoding_format") == "base64"
    answer: dict[str, Any] = {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": packed(vector) if as_text else vector,
            }
            for index, vector in enumerate(vectors)
        ],
        "model": body.get("model"),
    }
    if behaviour.fault is not Fault.NO_USAGE:
        tokens = embeddings_usage(body, behaviour).prompt
        answer["usage"] = {"prompt_tokens": tokens, "total_tokens": tokens}
    return answer


def inputs(body: Mapping[str, Any]) -> list[str]:
    """The inputs of an embeddings request; lists of token ids stand for themselves."""
    given = body.get("input")
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given and isinstance(given[0], int):
        return [str(given)]
    return [one if isinstance(one, str) else str(one) for one in given or ()]


def embeddings_usage(body: Mapping[str, Any], behaviour: Behaviour) -> Usage:
    """The tokens of an embeddings request: none of them are output."""
    tokens = behaviour.prompt_tokens
    return Usage(sum(map(tokens_in, inputs(body))) if tokens is None else tokens, 0)


def transcription(form: Mapping[str, Any], behaviour: Behaviour) -> dict[str, Any] | str:
    """A transcription: JSON, or text where the form asks for that."""
    text = f"{TRANSCRIPT} {form['file']['size']} bytes of {form['file']['filename']}."
    wanted = dict(form["fields"]).get("response_format", "json")
    if wanted in SUBTITLE_FORMATS:
        return {
            "text": f"{text}\n",
            "srt": f"1\n00:00:00,000 --> 00:00:01,000\n{text}\n",
            "vtt": f"WEBVTT\n\n00:00.000 --> 00:01.000\n{text}\n",
        }[wanted]
    answer: dict[str, Any] = {"text": text}
    if wanted == "verbose_json":
        seconds = form["file"]["size"] / BYTES_PER_SECOND
        segment = {"id": 0, "start": 0.0, "end": seconds, "text": text}
        answer |= {"task": "transcribe", "language": "english", "duration": seconds}
        answer["segments"] = [segment]
        answer["usage"] = {"type": "duration", "seconds": max(1, round(seconds))}
    elif behaviour.fault is not Fault.NO_USAGE:
        usage = transcription_usage(form, behaviour)
        answer["usage"] = {
            "type": "tokens",
            "input_tokens": usage.prompt,
            "input_token_details": {"text_tokens": 0, "audio_tokens": usage.prompt},
            "output_tokens": usage.completion,
            "total_tokens": usage.prompt + usage.completion,
        }
    return answer


def transcription_usage(form: Mapping[str, Any], behaviour: Behaviour) -> Usage:
    """The tokens of a transcription."""
    heard = max(1, form["file"]["size"] // BYTES_PER_SECOND)
    entered, left = behaviour.prompt_tokens, behaviour.completion_tokens
    return Usage(heard if entered is None else entered, 12 if left is None else left)


def chat_usage(usage: Usage) -> dict[str, Any]:
    """The usage of a chat completion; its details only where there is something to say."""
    reported: dict[str, Any] = {
        "prompt_tokens": usage.prompt,
        "completion_tokens": usage.completion,
        "total_tokens": usage.prompt + usage.completion,
    }
    written = usage.cache_write_5m + usage.cache_write_1h
    if usage.cache_read or written:
        details = {"cached_tokens": usage.cache_read, "audio_tokens": 0}
        reported["prompt_tokens_details"] = (
            {**details, "cache_write_tokens": written} if written else details
        )
    if usage.reasoning:
        reported["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning}
    return reported


def _head(body: Mapping[str, Any], number: int, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-upstream-{number}",
        "object": kind,
        "created": CREATED,
        "model": body.get("model"),
    }


def _tool_call(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": call.id, "type": "function", "function": function}


def _tool_deltas(calls: Sequence[ToolCall]) -> Iterator[dict[str, Any]]:
    """Name and id come once, with empty arguments; those follow in two halves."""
    for index, call in enumerate(calls):
        function = {"name": call.name, "arguments": ""}
        yield {"index": index, "id": call.id, "type": "function", "function": function}
        middle = len(call.arguments) // 2
        for part in (call.arguments[:middle], call.arguments[middle:]):
            yield {"index": index, "function": {"arguments": part}}
