"""Embeddings: directions drawn from a hash, of length one."""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Any

import orjson

from providers.adapters import Untranslatable
from providers.requests import Answer, EmbeddingsRequest
from providers.usage import Usage, tokens_of

DIMENSIONS = 256
MOST_DIMENSIONS = 4096
HALF = 2**31


def answer(request: EmbeddingsRequest) -> Answer:
    """One vector for each input, the same wherever that input comes. Raises `Untranslatable`."""
    dimensions = _dimensions(request.body.get("dimensions"))
    encoded = request.body.get("encoding_format") == "base64"
    asked = _inputs(request.body.get("input"))
    usage = Usage(uncached_input=sum(_tokens(one) for one in asked))
    data = []
    for index, one in enumerate(asked):
        packed = _vector(request.model.name, one, dimensions)
        vector: Any = base64.b64encode(packed).decode() if encoded else _floats(packed)
        data.append({"object": "embedding", "index": index, "embedding": vector})
    body = {
        "object": "list",
        "data": data,
        "model": request.model.name,
        "usage": {"prompt_tokens": usage.input, "total_tokens": usage.total},
    }
    return Answer(body, usage)


def _dimensions(asked: Any) -> int:
    if asked is None:
        return DIMENSIONS
    if type(asked) is not int or not 1 <= asked <= MOST_DIMENSIONS:
        raise Untranslatable(
            f"“dimensions” must be a whole number from 1 to {MOST_DIMENSIONS}.", param="dimensions"
        )
    return asked


def _inputs(asked: Any) -> list[Any]:
    """What to embed: texts, or lists of token ids."""
    if not isinstance(asked, list):
        return [asked]
    return [asked] if asked and isinstance(asked[0], int) else asked


def _tokens(one: Any) -> int:
    return tokens_of(len(str(one).encode())) if isinstance(one, str) else len(one)


def _vector(model: str, one: Any, dimensions: int) -> bytes:
    """Numbers of four bytes, as the wire has them where they are encoded."""
    drawn = hashlib.shake_256(orjson.dumps([model, one])).digest(dimensions * 4)
    raw = [number / HALF - 1 for number in struct.unpack(f"<{dimensions}I", drawn)]
    length = math.sqrt(sum(number * number for number in raw)) or 1.0
    return struct.pack(f"<{dimensions}f", *(number / length for number in raw))


def _floats(packed: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(packed) // 4}f", packed))
