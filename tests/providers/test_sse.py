"""Server-sent events: what the standard says, however the bytes are cut, and bounded."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.sse import EventParser, EventTooLarge, ServerSentEvent

LIMIT = 1024


def parsed(*pieces: bytes, limit: int = LIMIT, end: bool = True) -> list[tuple[str, str]]:
    events, too_large = outcome(list(pieces), limit, end=end)
    assert not too_large
    return [(event.event, event.data) for event in events]


def outcome(
    pieces: list[bytes], limit: int = LIMIT, *, end: bool = True
) -> tuple[list[ServerSentEvent], bool]:
    """The events of `pieces`, and whether one was too large."""
    parser, events = EventParser(limit), []
    try:
        for piece in pieces:
            for event in parser.feed(piece):
                events.append(event)
        if end:
            events += parser.finish()
    except EventTooLarge:
        return events, True
    return events, False


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"", []),
        (b"data: one\n\n", [("", "one")]),
        (b"data: one\r\n\r\n", [("", "one")]),
        (b"data: one\r\r", [("", "one")]),
        (b"data: one\r\n\rdata: two\n\r\n", [("", "one"), ("", "two")]),
        (b"data:one\n\n", [("", "one")]),
        (b"data:  one\n\n", [("", " one")]),
        (b"data: a: b\n\n", [("", "a: b")]),
        (b"data: one\ndata: two\n\n", [("", "one\ntwo")]),
        (b"data\n\n", [("", "")]),
        (b"data\ndata\n\n", [("", "\n")]),
        (b"data:\ndata: two\n\n", [("", "\ntwo")]),
        (b"event: ping\ndata: {}\n\n", [("ping", "{}")]),
        (b"data: {}\nevent:ping\n\n", [("ping", "{}")]),
        (b"event: a\nevent: b\ndata: x\n\n", [("b", "x")]),
        (b"event: lost\n\ndata: x\n\n", [("", "x")]),
        (b"event: a\ndata: x\n\ndata: y\n\n", [("a", "x"), ("", "y")]),
        (b": comment\n\n:\n\ndata: x\n: within\n\n", [("", "x")]),
        (b"id: 7\nretry: 10\nunknown: x\nunknown\ndata: x\n\n", [("", "x")]),
        (b"Data: x\n\n data: x\n\n", []),
        (b"\n\n\n\ndata: x\n\n\n\n", [("", "x")]),
        (b"\xef\xbb\xbfdata: x\n\n", [("", "x")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: x\n\n", []),
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", [("", "x")]),
        ("data: naïve 🙂\n\n".encode(), [("", "naïve 🙂")]),
        ("data: a\u2028b\x0b\x85c\n\n".encode(), [("", "a\u2028b\x0b\x85c")]),
        (b"data: \xff\xf0\x9f\n\n", [("", "\ufffd\ufffd")]),
    ],
)
def test_what_the_standard_says(stream: bytes, events: list[tuple[str, str]]) -> None:
    assert parsed(stream) == events
    assert parsed(*(stream[at : at + 1] for at in range(len(stream)))) == events


@pytest.mark.parametrize(
    "tail", [b"", b"\n", b"\r", b"\r\n", b"\n\n", b"\nevent: done", b"\n: bye", b"\nid"]
)
def test_the_last_event_is_not_lost_for_want_of_a_blank_line(tail: bytes) -> None:
    (*_, last) = parsed(b"data: one\n\ndata: [DONE]" + tail)
    assert last[1] == "[DONE]"


@pytest.mark.parametrize("tail", [b"", b"event: ping", b"id: 1\n", b":", b"\xef\xbb"])
def test_nothing_is_made_of_an_end_without_data(tail: bytes) -> None:
    assert parsed(b"data: one\n\n" + tail) == [("", "one")]
    assert parsed(tail) == []


def test_an_event_comes_with_the_byte_that_ends_it() -> None:
    parser = EventParser(LIMIT)
    assert list(parser.feed(b"data: one\n")) == []
    assert list(parser.feed(b"\r")) == [ServerSentEvent("", "one")]
    assert list(parser.feed(b"\ndata: two\n\n")) == [ServerSentEvent("", "two")]


LINES = st.sampled_from(
    [b"data: one", b"data:", b"data", b"event: a", b"event", b": c", b"id: 1", b"", b"", b"\xef"]
) | st.text("ab:é🙂 ", max_size=12).map(lambda text: b"data: " + text.encode())
STREAMS = st.tuples(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb"]),
    st.lists(st.tuples(LINES, st.sampled_from([b"\n", b"\r", b"\r\n"])), max_size=20),
).map(lambda parts: parts[0] + b"".join(line + end for line, end in parts[1]))


@given(STREAMS, st.lists(st.integers(0, 400)), st.integers(1, 60))
def test_the_events_are_the_same_however_the_bytes_are_cut(
    stream: bytes, cuts: list[int], limit: int
) -> None:
    at = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    pieces = [stream[begin:end] for begin, end in pairwise(at)]
    assert b"".join(pieces) == stream
    assert outcome(pieces, limit) == outcome([stream], limit)
    singly = [stream[at : at + 1] for at in range(len(stream))]
    assert outcome(singly, limit) == outcome([stream], limit)


@given(st.lists(st.tuples(st.sampled_from(["", "ping"]), st.text()), max_size=8))
def test_what_was_written_is_read(events: list[tuple[str, str]]) -> None:
    def line_of(text: str) -> str:
        return "".join(f"data: {line}\n" for line in text.split("\n"))

    meant = [(name, data.replace("\r", "")) for name, data in events]
    stream = "".join(f"event: {name}\n{line_of(data)}\n" for name, data in meant)
    assert parsed(stream.encode(errors="replace"), limit=10**6) == [
        (name, data.encode(errors="replace").decode()) for name, data in meant
    ]


@given(st.binary(max_size=300), st.integers(1, 40))
def test_any_bytes_do_no_harm(stream: bytes, limit: int) -> None:
    events, _ = outcome([stream], limit)
    assert all(len(event.data.encode()) <= 3 * limit for event in events)


@pytest.mark.parametrize(
    "flood",
    [
        b"data: " + b"x" * LIMIT,
        b"x" * (LIMIT + 1),
        b": " + b"x" * LIMIT,
        b"data: xxxxxxxxxxxxxxxx\n" * (LIMIT // 16),
        b"data\n" * (LIMIT // 4),
    ],
)
def test_an_event_too_large_is_not_kept_and_those_before_it_are_given(flood: bytes) -> None:
    before = b"data: one\n\n"
    expected = ([ServerSentEvent("", "one")], True)
    assert outcome([before + flood], end=False) == expected
    singly = [(before + flood)[at : at + 1] for at in range(len(before + flood))]
    assert outcome(singly, end=False) == expected


def test_a_stream_may_be_longer_than_any_event() -> None:
    many = (b": keep-alive\n\ndata: " + b"x" * (LIMIT // 2) + b"\n\n") * 10
    assert len(parsed(many)) == 10
    assert parsed((b": " + b"x" * (LIMIT - 2) + b"\n") * 10) == []
