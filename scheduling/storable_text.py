"""Text that every database can store."""

from __future__ import annotations

import re

from governance.storable import NUL, REPLACEMENT

UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def storable_text(text: str) -> str:
    """The same with a replacement character for each NUL and each half of a character."""
    if not UNSTORABLE.search(text):
        return text
    # Two halves that belong together become the one character that they are.
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace(NUL, REPLACEMENT)
