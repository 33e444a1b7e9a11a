"""`POST /v1/embeddings`: OpenAI's shape in both encodings, the call's row, and every refusal."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest

from governance.models import BudgetPolicy, ModelCall
from tests.openai_endpoint.web import DirectWeb, Scene

pytestmark = pytest.mark.usefixtures("every_role")
PATH = "/v1/embeddings"


def asked(value: Any = "Hello.", **fields: Any) -> dict[str, Any]:
    return {"model": "vector", "input": value, **fields}


async def test_each_input_has_a_vector(web: DirectWeb) -> None:
    response = await web.client.post(PATH, json=asked(["one", "two", "one"], dimensions=8))
    assert response.status_code == 200
    body = response.json()
    assert (body["object"], body["model"]) == ("list", "vector")
    assert [one["index"] for one in body["data"]] == [0, 1, 2]
    first, second, third = (one["embedding"] for one in body["data"])
    assert len(first) == 8
    assert first == third != second
    assert set(body["usage"]) == {"prompt_tokens", "total_tokens"}


async def test_both_encodings_say_the_same(web: DirectWeb) -> None:
    plain = (await web.client.post(PATH, json=asked())).json()
    packed = (await web.client.post(PATH, json=asked(encoding_format="base64"))).json()
    vector = plain["data"][0]["embedding"]
    content = base64.b64decode(packed["data"][0]["embedding"])
    assert list(struct.unpack(f"<{len(content) // 4}f", content)) == vector


@pytest.mark.parametrize("value", ["Hello.", ["Hello."], [7, 8], [[7, 8], [9]]])
async def test_input_comes_in_four_shapes(web: DirectWeb, value: Any) -> None:
    response = await web.client.post(PATH, json=asked(value))
    assert response.status_code == 200
    assert len(response.json()["data"]) == (2 if value == [[7, 8], [9]] else 1)


async def test_the_call_is_in_the_ledger_and_has_no_output(web: DirectWeb) -> None:
    response = await web.client.post(PATH, json=asked("Hello, you."))
    row = await web.call()
    assert (row.status, row.role, row.model) == ("succeeded", "embeddings", "vector")
    assert row.uncached_input_tokens == response.json()["usage"]["prompt_tokens"]
    assert row.output_tokens == 0
    assert response.headers["x-palyra-call-id"] == str(row.pk)
    assert response.headers["x-palyra-model"] == "here/vector"
    # What is held has no output either: nothing but the bytes and what is around an input.
    assert row.token_bound == len("Hello, you.") + 16


async def test_the_same_again_is_kept(web: DirectWeb) -> None:
    first = await web.client.post(PATH, json=asked())
    again = await web.client.post(PATH, json=asked())
    assert again.headers["x-palyra-cache"] == "hit"
    assert again.headers["x-palyra-cost"].strip("0") == "."
    assert again.json() == first.json()


@pytest.mark.parametrize(
    ("body", "status", "code", "param"),
    [
        (asked([]), 400, "invalid_request", "input"),
        (asked(dimensions=0), 400, "invalid_request", "dimensions"),
        (asked(model=""), 400, "invalid_request", "model"),
        (asked(model="nobody"), 404, "model_not_found", "model"),
        (asked(model="nice"), 404, "model_not_found", "model"),
    ],
)
async def test_a_request_at_fault_names_the_field(
    web: DirectWeb, body: Any, status: int, code: str, param: str
) -> None:
    response = await web.client.post(PATH, json=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert response.headers["x-should-retry"] == "false"
    assert not await ModelCall.objects.aexists()


async def test_an_embeddings_model_is_no_chat_model(web: DirectWeb) -> None:
    response = await web.chat(model="vector")
    assert (response.status_code, response.json()["error"]["code"]) == (404, "model_not_found")


async def test_a_budget_holds_for_embeddings_as_well(scene: Scene, web: DirectWeb) -> None:
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=1)
    response = await web.client.post(PATH, json=asked())
    assert response.status_code == 402
