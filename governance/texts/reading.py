"""What is kept of a request and of its answer: the words, by who said them. Pure.

Pictures, recordings and vectors are named and not kept. Of a longer prompt than `LONGEST` the end
is kept, because the last message is what was asked; of a longer answer the beginning.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from governance.storable import storable
from governance.transcription_request import TranscriptionForm
from providers.models import ModelRole

# Characters of a prompt, and as many of an answer.
LONGEST = 100_000
MOST_PASSAGES = 1000
# What is said elsewhere on a call's page, or is the text itself.
NOT_SETTINGS = {"messages", "input", "model", "stream", "stream_options", "tools", "functions"}
SPEAKERS = {
    "system": "System",
    "developer": "Developer",
    "user": "User",
    "assistant": "Assistant",
    "tool": "Tool",
    "function": "Function",
}
REASONING = ("reasoning_content", "reasoning")


@dataclass(frozen=True, slots=True)
class Passage:
    """What one speaker said in one go."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Passages in order; it is `cut` if there was more than is kept."""

    passages: tuple[Passage, ...] = ()
    cut: bool = False

    @property
    def size(self) -> int:
        """The characters that are kept."""
        return sum(len(one.speaker) + len(one.text) for one in self.passages)


def asked_text(role: str, body: Any) -> Text:
    """What a request of that `ModelRole` asks."""
    if role == ModelRole.AUDIO_TRANSCRIPTION:
        passages = _recording(body)
    elif role == ModelRole.EMBEDDINGS:
        passages = [*_settings(body), *_inputs(body.get("input"))]
    else:
        passages = [*_settings(body), *(_message(one) for one in body["messages"])]
    last_first = _bounded(reversed(passages), _ends)
    return Text(last_first.passages[::-1], last_first.cut)


def answered_text(role: str, body: Any) -> Text:
    """What a model answered to it, in OpenAI's format."""
    if role == ModelRole.EMBEDDINGS:
        vectors = body.get("data") if isinstance(body, Mapping) else None
        count = len(vectors) if isinstance(vectors, list) else 0
        said = f"[{count:,} vector{'' if count == 1 else 's'}]"
        return _bounded([Passage("Model", said)], _begins)
    if role == ModelRole.AUDIO_TRANSCRIPTION:
        words = body.get("text") if isinstance(body, Mapping) else body
        return _bounded([Passage("Model", _written(words))], _begins)
    choices = [one for one in body.get("choices") or () if isinstance(one, Mapping)]
    passages = (
        passage
        for number, choice in enumerate(choices, start=1)
        for passage in _choice(choice, f" {number}" if len(choices) > 1 else "")
    )
    return _bounded(passages, _begins)


def stored(text: Text) -> dict[str, Any]:
    """`text` as JSON that every database can store."""
    passages = [[one.speaker, one.text] for one in text.passages]
    written: dict[str, Any] = storable({"passages": passages, "cut": text.cut})
    return written


def unstored(written: Mapping[str, Any] | None) -> Text:
    """What `stored` made JSON of; empty where there is none."""
    if not written:
        return Text()
    passages = tuple(Passage(speaker, text) for speaker, text in written["passages"])
    return Text(passages, written["cut"])


def _ends(text: str, room: int) -> str:
    return text[max(0, len(text) - room) :]


def _begins(text: str, room: int) -> str:
    return text[:room]


def _bounded(passages: Iterable[Passage], part: Callable[[str, int], str]) -> Text:
    """The first of `passages` that fit, and `part` of the one that does not."""
    kept: list[Passage] = []
    room, cut = LONGEST, False
    for one in passages:
        text = part(one.text, room)
        cut = cut or len(text) < len(one.text)
        if len(kept) == MOST_PASSAGES or (one.text and not text):
            return Text(tuple(kept), cut=True)
        kept.append(Passage(one.speaker, text))
        room -= len(text)
    return Text(tuple(kept), cut)


def _settings(body: Mapping[str, Any]) -> Iterator[Passage]:
    """What else the request says, and the names of the tools it offers."""
    given = {name: body[name] for name in body if name not in NOT_SETTINGS}
    tools = [*(body.get("tools") or ()), *(body.get("functions") or ())]
    if tools:
        given["tools"] = [_tool_name(one) for one in tools]
    if given:
        yield Passage("Settings", _written(given))


def _tool_name(tool: Any) -> str:
    described = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    name = described.get("name") if isinstance(described, Mapping) else None
    return str(name or "a tool without a name")


def _message(message: Mapping[str, Any]) -> Passage:
    role = str(message.get("role"))
    speaker = SPEAKERS.get(role, role)
    if isinstance(message.get("name"), str):
        speaker = f"{speaker} ({message['name'][:100]})"
    said = [_content(message.get("content")), *_calls_of_tools(message)]
    return Passage(speaker, "\n".join(part for part in said if part))


def _content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(_part(one) for one in content)
    return "" if content is None else _written(content)


def _part(part: Any) -> str:
    if isinstance(part, Mapping):
        if isinstance(part.get("text"), str):
            return str(part["text"])
        # A picture or a recording: large, and not words.
        return f"[{str(part.get('type') or 'a part without a type').replace('_', ' ')[:100]}]"
    return _written(part)


def _calls_of_tools(message: Mapping[str, Any]) -> Iterator[str]:
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if isinstance(function, Mapping):
            yield f"→ {function.get('name')}({_written(function.get('arguments') or '')})"


def _choice(choice: Mapping[str, Any], number: str) -> Iterator[Passage]:
    message = choice.get("message")
    if not isinstance(message, Mapping):
        return
    thought = next((message[name] for name in REASONING if message.get(name)), None)
    if thought is not None:
        yield Passage(f"Reasoning{number}", _written(thought))
    said = [_content(message.get("content")), _content(message.get("refusal"))]
    said += _calls_of_tools(message)
    ended = choice.get("finish_reason")
    speaker = f"Model{number}" if ended in (None, "stop") else f"Model{number} (ended: {ended})"
    yield Passage(speaker, "\n".join(part for part in said if part))


def _inputs(value: Any) -> Iterator[Passage]:
    """Texts, or tokens by their numbers, which nobody reads."""
    several = isinstance(value, list) and any(isinstance(one, str | list) for one in value)
    for one in value if several else [value]:
        numbers = isinstance(one, list)
        yield Passage("Input", f"[{len(one):,} tokens by number]" if numbers else _written(one))


def _recording(form: TranscriptionForm) -> list[Passage]:
    fields = [Passage(name.capitalize(), value) for name, value in form.fields if name != "model"]
    size = f"{len(form.audio):,} bytes of {form.content_type or 'a recording'}"
    return [*fields, Passage("Recording", f"[{form.filename}, {size}]")]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
