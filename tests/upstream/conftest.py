"""An upstream, and the official clients that ask it."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import openai
import pytest

from tests.support.upstream import Behaviour, Upstream, start_upstream
from tests.upstream.asking import MODEL


@pytest.fixture(scope="package")
def running() -> Iterator[Upstream]:
    with start_upstream() as upstream:
        yield upstream


@pytest.fixture
def upstream(running: Upstream) -> Upstream:
    for name in (MODEL, "models"):
        running.behave(name, Behaviour())
    running.require_credentials()
    running.forget()
    return running


@pytest.fixture
def open_ai(upstream: Upstream) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="a-key", base_url=upstream.base_url, max_retries=0) as client:
        yield client


@pytest.fixture
def claude(upstream: Upstream) -> Iterator[anthropic.Anthropic]:
    base_url = upstream.anthropic_base_url.removesuffix("/v1")
    with anthropic.Anthropic(api_key="a-key", base_url=base_url, max_retries=0) as client:
        yield client
