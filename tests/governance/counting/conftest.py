"""A provider whose tokenizer is known, and what was counted with it."""

from __future__ import annotations

import pytest
import pytest_asyncio

from governance import tokenizers
from tests.governance.counting.asking import Counted, moved
from tests.governance.scenes import TwoProviders


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """The vocabularies that texts were counted by, in turn."""
    seen: Counted = []
    counter = tokenizers.counter

    def noting(encoding: str) -> tokenizers.Count:
        seen.append(encoding)
        return counter(encoding)

    monkeypatch.setattr(tokenizers, "counter", noting)
    return seen


@pytest_asyncio.fixture
async def openai(two: TwoProviders) -> TwoProviders:
    """The two providers, where the first, and cheap, one is OpenAI, and the other somewhere."""
    await moved(two, two.second, two.dear, "gpt-4o", base_url="https://llm.example.com/v1")
    await moved(two, two.first, two.cheap, "gpt-4o")
    return two
