"""A whole chat answer as a streamed one, and a streamed one as a whole: pure.

What OpenAI's clients make of a stream is the rule: text grows by concatenation, tool calls by their
index, and what a piece does not name stays as it was. Fields Palyra does not know survive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from providers.requests import Answer, Chunk
from providers.usage import Usage

CHUNK_OBJECT, COMPLETION_OBJECT = "chat.completion.chunk", "chat.completion"
# Some hosts say these again with every piece; they are names and not text that grows.
_SAID_ONCE = frozenset({"role", "id", "type", "name", "index", "format"})


def from_completion(body: Mapping[str, Any]) -> tuple[Chunk, ...]:
    """The pieces that `body`, a `chat.completion`, would have been streamed in."""
    envelope = {name: value for name, value in body.items() if name not in {"choices", "usage"}}
    envelope["object"] = CHUNK_OBJECT
    return tuple(_chunks(envelope, body))


def _chunks(envelope: Mapping[str, Any], body: Mapping[str, Any]) -> Iterator[Chunk]:
    for position, choice in enumerate(body["choices"]):
        for substance, piece in _pieces(choice, choice.get("index", position)):
            yield Chunk({**envelope, "choices": [piece]}, substance=substance)
    if body.get("usage") is not None:
        usage = {**envelope, "choices": [], "usage": body["usage"]}
        yield Chunk(usage, substance=False, usage_only=True)


def _pieces(choice: Mapping[str, Any], index: int) -> Iterator[tuple[bool, dict[str, Any]]]:
    """Who speaks, what is said, each tool call, and why it ended; each with its substance."""
    message = dict(choice.get("message") or {})
    # Whatever else a host says in their place is passed on as it is.
    tool_calls = message.pop("tool_calls", None) if _are_calls(message.get("tool_calls")) else None
    role = {"role": message.pop("role", "assistant")}
    said: dict[str, Any] = {"index": index, "delta": message}
    if "logprobs" in choice:
        said["logprobs"] = choice["logprobs"]
    yield False, {"index": index, "delta": role, "finish_reason": None}
    if message or "logprobs" in said:
        yield any(message.values()), {**said, "finish_reason": None}
    if tool_calls is not None and not tool_calls:
        yield False, {"index": index, "delta": {"tool_calls": tool_calls}, "finish_reason": None}
    for number, call in enumerate(tool_calls or ()):
        delta = {"tool_calls": [{**call, "index": number}]}
        yield True, {"index": index, "delta": delta, "finish_reason": None}
    rest = {name: value for name, value in choice.items() if name not in {"message", "logprobs"}}
    yield False, {**rest, "index": index, "delta": {}}


def _are_calls(value: Any) -> bool:
    """Whether they are tool calls, or there are none."""
    return value is None or (
        isinstance(value, list) and all(isinstance(one, Mapping) for one in value)
    )


class Assembler:
    """Puts the chunks of one stream together into the `chat.completion` that they are."""

    def __init__(self) -> None:
        self._envelope: dict[str, Any] = {}
        self._choices: dict[int, dict[str, Any]] = {}

    def add(self, chunk: Chunk) -> None:
        """Take the next chunk."""
        for name, value in chunk.body.items():
            if name != "choices" and (value is not None or name not in self._envelope):
                self._envelope[name] = value
        for piece in chunk.body.get("choices") or ():
            self._take(piece)

    def completion(self) -> dict[str, Any]:
        """The answer as far as it has come."""
        body = {**self._envelope, "object": COMPLETION_OBJECT}
        if body.get("usage") is None:
            body.pop("usage", None)
        body["choices"] = [_joined(self._choices[index]) for index in sorted(self._choices)]
        return body

    def _take(self, piece: Any) -> None:
        if not isinstance(piece, Mapping):
            return
        index = _number(piece.get("index"), otherwise=0)
        choice = self._choices.setdefault(index, {"index": index, "message": {}})
        for name, value in piece.items():
            if name == "delta":
                _grow(choice["message"], value)
            elif name == "logprobs":
                choice[name] = _grown(choice.get(name), value)
            elif name != "index" and (value is not None or name not in choice):
                choice[name] = value


class _Text(list[str]):
    """Text that grows: joined once, at the end."""


class _Items(list[Any]):
    """A list that grows, and is nobody else's."""


class _Calls(dict[int, dict[str, Any]]):
    """Tool calls by their index."""


def _grow(whole: dict[str, Any], piece: Any) -> None:
    if not isinstance(piece, Mapping):
        return
    for name, value in piece.items():
        if name == "tool_calls" and isinstance(value, list):
            whole[name] = _with_calls(whole.get(name), value)
        elif name in _SAID_ONCE:
            whole[name] = value or whole.get(name, value)
        else:
            whole[name] = _grown(whole.get(name), value)


def _grown(whole: Any, piece: Any) -> Any:
    """`whole` with `piece` after it: texts and lists grow, objects by their fields."""
    if piece is None:
        return whole
    if isinstance(piece, str):
        whole = whole if isinstance(whole, _Text) else _Text()
        whole.append(piece)
        return whole
    if isinstance(piece, Mapping):
        grown = whole if isinstance(whole, dict) else {}
        _grow(grown, piece)
        return grown
    if isinstance(piece, list):
        whole = whole if isinstance(whole, _Items) else _Items()
        whole.extend(piece)
        return whole
    return piece


def _with_calls(calls: Any, pieces: list[Any]) -> _Calls:
    """The tool calls with `pieces` added. A piece without an index begins a call if it has an id,
    and else goes on with the last."""
    grown: _Calls = calls if isinstance(calls, _Calls) else _Calls()
    for piece in pieces:
        if isinstance(piece, Mapping):
            last = max(grown, default=0)
            other = last + 1 if piece.get("id") and grown else last
            place = _number(piece.get("index"), otherwise=other)
            rest = {name: value for name, value in piece.items() if name != "index"}
            _grow(grown.setdefault(place, {}), rest)
    return grown


def _number(value: Any, *, otherwise: int) -> int:
    return value if type(value) is int else otherwise


def _joined(value: Any) -> Any:
    if isinstance(value, _Text):
        return "".join(value)
    if isinstance(value, _Calls):
        return [_joined(value[place]) for place in sorted(value)]
    if isinstance(value, dict):
        return {name: _joined(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_joined(one) for one in value]
    return value


class Replay:
    """A whole answer given in pieces, as a `ChunkStream`."""

    def __init__(self, answer: Answer) -> None:
        self.usage: Usage | None = answer.usage
        self._chunks = iter(from_completion(answer.body))

    def __aiter__(self) -> Replay:
        return self

    async def __anext__(self) -> Chunk:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give no more."""
        self._chunks = iter(())
