"""Reading a chat request: what may be asked, and how large it can be at most."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from governance import complexity
from governance.errors import InvalidRequest
from governance.parsed_request import BoundedText, requested_model
from providers.candidates import Needs
from providers.models import ModelRole
from providers.registry import ModelEntry
from providers.requests import ChatRequest

ROLES = {"system", "developer", "user", "assistant", "tool", "function"}
MAX_CHOICES = 16
BYTES_PER_TOKEN = 4
# The bytes around a text in JSON.
QUOTES = 2
EXPECTED_OUTPUT = 512
# What chat templates add around messages, tools and images is counted generously: a bound that can
# be low is no bound. The dearest image of a current provider is one of eight tiles for gpt-4o-mini:
# 48,169 tokens.
REQUEST_OVERHEAD = 64
MESSAGE_OVERHEAD = 16
TOOLS_OVERHEAD = 1024
IMAGE_TOKENS = 49_152
EXPECTED_IMAGE = 1_024
# What hosts call an image, as a part's type or, where they take parts without one, as its field.
IMAGES = {"image_url", "image", "input_image"}
# Parts that only point at their content: how much it is, nobody knows before the call.
POINTERS = {"file", "input_file", "file_id", "document", "video", "input_video"}
# Parts that are words, in which an address is only read.
WORDS = ("text", "refusal", "thinking")
DEEPEST_PART = 8
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# Other models or hosts than the one priced, what is charged for beside the tokens, and predictions,
# whose rejected tokens are billed as output.
SURCHARGES = (
    "models",
    "route",
    "provider",
    "preset",
    "plugins",
    "web_search_options",
    "search_parameters",
    "enable_search",
    "audio",
    "prediction",
)
# Whose words hosts put before the model as they are; answers of tools they may write anew.
VERBATIM = {"system", "developer", "user", "assistant"}
STREAM_FIELDS = ("stream", "stream_options")
JSON_FORMATS = ("json_object", "json_schema")
IN_PROMPT = ("tools", "functions", "response_format")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedChat:
    """A chat request that can be made; sizes are tokens, `output_limit` those of each choice."""

    model: str
    body: Mapping[str, Any]
    output_limit: int | None
    choices: int
    input_bound: int
    expected_input: int
    images: int = 0
    stream: bool = False
    role: str = field(default=ModelRole.CHAT.value, init=False)

    @property
    def needs(self) -> Needs:
        """What it takes of the model that answers."""
        wanted = self.body.get("response_format")
        return Needs(
            role=self.role,
            streaming=self.stream,
            tools=bool(self.body.get("tools")),
            json_mode=isinstance(wanted, Mapping) and wanted.get("type") in JSON_FORMATS,
            vision=self.images > 0,
            input_tokens=self.expected_input,
        )

    @property
    def features(self) -> complexity.Features:
        """What its complexity is told by."""
        tools = self.body.get("tools")
        return complexity.features_of(
            self.body["messages"],
            tokens=self.expected_input,
            json_mode=self.needs.json_mode,
            images=self.images,
            tools=len(tools) if isinstance(tools, list) else 0,
        )

    @property
    def least_output(self) -> int:
        """The tokens of each choice that any answer takes: one, and what the caller has set aside
        for thinking, which hosts refuse to cut short."""
        thinking = self.body.get("thinking")
        budget = thinking.get("budget_tokens") if isinstance(thinking, Mapping) else None
        return 1 + budget if isinstance(budget, int) else 1

    @property
    def include_usage(self) -> bool:
        """Whether the client of a stream asked for a last chunk with the usage."""
        options = self.body.get("stream_options")
        return isinstance(options, Mapping) and options.get("include_usage") is True

    def texts(self) -> Iterator[BoundedText]:
        """What the messages say. Names, calls of tools and what describes them are written into the
        prompt in a host's own way, so nothing but their bytes is known of them."""
        for message in self.body["messages"]:
            text = _only_text(message.get("content")) if message["role"] in VERBATIM else None
            if text:
                yield text, _size(text) - QUOTES

    def request_for(self, model: ModelEntry, output_cap: int) -> ChatRequest:
        """The request as it is made of one model."""
        body = self.body
        if not self.stream:
            body = {name: value for name, value in body.items() if name not in STREAM_FIELDS}
        return ChatRequest(model=model, body=body, output_cap=output_cap, stream=self.stream)

    def output_cap(self, model_cap: int) -> int:
        """The most output tokens for each choice, for a model that gives at most `model_cap`."""
        return model_cap if self.output_limit is None else min(self.output_limit, model_cap)

    def expected_output(self, output_cap: int) -> int:
        """What all choices together are likely to take of `output_cap` each."""
        return min(output_cap, EXPECTED_OUTPUT) * self.choices


def parse(body: Any, *, stream: bool = False) -> ParsedChat:
    """Check a request in OpenAI's chat format. Raises `InvalidRequest` naming the field at fault.

    With `stream` the answer is to come in pieces, whatever the body says.
    Only what Palyra must understand is checked; everything else is the provider's to judge.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("The request body must be a JSON object.")
    model = requested_model(body.get("model"))
    if not isinstance(body.get("stream"), bool | None):
        raise InvalidRequest("stream must be true or false.", param="stream")
    messages = _messages(body.get("messages"))
    _refuse_surcharges(body)
    text_bytes, images = _measure(messages)
    extra_bytes = sum(_size(body[name]) for name in IN_PROMPT if body.get(name))
    # Hosts put fields of their own into the prompt as well, so every other one counts too.
    measured = {"messages", *IN_PROMPT}
    other_bytes = _size({name: body[name] for name in body if name not in measured})
    return ParsedChat(
        model=model,
        body=body,
        output_limit=_output_limit(body),
        choices=_choices(body.get("n")),
        input_bound=REQUEST_OVERHEAD
        + len(messages) * MESSAGE_OVERHEAD
        + text_bytes
        + images * IMAGE_TOKENS
        + extra_bytes
        + (TOOLS_OVERHEAD if extra_bytes or _spoke_with_tools(messages) else 0)
        + other_bytes,
        images=images,
        stream=stream,
        expected_input=-(-(text_bytes + extra_bytes) // BYTES_PER_TOKEN) + images * EXPECTED_IMAGE,
    )


def _spoke_with_tools(messages: Iterable[Mapping[str, Any]]) -> bool:
    """Whether tools were called before: to some hosts they must be described again."""
    return any(
        message.get("role") in ("tool", "function") or message.get("tool_calls")
        for message in messages
    )


def _refuse_surcharges(body: Mapping[str, Any]) -> None:
    """Refuse fields by which a host charges what the model's price does not say."""
    tier, modalities = body.get("service_tier"), body.get("modalities")
    dearer = [name for name in SURCHARGES if body.get(name) not in (None, False)]
    if tier not in (None, "auto", "default", "flex"):
        dearer.append("service_tier")
    if modalities not in (None, ["text"]):
        dearer.append("modalities")
    tools = body.get("tools")
    if isinstance(tools, list) and any(_runs_at_the_host(tool) for tool in tools):
        dearer.append("tools")
    if dearer:
        raise InvalidRequest(
            f"“{dearer[0]}” may make the call cost more than the model's price says, and so more "
            "than can be held for it. Leave it out.",
            param=dearer[0],
        )


def _runs_at_the_host(tool: Any) -> bool:
    """Whether the host runs the tool, and charges for its use."""
    return isinstance(tool, Mapping) and tool.get("type") not in (None, "function", "custom")


def _messages(value: Any) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest("Give at least one message.", param="messages")
    for index, message in enumerate(value):
        role = message.get("role") if isinstance(message, Mapping) else None
        if not isinstance(role, str) or role not in ROLES:
            raise InvalidRequest(
                f"Each message is an object with one of the roles {', '.join(sorted(ROLES))}.",
                param=f"messages[{index}]",
            )
        content = message.get("content")
        if not isinstance(content, str | list | None):
            raise InvalidRequest(
                "A message's content is text or a list of parts.",
                param=f"messages[{index}].content",
            )
        _refuse_pointers(content, f"messages[{index}].content")
    return value


def _refuse_pointers(content: str | list[Any] | None, param: str) -> None:
    parts = content if isinstance(content, list) else ()
    for index, part in enumerate(parts):
        if isinstance(part, Mapping) and _points(part):
            kind = part.get("type")
            named = f"a part of type “{kind}”" if isinstance(kind, str) else "a part without a type"
            raise InvalidRequest(
                f"How large {named} is cannot be told before the call, so no budget could hold for "
                "it. Send its content as text or as images.",
                param=f"{param}[{index}].type",
            )


def _points(part: Mapping[str, Any]) -> bool:
    """Whether a part's content is elsewhere; images may be, for they are counted and not sized."""
    kind = part.get("type")
    names = {name for name in (kind, *part) if isinstance(name, str)} - IMAGES
    if any(name in POINTERS or name.endswith("_url") for name in names):
        return True
    return not _is_image(part) and kind not in WORDS and _has_address(part)


def _has_address(value: Any, deepest: int = DEEPEST_PART) -> bool:
    """Whether a text within is an address. What is nested deeper than parts are may be one."""
    if isinstance(value, str):
        return ADDRESS.match(value) is not None
    if not isinstance(value, Mapping | list):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return not deepest or any(_has_address(one, deepest - 1) for one in inner)


def _output_limit(body: Mapping[str, Any]) -> int | None:
    limits = []
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if type(value) is not int or value < 1:
            raise InvalidRequest(f"{name} must be a whole number of at least 1.", param=name)
        limits.append(value)
    return min(limits, default=None)


def _choices(value: Any) -> int:
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= MAX_CHOICES:
        raise InvalidRequest(f"n must be a whole number from 1 to {MAX_CHOICES}.", param="n")
    return value


def _measure(messages: Iterable[Mapping[str, Any]]) -> tuple[int, int]:
    """The UTF-8 bytes of everything sent as text, and the number of images.

    No tokenizer in use makes more tokens of a text than it has bytes. Images are counted,
    for the bytes of an address or of base64 say nothing of an image's tokens.
    """
    total, images = 0, 0
    for message in messages:
        bare = dict(message)
        parts = bare.get("content")
        if isinstance(parts, list):
            bare["content"] = [part for part in parts if not _says_image(part)]
            images += sum(_is_image(part) for part in parts)
        total += _size(bare)
    return total, images


def _only_text(content: Any) -> str | None:
    """The text of a content that has a single one. Where hosts join several, the whole may be other
    tokens than its parts, and more."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else ()
    words = [part for part in parts if not _says_image(part)]
    part = words[0] if len(words) == 1 else None
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    return text if isinstance(text, str) else None


def _size(value: Any) -> int:
    try:
        return len(orjson.dumps(value))
    except TypeError as error:
        raise InvalidRequest(f"The request cannot be sent as JSON: {error}.") from None


def _is_image(part: Any) -> bool:
    """Whether hosts may see an image in it: some take one by its field, whatever its type."""
    return _says_image(part) or (isinstance(part, Mapping) and not IMAGES.isdisjoint(part))


def _says_image(part: Any) -> bool:
    """Whether its type says so, so that nothing else in it is read."""
    kind = part.get("type") if isinstance(part, Mapping) else None
    return isinstance(kind, str) and kind in IMAGES
