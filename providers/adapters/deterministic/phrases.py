"""What the provider has to say."""

from __future__ import annotations

SENTENCES = (
    "The figures agree with what was expected.",
    "Two points deserve a closer look before the end of the week.",
    "Nothing here needs a decision today.",
    "The trend is steady, with a small rise towards the end.",
    "A short summary follows for those who were away.",
    "The first step is done; the second depends on the reply.",
    "Costs stayed within the plan.",
    "One item is late and has a new date.",
)


def sentences(digest: bytes) -> list[str]:
    """Two to four of them, each once."""
    chosen = [SENTENCES[byte % len(SENTENCES)] for byte in digest[1 : 3 + digest[1] % 3]]
    return list(dict.fromkeys(chosen))
