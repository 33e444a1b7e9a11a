"""Exact counts of tokens: whose, how, and that no bound on them is low."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from governance import chat_request, embeddings_request, tokenizers
from governance.parsed_request import bound_by
from governance.tokenizers import FAMILIES, LONGEST_TOKEN, counter, encoding_of
from providers.models import ProviderKind
from providers.registry import ModelEntry
from tests.providers.entries import model_entry, provider_entry

OPENAI = "https://api.openai.com/v1"
O200K, CL100K = "o200k_base", "cl100k_base"
# Everything that is written otherwise than it is read: runs, marks, joined signs, special tokens.
PIECES = st.sampled_from(
    [
        *(
            " ",
            "  ",
            "\n",
            "\r\n",
            "\t",
            '"',
            "\\",
            "'s",
            "'LL",
            "HTTP",
            "99",
            "中文",
            "é",
            "e\u0301",
        ),
        *(
            "👩\u200d👧",
            "\u200d",
            "\u3000",
            "\0",
            "<|endoftext|>",
            "<|im_start|>",
            "<|",
            "|>",
            "def f(",
        ),
    ]
)
TEXTS = st.one_of(
    st.text(), st.lists(PIECES).map("".join), st.lists(st.text() | PIECES).map("".join)
)


def at(base_url: str, name: str, **fields: Any) -> ModelEntry:
    provider = provider_entry(
        kind=fields.pop("kind", ProviderKind.OPENAI_COMPATIBLE), base_url=base_url
    )
    return replace(model_entry(provider=provider, **fields), name="ours", upstream_name=name)


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("gpt-5", O200K),
        ("gpt-5-mini", O200K),
        ("gpt-5.1", O200K),
        ("gpt-5.2-pro", O200K),
        ("gpt-4.1", O200K),
        ("gpt-4.1-nano-2025-04-14", O200K),
        ("gpt-4.5-preview", O200K),
        ("gpt-4o", O200K),
        ("gpt-4o-mini", O200K),
        ("chatgpt-4o-latest", O200K),
        ("o1", O200K),
        ("o3-mini", O200K),
        ("o4-mini", O200K),
        ("ft:gpt-4o-mini-2024-07-18:us::abc", O200K),
        ("gpt-4", CL100K),
        ("gpt-4-turbo", CL100K),
        ("gpt-4-0613", CL100K),
        ("gpt-3.5-turbo", CL100K),
        ("gpt-3.5-turbo-0125", CL100K),
        ("ft:gpt-3.5-turbo-0125:us::abc", CL100K),
        ("text-embedding-3-small", CL100K),
        ("text-embedding-3-large", CL100K),
        ("text-embedding-ada-002", CL100K),
        # A family that is not known yet, or whose vocabulary is another.
        ("gpt-6", None),
        ("gpt-50", None),
        ("gpt-4x", None),
        ("o5", None),
        ("o30", None),
        ("gpt-oss-120b", None),
        ("text-embedding-4", None),
        ("claude-sonnet-4-5", None),
        ("my-gpt-4o", None),
        ("GPT-4o", None),
        ("ft:mine", None),
        # They read more than text.
        ("gpt-4o-audio-preview", None),
        ("gpt-4o-realtime-preview", None),
        ("gpt-4o-search-preview-2025-03-11", None),
        ("gpt-4o-transcribe", None),
        ("o3-deep-research", None),
    ],
)
def test_the_vocabulary_of_each_family_at_its_makers_host(name: str, encoding: str | None) -> None:
    assert encoding_of(at(OPENAI, name)) == encoding


@pytest.mark.parametrize(
    ("base_url", "known"),
    [
        (OPENAI, True),
        ("https://eu.api.openai.com/v1", True),
        ("https://api.openai.com.example.com/v1", False),
        ("https://notapi.openai.com/v1", False),
        ("https://api.example.com/api.openai.com", False),
        ("https://openrouter.ai/api/v1", False),
        ("http://localhost:11434/v1", False),
        # A deployment is called what an operator likes, whatever model is behind it.
        ("https://ours.openai.azure.com/openai/v1", False),
        ("", False),
    ],
)
def test_a_name_says_nothing_at_another_host(base_url: str, known: bool) -> None:
    assert (encoding_of(at(base_url, "gpt-4o")) is not None) is known


def test_another_protocol_is_counted_in_another_way() -> None:
    assert encoding_of(at(OPENAI, "gpt-4o", kind=ProviderKind.ANTHROPIC)) is None


def test_it_is_the_hosts_name_of_the_model_that_counts() -> None:
    assert encoding_of(replace(at(OPENAI, "other"), name="gpt-4o")) is None


def test_where_the_package_is_missing_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "_package", lambda: None)
    assert encoding_of(at(OPENAI, "gpt-4o")) is None


# As `tiktoken`, OpenAI's own, counts them.
@pytest.mark.parametrize(
    ("text", "o200k", "cl100k"),
    [
        ("", 0, 0),
        ("hello world", 2, 2),
        ("<|endoftext|>", 7, 7),
        ("日本語のテキスト、漢字かな交じり。", 14, 18),
        ("안녕하세요 세계", 3, 9),
        ("👩‍👩‍👧‍👦🏳️‍🌈🇩🇪", 21, 33),
        ("def f(x):\n\treturn x**2  # ok\n", 12, 12),
        ("12345678901234567890", 7, 7),
        (" " * 1000, 9, 9),
        ("It's WE'LL they'Re I'D'S ’s", 11, 12),
        ("\x00\x01\x7f\x85\u2028\u2029", 8, 9),
    ],
)
def test_counts_are_the_hosts_own(text: str, o200k: int, cl100k: int) -> None:
    assert (counter(O200K)(text), counter(CL100K)(text)) == (o200k, cl100k)


@pytest.mark.parametrize("encoding", FAMILIES)
@given(text=TEXTS)
def test_a_text_has_no_more_tokens_than_bytes_and_no_fewer_than_the_longest_make(
    encoding: str, text: str
) -> None:
    tokens = counter(encoding)(text)
    assert len(text.encode()) / LONGEST_TOKEN <= tokens <= len(text.encode())


@pytest.mark.parametrize("encoding", FAMILIES)
@given(parts=st.lists(TEXTS, min_size=2, max_size=4), special=st.sampled_from(["endoftext"]))
def test_special_tokens_in_a_text_count_as_more_than_themselves(
    encoding: str, parts: list[str], special: str
) -> None:
    count = counter(encoding)
    as_tokens = sum(count(part) for part in parts) + len(parts) - 1
    assert count(f"<|{special}|>".join(parts)) >= as_tokens


def message(content: Any, role: str = "user", **fields: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **fields}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


IMAGE = {"type": "image_url", "image_url": {"url": "https://images.example.com/one.png"}}


@pytest.mark.parametrize("encoding", FAMILIES)
@given(
    contents=st.lists(
        TEXTS
        | TEXTS.map(lambda text: [text_part(text)])
        | TEXTS.map(lambda text: [text_part(text), IMAGE]),
        min_size=1,
        max_size=4,
    )
)
def test_a_chats_bound_is_between_its_bytes_and_its_tokens(
    encoding: str, contents: list[Any]
) -> None:
    asked = chat_request.parse({"model": "m", "messages": [message(one) for one in contents]})
    count = counter(encoding)
    exact = sum(count(one if isinstance(one, str) else one[0]["text"]) for one in contents)
    tight = bound_by(asked, count)
    fixed = bound_by(asked, lambda text: 0)
    assert asked.input_bound >= tight == fixed + exact
    assert fixed >= chat_request.REQUEST_OVERHEAD + len(contents) * chat_request.MESSAGE_OVERHEAD


@pytest.mark.parametrize("encoding", FAMILIES)
@given(inputs=st.lists(TEXTS.filter(bool), min_size=1, max_size=5))
def test_the_bound_of_embeddings_is_between_its_bytes_and_its_tokens(
    encoding: str, inputs: list[str]
) -> None:
    asked = embeddings_request.parse({"model": "m", "input": inputs})
    count = counter(encoding)
    exact = sum(count(one) for one in inputs)
    overhead = len(inputs) * embeddings_request.INPUT_OVERHEAD
    assert asked.input_bound >= bound_by(asked, count) == exact + overhead


def test_a_single_input_is_a_text_and_token_ids_are_none() -> None:
    alone = embeddings_request.parse({"model": "m", "input": "hello"})
    assert list(alone.texts()) == [("hello", 5)]
    for ids in ([1, 2], [[1, 2], [3]]):
        asked = embeddings_request.parse({"model": "m", "input": ids})
        assert list(asked.texts()) == []
        assert bound_by(asked, counter(CL100K)) == asked.input_bound


TOOL = {"type": "function", "function": {"name": "look", "description": "hello " * 20}}
CALL = {"id": "1", "type": "function", "function": {"name": "look", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("body", "texts"),
    [
        ({"messages": [message("hello"), message("yes", "assistant")]}, ["hello", "yes"]),
        ({"messages": [message("be nice", "developer"), message("", "user")]}, ["be nice"]),
        ({"messages": [message([text_part("hello"), IMAGE])]}, ["hello"]),
        ({"messages": [message(None, "assistant", tool_calls=[CALL])]}, []),
        ({"messages": [message("hello")], "tools": [TOOL]}, ["hello"]),
        # Joined by a host, they may be other tokens.
        ({"messages": [message([text_part("hel"), text_part("lo")])]}, []),
        ({"messages": [message([{"type": "refusal", "refusal": "No."}])]}, []),
        ({"messages": [message([])]}, []),
        # Written into the prompt in the host's way.
        ({"messages": [message('{"a": 1}', "tool", tool_call_id="1")]}, []),
        ({"messages": [message('{"a": 1}', "function", name="look")]}, []),
    ],
)
def test_what_hosts_read_as_it_is_can_be_counted(body: Mapping[str, Any], texts: list[str]) -> None:
    asked = chat_request.parse({"model": "m", **body})
    assert [text for text, _ in asked.texts()] == texts
    saved = sum(len(orjson.dumps(text)) - 2 - counter(O200K)(text) for text in texts)
    assert bound_by(asked, counter(O200K)) == asked.input_bound - saved
