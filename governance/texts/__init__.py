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

# Each reading by whoever has the permission is in the audit trail, as that action.
READ_PERMISSION = "governance.read_calltext"
READ = "read"

__all__ = [
    "LONGEST",
    "READ",
    "READ_PERMISSION",
    "Passage",
    "Text",
    "answered_text",
    "asked_text",
    "stored",
    "unstored",
]
