"""A streamed answer as the upstream writes it, piece by piece."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Frame:
    """Bytes of a stream; `generated` marks those that carry something the model generated."""

    content: bytes
    generated: bool = False


def event(data: Any, *, name: str = "", generated: bool = False) -> Frame:
    """A server-sent event; `data` is JSON, or text as it is."""
    text = data if isinstance(data, str) else json.dumps(data)
    head = f"event: {name}\n" if name else ""
    return Frame(f"{head}data: {text}\n\n".encode(), generated)
