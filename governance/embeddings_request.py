"""Reading an embeddings request: what may be asked, and how large it can be at most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from governance.errors import InvalidRequest
from governance.parsed_request import BoundedText, requested_model
from providers.candidates import Needs
from providers.models import ModelRole
from providers.registry import ModelEntry
from providers.requests import EmbeddingsRequest

MOST_INPUTS = 64
LARGEST_INPUT = 64 * 1024
LARGEST_TOGETHER = 256 * 1024
# More than any model in use gives; beyond it a vector is only a way to fill memory.
MOST_DIMENSIONS = 8192
HIGHEST_TOKEN_ID = 2**31 - 1
BYTES_PER_TOKEN = 4
# What hosts put around an input is counted generously: a bound that can be low is no bound.
INPUT_OVERHEAD = 16
FORMATS = ("float", "base64")
# Fields that no host puts before the model; any other may be an instruction, which hosts put before
# each input, and counts with each.
NOT_IN_PROMPT = {"model", "input", "encoding_format", "dimensions", "user"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedEmbeddings:
    """An embeddings request that can be made; sizes are tokens. Its output has none."""

    model: str
    body: Mapping[str, Any]
    input_bound: int
    expected_input: int
    role: str = ModelRole.EMBEDDINGS.value
    output_limit: int | None = None
    choices: int = 1
    features: None = None
    least_output: None = None

    @property
    def needs(self) -> Needs:
        """What it takes of a model."""
        return Needs(role=self.role, input_tokens=self.expected_input)

    def texts(self) -> Iterator[BoundedText]:
        """The inputs that are texts; token ids are counted as it is."""
        for one in _as_list(self.body["input"]):
            if isinstance(one, str):
                yield one, _bound(one)

    def output_cap(self, model_cap: int) -> int:
        """No output tokens, whatever the model could give."""
        return 0

    def expected_output(self, output_cap: int) -> int:
        """No output tokens."""
        return 0

    def request_for(self, model: ModelEntry, output_cap: int) -> EmbeddingsRequest:
        """The request as `model` is asked it."""
        return EmbeddingsRequest(model=model, body=self.body)


def parse(body: Any) -> ParsedEmbeddings:
    """Check a request in OpenAI's embeddings format. Raises `InvalidRequest` naming the field.

    Only what Palyra must understand is checked; everything else is the provider's to judge.
    """
    if not isinstance(body, Mapping):
        raise InvalidRequest("The request body must be a JSON object.")
    model = requested_model(body.get("model"))
    inputs = _inputs(body.get("input"))
    _check_options(body)
    sizes = [_size(one, index) for index, one in enumerate(inputs)]
    if sum(sizes) > LARGEST_TOGETHER:
        raise InvalidRequest(
            f"The inputs have more than {LARGEST_TOGETHER:,} bytes together (a token id counts as "
            f"{BYTES_PER_TOKEN}). Send them in several requests.",
            param="input",
        )
    return ParsedEmbeddings(
        model=model,
        body=body,
        input_bound=sum(_bound(one) for one in inputs)
        + len(inputs) * (INPUT_OVERHEAD + _size_of_other_fields(body)),
        expected_input=sum(-(-size // BYTES_PER_TOKEN) for size in sizes),
    )


def _inputs(value: Any) -> Sequence[str | list[int]]:
    """The single inputs: a text or a list of token ids each."""
    value = _as_list(value)
    if not isinstance(value, list) or not value:
        raise InvalidRequest(
            "Give a text, a list of texts, a list of token ids or a list of such lists.",
            param="input",
        )
    if len(value) > MOST_INPUTS:
        raise InvalidRequest(
            f"{len(value):,} inputs are too many: a request has at most {MOST_INPUTS}.",
            param="input",
        )
    kind = str if isinstance(value[0], str) else list
    for index, one in enumerate(value):
        if not isinstance(one, kind):
            raise InvalidRequest(
                "The inputs are all texts or all lists of token ids.", param=f"input[{index}]"
            )
    return value


def _as_list(value: Any) -> Any:
    """The inputs, where a single one may stand for itself."""
    single = isinstance(value, str) or (isinstance(value, list) and value and type(value[0]) is int)
    return [value] if single else value


def _size(one: str | list[int], index: int) -> int:
    """The bytes of a text, and as many for token ids as they are likely to stand for."""
    param = f"input[{index}]"
    if not one:
        raise InvalidRequest("An input cannot be empty.", param=param)
    size = len(_encoded(one, param)) if isinstance(one, str) else len(one) * BYTES_PER_TOKEN
    if size > LARGEST_INPUT:
        raise InvalidRequest(
            f"An input has at most {LARGEST_INPUT:,} bytes, or {LARGEST_INPUT // BYTES_PER_TOKEN:,}"
            f" token ids. Send this one in parts.",
            param=param,
        )
    if isinstance(one, list) and not all(_is_token_id(token) for token in one):
        raise InvalidRequest(
            f"A token id is a whole number from 0 to {HIGHEST_TOKEN_ID:,}.", param=param
        )
    return size


def _bound(one: str | list[int]) -> int:
    """No tokenizer in use makes more tokens of a text than it has bytes."""
    return len(one.encode()) if isinstance(one, str) else len(one)


def _encoded(text: str, param: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("The text is not valid Unicode.", param=param) from None


def _is_token_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= HIGHEST_TOKEN_ID


def _check_options(body: Mapping[str, Any]) -> None:
    encoding, dimensions = body.get("encoding_format"), body.get("dimensions")
    if encoding is not None and encoding not in FORMATS:
        raise InvalidRequest("encoding_format is “float” or “base64”.", param="encoding_format")
    if dimensions is not None and not (
        type(dimensions) is int and 1 <= dimensions <= MOST_DIMENSIONS
    ):
        raise InvalidRequest(
            f"dimensions must be a whole number from 1 to {MOST_DIMENSIONS:,}.", param="dimensions"
        )


def _size_of_other_fields(body: Mapping[str, Any]) -> int:
    other = {name: body[name] for name in body if name not in NOT_IN_PROMPT}
    try:
        return len(orjson.dumps(other)) if other else 0
    except TypeError as error:
        raise InvalidRequest(f"The request cannot be sent as JSON: {error}.") from None
