"""How much a chat asks of a model, as a score in [0, 1] that shows what it is made of: pure.

Only the last thing a person said is read, and of that the beginning and the end, so a long prompt
costs no more than a short one. Every component is in [0, 1]; the score is their weighted sum.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# The weights add up to one. What is asked weighs more than how long it is: a long text to be
# translated is easier than a short proof.
WEIGHTS: Mapping[str, float] = {
    "length": 0.12,
    "tokens": 0.14,
    "json_mode": 0.08,
    "vision": 0.08,
    "tools": 0.13,
    "code": 0.14,
    "questions": 0.13,
    "keywords": 0.18,
}
# From here on a component counts whole.
LONG_TEXT = 4_000
MANY_TOKENS = 8_000
MANY_TOOLS = 8
MUCH_CODE = 3
MANY_QUESTIONS = 5
MANY_KEYWORDS = 4
# How far is looked: characters at either end of a text, parts of a message, messages from the end.
WINDOW = 1_024
MOST_PARTS = 32
MOST_MESSAGES = 64

# Stems of what is asked of a strong model, without accents: the text is compared without them too.
KEYWORDS: Mapping[str, Sequence[str]] = {
    "English": (
        "analy[sz]", "prove", "proof", "compare", "design", "architect", "refactor", "optimi[sz]",
        "debug", "derive", "evaluat", "justif", "trade-?off", "strateg", "explain why",
        "step by step",
    ),
    "German": (
        "analysier", "beweis", "vergleich", "entwirf", "entwurf", "begrund", "optimier", "bewert",
        "herleit", "leite .{0,40} her", "abwag", "architektur", "schritt fur schritt",
    ),
    "Czech": (
        "analyzuj", "analyzovat", "dokaz", "porovn", "navrhn", "zduvodn", "optimaliz", "vyhodno",
        "odvod", "posud", "krok za krokem",
    ),
    "French": (
        "analyse[rz]", "demontr", "prouve", "compare[rz]", "concev", "concois", "optimise[rz]",
        "evalue", "justifie", "deduis", "etape par etape",
    ),
    "Spanish": (
        "analiza", "demuestr", "demostrar", "compara", "disena", "optimiza", "evalua", "justifi",
        "deduce", "razona", "paso a paso",
    ),
}  # fmt: skip
_KEYWORD = re.compile(r"\b(?:" + "|".join(s for stems in KEYWORDS.values() for s in stems) + ")")
# Runs of space are bounded, so that no text makes the search go back and forth.
_CODE = re.compile(
    r"```|^[ \t]{0,40}(?:def|class|import|from|func|fn|public|private|const|let|var|return"
    r"|SELECT|#include)\b|[;{}][ \t]{0,8}$|=>|::|</\w",
    re.MULTILINE,
)
_QUESTION = re.compile(r"[?？؟]|^[ \t]{0,40}(?:\d{1,3}[.)]|[-*•])\s", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What of a chat its complexity is told by. `length` is characters of what was asked last, of
    which `text` is the beginning and the end."""

    text: str = ""
    length: int = 0
    tokens: int = 0
    json_mode: bool = False
    images: int = 0
    tools: int = 0


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a score: `value` in [0, 1], and its `share` of the total, weighted."""

    name: str
    value: float
    share: float


@dataclass(frozen=True, slots=True)
class ComplexityScore:
    """How much is asked, in [0, 1], and what makes it so much."""

    total: float
    components: tuple[Component, ...]

    def as_json(self) -> dict[str, Any]:
        """For the ledger's row."""
        return {"total": self.total, "components": [asdict(one) for one in self.components]}


def score(features: Features) -> ComplexityScore:
    """How much a chat with those features asks of a model."""
    text = features.text
    values = {
        "length": features.length / LONG_TEXT,
        "tokens": features.tokens / MANY_TOKENS,
        "json_mode": float(features.json_mode),
        "vision": float(features.images > 0),
        "tools": features.tools / MANY_TOOLS,
        "code": len(_CODE.findall(text)) / MUCH_CODE,
        "questions": len(_QUESTION.findall(text)) / MANY_QUESTIONS,
        "keywords": len(set(_KEYWORD.findall(_plain(text)))) / MANY_KEYWORDS,
    }
    components = tuple(_component(name, min(1.0, value)) for name, value in values.items())
    return ComplexityScore(min(1.0, round(sum(one.share for one in components), 4)), components)


def features_of(
    messages: Sequence[Mapping[str, Any]],
    *,
    tokens: int,
    json_mode: bool = False,
    images: int = 0,
    tools: int = 0,
) -> Features:
    """The features of a chat: its text is the last that a user said."""
    texts = _last_question(messages)
    return Features(
        text=_ends(texts),
        length=sum(len(text) for text in texts),
        tokens=tokens,
        json_mode=json_mode,
        images=images,
        tools=tools,
    )


def _component(name: str, value: float) -> Component:
    return Component(name, round(value, 4), round(value * WEIGHTS[name], 4))


def _last_question(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    for message in reversed(messages[-MOST_MESSAGES:]):
        if message.get("role") == "user":
            return _texts(message.get("content"))
    return []


def _texts(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content[:MOST_PARTS] if isinstance(content, list) else ()
    texts = (part.get("text") for part in parts if isinstance(part, Mapping))
    return [text for text in texts if isinstance(text, str)]


def _ends(texts: Sequence[str]) -> str:
    """The beginning and the end of it all; nothing is read twice."""
    if sum(len(text) for text in texts) <= 2 * WINDOW:
        return "\n".join(texts)
    head = "\n".join(text[:WINDOW] for text in texts)[:WINDOW]
    tail = "\n".join(text[-WINDOW:] for text in texts)[-WINDOW:]
    return f"{head}\n{tail}"


def _plain(text: str) -> str:
    """In small letters and without accents, as many people type."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return decomposed.encode("ascii", "ignore").decode()
