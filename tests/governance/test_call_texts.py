"""Prompts and answers are kept where a team wants that, and only there and for as long."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db import DataError, OperationalError
from django.utils import timezone

from governance.calls import CallStream, execute, open_stream
from governance.errors import BudgetBlocked, CallError
from governance.models import BudgetPolicy, CallText, ModelCall, Team
from governance.retention import forget_texts
from governance.texts import LONGEST, Passage, Text, answered_text, asked_text, stored, unstored
from governance.texts import keeper as keeper_module
from governance.texts.keeper import Exchange, TextKeeper
from governance.transcription_request import TranscriptionForm
from providers.chunks import Assembler
from providers.failures import FailureClass
from providers.identifiers import new_id
from tests.governance.scenes import TwoProviders
from tests.governance.scripted import ScriptedStream, answer, failure, install, piece
from tests.support.factories import make_team

transactional = pytest.mark.django_db(transaction=True)
USER = {"role": "user", "content": "What is it?"}
PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1000}}


def chat(*messages: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    asked = asked_text("chat", {"model": "m", "messages": list(messages), **more})
    return [(one.speaker, one.text) for one in asked.passages]


@pytest.mark.parametrize(
    ("messages", "more", "passages"),
    [
        ([USER], {}, [("User", "What is it?")]),
        (
            [{"role": "system", "content": "Be brief."}, USER],
            {"temperature": 0},
            [
                ("Settings", '{"temperature": 0}'),
                ("System", "Be brief."),
                ("User", "What is it?"),
            ],
        ),
        (
            [{"role": "user", "content": [{"type": "text", "text": "See:"}, PICTURE]}],
            {},
            [("User", "See:\n[image url]")],
        ),
        (
            [
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"function": {"name": "look", "arguments": '{"at": 1}'}}],
                }
            ],
            {"tools": [{"type": "function", "function": {"name": "look"}}]},
            [("Settings", '{"tools": ["look"]}'), ("Assistant", '→ look({"at": 1})')],
        ),
        ([{"role": "user", "name": "mira", "content": "Hi"}], {}, [("User (mira)", "Hi")]),
        ([{"role": "user"}], {}, [("User", "")]),
    ],
)
def test_what_is_kept_of_a_chat(
    messages: list[dict[str, Any]], more: dict[str, Any], passages: list[tuple[str, str]]
) -> None:
    assert chat(*messages, **more) == passages


def test_of_a_long_prompt_the_end_is_kept() -> None:
    first = {"role": "system", "content": "s" * LONGEST}
    last = {"role": "user", "content": "u" * (LONGEST - 10)}

    asked = asked_text("chat", {"messages": [first, last]})

    assert asked == Text(
        (Passage("System", "s" * 10), Passage("User", "u" * (LONGEST - 10))), cut=True
    )


def test_what_just_fits_is_whole() -> None:
    assert not asked_text("chat", {"messages": [{"role": "user", "content": "u" * LONGEST}]}).cut
    whole = asked_text("chat", {"messages": [{"role": "user", "content": "u" * LONGEST}] * 2})
    assert whole == Text((Passage("User", "u" * LONGEST),), cut=True)


def test_of_a_long_answer_the_beginning_is_kept() -> None:
    said = answered_text("chat", answer("begin" + "x" * LONGEST).body)

    assert said.cut
    assert said.passages[0].text.startswith("begin")
    assert said.size == LONGEST + len("Model")


def test_pictures_recordings_and_vectors_are_only_named() -> None:
    form = TranscriptionForm(
        fields=(("model", "m"), ("prompt", "Names")),
        filename="a.mp3",
        content_type="audio/mpeg",
        audio=b"12345",
    )
    assert [one.text for one in asked_text("audio_transcription", form).passages] == [
        "Names",
        "[a.mp3, 5 bytes of audio/mpeg]",
    ]
    assert answered_text("audio_transcription", {"text": "Hello"}).passages[0].text == "Hello"
    assert answered_text("audio_transcription", "1\n00:00").passages[0].text == "1\n00:00"
    vectors = {"data": [{"embedding": [0.1] * 9}]}
    assert answered_text("embeddings", vectors).passages == (Passage("Model", "[1 vector]"),)
    for given, kept in (
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([1, 2], ["[2 tokens by number]"]),
        ([[1, 2], [3]], ["[2 tokens by number]", "[1 tokens by number]"]),
    ):
        asked = asked_text("embeddings", {"model": "m", "input": given})
        assert [one.text for one in asked.passages] == kept


def test_an_answer_says_how_it_ended_and_what_was_thought() -> None:
    message = {"content": "Yes", "reasoning_content": "Hm"}
    body = {"choices": [{"message": message, "finish_reason": "length"}, {"message": None}]}

    said = answered_text("chat", body).passages

    assert [(one.speaker, one.text) for one in said] == [
        ("Reasoning 1", "Hm"),
        ("Model 1 (ended: length)", "Yes"),
    ]


def test_what_is_stored_can_be_read_again() -> None:
    text = Text((Passage("User", "a\0b"),), cut=True)

    assert unstored(stored(text)) == Text((Passage("User", "a\N{REPLACEMENT CHARACTER}b"),), True)
    assert unstored(None) == Text()


async def keeps(two: TwoProviders, days: int = 30) -> None:
    """From now on the team's prompts and answers are kept."""
    team = await Team.objects.aget(pk=two.team.pk)
    team.text_days = days
    await team.asave()
    await two.changed()


async def kept(two: TwoProviders) -> list[CallText]:
    """What was kept, once all is written: this stops the runtime."""
    await two.runtime.stop()
    return [one async for one in CallText.objects.all()]


def said(row: CallText) -> str:
    return " ".join(one.text for one in unstored(row.answered).passages)


@transactional
async def test_by_default_nothing_is_kept(two: TwoProviders, monkeypatch: Any) -> None:
    install(monkeypatch, first=[answer()])
    await execute(two.request(), runtime=two.runtime)
    assert await kept(two) == []


@transactional
@pytest.mark.parametrize("settled", [True, False])
async def test_a_call_is_kept_after_it_is_settled(
    two: TwoProviders, monkeypatch: Any, settled: bool
) -> None:
    await keeps(two)
    install(monkeypatch, first=[answer("Yes indeed.")])
    result = await execute(two.request(), runtime=two.runtime, settled=settled)
    (row,) = await kept(two)
    call = await ModelCall.objects.aget()
    assert (row.pk, row.team_id, row.admitted_at) == (result.call_id, two.team.pk, call.admitted_at)
    assert unstored(row.asked).passages == (Passage("User", "hello"),)
    assert said(row) == "Yes indeed."


@transactional
async def test_a_failure_is_kept_without_an_answer(two: TwoProviders, monkeypatch: Any) -> None:
    await keeps(two)
    install(monkeypatch, first=[failure(FailureClass.AUTH_INVALID)])
    with pytest.raises(CallError):
        await execute(two.request("cheap"), runtime=two.runtime)
    (row,) = await kept(two)
    assert unstored(row.asked).passages == (Passage("User", "hello"),)
    assert row.answered is None


@transactional
async def test_what_was_never_sent_is_not_kept(two: TwoProviders) -> None:
    await keeps(two)
    await BudgetPolicy.objects.aupdate(hard_limit=1)
    with pytest.raises(BudgetBlocked):
        await execute(two.request(), runtime=two.runtime)
    assert await kept(two) == []


async def opened(two: TwoProviders) -> CallStream:
    return await open_stream(two.request(stream=True), runtime=two.runtime)


@transactional
async def test_a_stream_is_kept_whole(two: TwoProviders, monkeypatch: Any) -> None:
    await keeps(two)
    install(monkeypatch, first=ScriptedStream([piece("Good "), piece("morning")]))
    stream = await opened(two)
    assert [chunk async for chunk in stream]
    await stream.aclose()
    (row,) = await kept(two)
    assert said(row) == "Good morning"


@transactional
async def test_of_a_stream_that_is_left_is_kept_what_came(
    two: TwoProviders, monkeypatch: Any
) -> None:
    await keeps(two)
    source = ScriptedStream([piece("Good "), piece("morning"), piece(" all")])
    install(monkeypatch, first=source)
    stream = await opened(two)
    await anext(stream)
    await stream.aclose()
    (row,) = await kept(two)
    assert said(row).startswith("Good ")
    assert "all" not in said(row)


@transactional
async def test_of_a_stream_under_way_when_texts_are_switched_on_nothing_is_kept(
    two: TwoProviders, monkeypatch: Any
) -> None:
    install(monkeypatch, first=ScriptedStream([piece("Good "), piece("morning")]))
    stream = await opened(two)
    await anext(stream)
    await keeps(two)
    await stream.aclose()
    assert await kept(two) == []


@transactional
async def test_a_stream_that_cannot_be_put_together_is_settled(
    two: TwoProviders, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Assembler) -> Any:
        raise ValueError("hello")

    await keeps(two)
    monkeypatch.setattr(Assembler, "completion", broken)
    install(monkeypatch, first=ScriptedStream([piece("Good "), piece("morning")]))
    stream = await opened(two)
    await anext(stream)
    await stream.aclose()
    assert await kept(two) == []
    assert (await ModelCall.objects.aget()).status == "cancelled"
    assert "cannot be kept" in caplog.text


@transactional
async def test_a_stream_is_put_together_only_where_it_is_kept(
    two: TwoProviders, monkeypatch: Any
) -> None:
    made: list[Assembler] = []
    monkeypatch.setattr(Assembler, "completion", made.append)
    install(monkeypatch, first=ScriptedStream([piece("Good "), piece("morning")]))
    stream = await open_stream(two.request(stream=True, temperature=0), runtime=two.runtime)
    await anext(stream)
    await stream.aclose()
    assert await kept(two) == []
    assert made == []


@transactional
async def test_what_cannot_be_read_does_not_fail_the_call(
    two: TwoProviders, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: Any) -> Text:
        raise ValueError("hello")

    await keeps(two)
    monkeypatch.setattr("governance.calls.remembering.asked_text", broken)
    install(monkeypatch, first=[answer("Yes.")])
    result = await execute(two.request(), runtime=two.runtime)
    assert result.text == "Yes."
    assert await kept(two) == []
    assert "cannot be kept" in caplog.text
    assert "hello" not in caplog.text


def exchange(team: Team, text: str = "hello") -> Exchange:
    asked = Text((Passage("User", text),))
    now = timezone.now()
    return Exchange(call_id=new_id(), team_id=team.pk, admitted_at=now, asked=asked, answered=None)


@transactional
@pytest.mark.parametrize("failing", [1, 9])
def test_a_database_that_is_away_loses_texts_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, failing: int
) -> None:
    left, insert = [failing], keeper_module._insert

    def away(batch: Any) -> None:
        left[0] -= 1
        if left[0] >= 0:
            raise OperationalError("server closed the connection: hello")
        insert(batch)

    monkeypatch.setattr(keeper_module, "PAUSE_SECONDS", 0)
    monkeypatch.setattr(keeper_module, "_insert", away)
    one = exchange(make_team())
    keeper = TextKeeper()
    keeper.start()
    with caplog.at_level(logging.WARNING):
        keeper.put(one)
        keeper.stop()
    assert CallText.objects.filter(pk=one.call_id).exists() is (failing == 1)
    assert "hello" not in caplog.text


@transactional
def test_one_that_cannot_be_written_does_not_cost_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    team, insert = make_team(), keeper_module._insert
    one, bad = exchange(team), exchange(team, "bad")

    def refuses(batch: Any) -> None:
        if bad in batch:
            raise DataError("bad")
        insert(batch)

    monkeypatch.setattr(keeper_module, "_insert", refuses)
    keeper = TextKeeper()
    keeper.put(bad)
    keeper.put(one)
    keeper.start()
    keeper.stop()
    assert [row.pk for row in CallText.objects.all()] == [one.call_id]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "MOST_WAITING", 25)
    keeper, team = TextKeeper(), Team(pk=1)
    for _ in range(5):
        keeper.put(exchange(team))
    assert len(keeper._gather()) == 2


@pytest.mark.django_db
def test_texts_are_deleted_as_their_team_says_now() -> None:
    now = timezone.now()
    off, short, long = (make_team(text_days=days) for days in (0, 7, 30))
    for team in (off, short, long):
        for days in (1, 8, 31):
            at = now - timedelta(days=days)
            CallText.objects.create(pk=new_id(), team=team, admitted_at=at, asked={})

    assert forget_texts(now, lambda: True).rows == 3 + 2 + 1

    left = CallText.objects.values_list("team", flat=True)
    assert sorted(left) == sorted([short.pk, long.pk, long.pk])
    assert not forget_texts(now, lambda: False).finished


def test_a_deleted_team_takes_its_texts_along(db: None) -> None:
    team = make_team(text_days=1)
    CallText.objects.create(pk=new_id(), team=team, admitted_at=timezone.now(), asked={})
    team.delete()
    assert not CallText.objects.exists()
