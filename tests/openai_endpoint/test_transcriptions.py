"""`POST /v1/audio/transcriptions`: every format, the call's row, and every refusal."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from governance.models import BudgetPolicy, ModelCall
from tests.openai_endpoint.web import DirectWeb, Scene

pytestmark = pytest.mark.usefixtures("every_role")
PATH = "/v1/audio/transcriptions"
AUDIO = b"RIFF" + bytes(range(256)) * 125


async def transcribed(web: DirectWeb, **fields: Any) -> httpx.Response:
    """The answer to a form with some audio."""
    return await web.client.post(
        PATH, data={"model": "scribe", **fields}, files={"file": ("a.wav", AUDIO, "audio/wav")}
    )


async def test_json_is_the_usual_answer(web: DirectWeb) -> None:
    for fields in ({}, {"response_format": "json"}):
        response = await transcribed(web, **fields)
        assert response.status_code == 200
        assert response.headers["content-type"] == "application/json"
        assert response.json()["text"]
        assert "segments" not in response.json()


async def test_more_can_be_told(web: DirectWeb) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    response = await transcribed(web, **fields)
    assert response.headers["content-type"] == "application/json"
    assert response.json()["segments"][0]["start"] == 0
    assert response.json()["words"]


@pytest.mark.parametrize(
    ("asked", "kind", "beginning"),
    [
        ("text", "text/plain; charset=utf-8", ""),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:00,000 --> "),
        ("vtt", "text/vtt; charset=utf-8", "WEBVTT\n\n00:00:00.000 --> "),
    ],
)
async def test_text_is_text(web: DirectWeb, asked: str, kind: str, beginning: str) -> None:
    words = (await transcribed(web)).json()["text"]
    response = await transcribed(web, response_format=asked)
    assert response.status_code == 200
    assert response.headers["content-type"] == kind
    assert response.text.startswith(beginning)
    assert words.split()[0] in response.text
    assert (response.text.strip() == words) == (asked == "text")


async def test_the_call_is_in_the_ledger(web: DirectWeb) -> None:
    response = await transcribed(web)
    row = await web.call()
    assert (row.status, row.role, row.model) == ("succeeded", "audio_transcription", "scribe")
    assert response.headers["x-palyra-call-id"] == str(row.pk)
    assert row.uncached_input_tokens == response.json()["usage"]["input_tokens"]
    assert row.output_tokens == response.json()["usage"]["output_tokens"]
    assert row.cost is not None and row.cost > 0


async def test_the_same_again_is_kept(web: DirectWeb) -> None:
    first = await transcribed(web, response_format="srt")
    again = await transcribed(web, response_format="srt")
    assert again.headers["x-palyra-cache"] == "hit"
    assert again.headers["content-type"] == first.headers["content-type"]
    assert again.text == first.text


@pytest.mark.parametrize(
    ("fields", "status", "code", "param"),
    [
        ({"model": ""}, 400, "invalid_request", "model"),
        ({"model": "nobody"}, 404, "model_not_found", "model"),
        ({"model": "nice"}, 404, "model_not_found", "model"),
        ({"model": "vector"}, 404, "model_not_found", "model"),
        ({"stream": "true"}, 400, "invalid_request", "stream"),
        ({"response_format": "html"}, 400, "invalid_request", "response_format"),
        ({"temperature": "warm"}, 400, "invalid_request", "temperature"),
    ],
)
async def test_a_form_at_fault_names_the_field(
    web: DirectWeb, fields: Any, status: int, code: str, param: str
) -> None:
    response = await transcribed(web, **fields)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, code, param)
    assert not await ModelCall.objects.aexists()


async def test_what_is_no_form_is_refused(web: DirectWeb) -> None:
    response = await web.client.post(PATH, json={"model": "scribe"})
    assert response.status_code == 400
    assert "multipart/form-data" in response.json()["error"]["message"]


async def test_a_form_without_a_file_is_refused(web: DirectWeb) -> None:
    files = {"file": (None, "not a file"), "model": (None, "scribe")}
    response = await web.client.post(PATH, files=files)
    error = response.json()["error"]
    assert (response.status_code, error["param"]) == (400, "file")


async def test_a_budget_holds_for_transcriptions_as_well(scene: Scene, web: DirectWeb) -> None:
    await BudgetPolicy.objects.filter(pk=scene.policy.pk).aupdate(hard_limit=1)
    assert (await transcribed(web)).status_code == 402


async def test_a_file_beyond_the_limit_of_other_bodies_is_written_down(web: DirectWeb) -> None:
    large = b"RIFF" + b"\0" * (25 * 1024 * 1024 - 4)
    await BudgetPolicy.objects.all().adelete()
    response = await web.client.post(
        PATH, data={"model": "scribe"}, files={"file": ("a.wav", large, "audio/wav")}
    )
    assert response.status_code == 200
    assert response.json()["usage"]["input_tokens"] == 25 * 1024 * 1024 // 1600
