"""Prompts and answers of calls, kept beside the ledger where a team wants it."""

from governance.texts.reading import (
    LONGEST,
    Passage,
    Text,
    answered_text,
    asked_text,
    stored,
    unstored,
)

__all__ = [
    "LONGEST",
    "Passage",
    "Text",
    "answered_text",
    "asked_text",
    "stored",
    "unstored",
]
