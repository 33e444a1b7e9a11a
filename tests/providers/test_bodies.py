"""Bodies are unpacked, and bounded both as they arrive and as they are unpacked."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.bodies import MAX_RESPONSE_BYTES, BodyTooLarge, BodyUnreadable, InboundBody


def read(content: bytes, size: int = 16_384, **headers: str) -> bytes:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    body = InboundBody(named)
    pieces = [body.feed(content[at : at + size]) for at in range(0, len(content), size)]
    body.finish()
    return b"".join(pieces)


@given(st.binary(max_size=5000), st.integers(1, 600), st.sampled_from(["gzip", "x-gzip", "GZIP "]))
def test_what_was_packed_is_unpacked_however_it_is_cut(
    content: bytes, size: int, packing: str
) -> None:
    assert read(content, size) == content
    assert read(content, size, content_encoding="identity") == content
    assert read(gzip.compress(content), size, content_encoding=packing) == content


def test_nothing_is_packed_as_nothing() -> None:
    assert read(b"", content_encoding="gzip") == b""


@pytest.mark.parametrize(
    ("content", "packing"),
    [
        (b"{}", "br"),
        (b"{}", "gzip, gzip"),
        (b"{}", "gzip"),
        (gzip.compress(b"{}" * 100)[:-1], "gzip"),
        (gzip.compress(b"{}" * 100)[:20], "gzip"),
        (gzip.compress(b"{}") + b"more", "gzip"),
        (gzip.compress(b"{}") + gzip.compress(b"{}"), "gzip"),
    ],
)
def test_what_cannot_be_unpacked_is_not_read_in_part(content: bytes, packing: str) -> None:
    with pytest.raises(BodyUnreadable):
        read(content, content_encoding=packing)


def test_the_largest_body_and_one_byte_more() -> None:
    assert len(read(b"x" * MAX_RESPONSE_BYTES)) == MAX_RESPONSE_BYTES
    with pytest.raises(BodyTooLarge):
        read(b"x" * (MAX_RESPONSE_BYTES + 1))
    packed = gzip.compress(b"x" * MAX_RESPONSE_BYTES, 1)
    assert len(read(packed, content_encoding="gzip")) == MAX_RESPONSE_BYTES


def test_a_body_that_says_it_is_too_large_is_not_waited_for() -> None:
    with pytest.raises(BodyTooLarge):
        InboundBody({"content-length": str(MAX_RESPONSE_BYTES + 1)})
    for nonsense in ("", "-1", "many", "¹"):
        InboundBody({"content-length": nonsense})


def test_a_bomb_is_unpacked_no_further_than_the_bound() -> None:
    bomb = gzip.compress(bytes(256 * 1024**2), 1)
    assert len(bomb) < 2 * 1024**2
    tracemalloc.start()
    try:
        with pytest.raises(BodyTooLarge):
            InboundBody({"content-encoding": "gzip"}).feed(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * MAX_RESPONSE_BYTES
