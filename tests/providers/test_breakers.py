"""The board of breakers: what it reads, writes, leaves alone, and does without a database."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from providers import breakers
from providers.breakers import BreakerBoard, Verdict, reset, trip
from providers.failures import Failure, FailureClass
from providers.models import Breaker, Credential, Provider, Secret
from providers.registry import CredentialEntry, ProviderEntry, entry
from tests.providers.entries import credential_entry, provider_entry
from tests.support.factories import make_provider
from tests.support.processes import eventually

pytestmark = pytest.mark.django_db(transaction=True)
DOWN = Failure(failure_class=FailureClass.TRANSIENT_UPSTREAM, message="Down.")
NOW = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def board() -> Iterator[BreakerBoard]:
    """A started board."""
    made = BreakerBoard()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def provider() -> ProviderEntry:
    """A stored provider without credentials that opens at the second failure."""
    return entry(make_provider(breaker_threshold=2))


def with_credentials(count: int) -> ProviderEntry:
    """A stored provider with so many credentials."""
    row = make_provider()
    for number in range(count):
        secret = Secret(name=f"key-{row.pk}-{number}")
        secret.set_text("sk-a-secret-of-some-length")
        secret.save()
        Credential.objects.create(provider=row, secret=secret, position=number)
    return entry(row)


async def in_thread(work: Callable[[], Any]) -> Any:
    """Use the database from a thread, which leaves no connection behind."""

    def run() -> Any:
        try:
            return work()
        finally:
            connection.close()

    return await asyncio.to_thread(run)


async def stored() -> Any:
    """The one breaker that there is, if there is one."""
    return await in_thread(Breaker.objects.first)


def verdict(board: BreakerBoard, provider: ProviderEntry, key: CredentialEntry | None) -> Verdict:
    return board.view(provider, key, timezone.now()).verdict


async def test_failures_in_a_row_open_it(board: BreakerBoard, provider: ProviderEntry) -> None:
    board.failed(provider, None, DOWN)
    await board.settled()
    assert verdict(board, provider, None) is Verdict.PASS
    board.failed(provider, None, DOWN)
    await board.settled()
    view = board.view(provider, None, timezone.now())
    assert view.verdict is Verdict.REFUSE
    assert view.message == "Held back for a while after 2 failures in a row. The last one: Down."
    row = await stored()
    assert (row.state, row.failures, row.revision) == ("open", 2, 2)
    assert (row.failure_class, row.message) == ("transient_upstream", "Down.")


async def test_an_answer_between_two_failures_counts_from_the_start(
    board: BreakerBoard, provider: ProviderEntry
) -> None:
    # In one breath: the first failure is not even written when the answer comes.
    board.failed(provider, None, DOWN)
    board.succeeded(provider, None)
    board.failed(provider, None, DOWN)
    await board.settled()
    assert verdict(board, provider, None) is Verdict.PASS
    assert (await stored()).failures == 1


async def test_answers_of_a_healthy_provider_are_free(
    board: BreakerBoard, provider: ProviderEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(breakers, "_swap", never)
    for _ in range(100):
        board.succeeded(provider, None)
    await board.settled()
    assert await stored() is None


async def test_an_opened_breaker_is_seen_elsewhere_within_a_second(
    board: BreakerBoard, provider: ProviderEntry
) -> None:
    other = BreakerBoard()
    await asyncio.to_thread(other.start)
    try:
        for _ in range(2):
            board.failed(provider, None, DOWN)
        await board.settled()
        await asyncio.to_thread(
            eventually,
            lambda: verdict(other, provider, None),
            lambda seen: seen is Verdict.REFUSE,
            what="the other board's view",
            patience=1.0,
        )
    finally:
        await asyncio.to_thread(other.stop)


async def test_late_failures_of_an_open_breaker_are_not_even_queued(
    board: BreakerBoard, provider: ProviderEntry
) -> None:
    for _ in range(2):
        board.failed(provider, None, DOWN)
    await board.settled()
    for _ in range(50):
        board.failed(provider, None, DOWN)
        board.succeeded(provider, None)
    await board.settled()
    assert (await stored()).revision == 2


async def test_one_probe_at_a_time_and_what_becomes_of_it(provider: ProviderEntry) -> None:
    clock = [NOW]
    board = BreakerBoard(clock=lambda: clock[0])
    await asyncio.to_thread(board.start)
    try:
        for _ in range(2):
            board.failed(provider, None, DOWN)
        assert await board.claim_probe(provider, None) is None
        clock[0] += timedelta(seconds=30)
        claims = await asyncio.gather(*(board.claim_probe(provider, None) for _ in range(20)))
        (probe,) = [claim for claim in claims if claim is not None]
        row = await stored()
        assert (row.state, row.probe) == ("half_open", probe)
        # Its provider's limits of time, and a margin.
        assert row.probe_expires_at == clock[0] + timedelta(seconds=5 + 60 + 10)
        board.given_back(provider, None, probe)
        again = await board.claim_probe(provider, None)
        assert again is not None
        board.succeeded(provider, None, again)
        await board.settled()
        assert board.view(provider, None, clock[0]).verdict is Verdict.PASS
    finally:
        await asyncio.to_thread(board.stop)


async def test_a_claim_that_is_not_waited_for_is_given_back(
    board: BreakerBoard, provider: ProviderEntry, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_thread(
        lambda: Breaker.objects.create(
            provider_id=provider.id, state="open", retry_at=NOW, failures=2
        )
    )
    began, swap = asyncio.Event(), breakers._swap
    loop = asyncio.get_running_loop()

    def slowly(key: Any, decide: Callable[[Any], Any]) -> Any:
        loop.call_soon_threadsafe(began.set)
        return swap(key, decide)

    monkeypatch.setattr(breakers, "_swap", slowly)
    claiming = asyncio.create_task(board.claim_probe(provider, None))
    await began.wait()
    claiming.cancel()
    with pytest.raises(asyncio.CancelledError):
        await claiming
    await board.settled()
    row = await stored()
    assert (row.state, row.probe) == ("open", None)


async def test_without_the_database_the_last_view_stays_and_one_line_says_so(
    board: BreakerBoard,
    provider: ProviderEntry,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(2):
        board.failed(provider, None, DOWN)
    await board.settled()

    def away(*_: Any) -> None:
        raise OperationalError("the server is gone\nand more of it")

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "providers.breakers"):
        patched.setattr(breakers, "_read", away)
        patched.setattr(breakers, "_swap", away)
        for _ in range(3):
            await asyncio.to_thread(board.refresh)
        assert await board.claim_probe(provider, None) is None
        assert verdict(board, provider, None) is Verdict.REFUSE
    said = "Breakers stay as last seen; the database cannot be used: the server is gone"
    assert caplog.messages == [said]
    await asyncio.to_thread(board.refresh)
    assert caplog.messages == [said, "Breakers are read and written again."]


async def test_a_deleted_provider_leaves_nothing_behind(
    board: BreakerBoard, provider: ProviderEntry
) -> None:
    await in_thread(lambda: Provider.objects.all().delete())
    board.failed(provider, None, DOWN)
    await board.settled()
    assert await stored() is None
    assert verdict(board, provider, None) is Verdict.PASS


async def test_what_is_recorded_before_the_end_is_written(provider: ProviderEntry) -> None:
    board = BreakerBoard()
    await asyncio.to_thread(board.start)
    board.failed(provider, None, DOWN)
    await asyncio.to_thread(board.stop)
    assert (await stored()).failures == 1


def test_by_hand(board: BreakerBoard) -> None:
    provider = with_credentials(2)
    first, second = provider.credentials
    trip(provider.id, [first.id], by="ada")
    board.refresh()
    view = board.view(provider, first, timezone.now() + timedelta(days=9))
    assert view.message == "Taken out of use by ada until it is reset."
    assert view.verdict is Verdict.REFUSE
    assert verdict(board, provider, second) is Verdict.PASS
    assert board.usable(provider, timezone.now()) == ((second,), "")
    reset(provider.id, [first.id, second.id])
    board.refresh()
    assert verdict(board, provider, first) is Verdict.PASS


def test_credentials_take_turns_closed_breakers_first(board: BreakerBoard) -> None:
    provider = with_credentials(3)
    one, two, three = provider.credentials
    now = timezone.now()
    assert [board.usable(provider, now)[0] for _ in range(4)] == [
        (one, two, three),
        (two, three, one),
        (three, one, two),
        (one, two, three),
    ]
    # The same call asks again without taking another turn.
    assert board.usable(provider, now, turn=False)[0] == (two, three, one)
    assert board.usable(provider, now, turn=False)[0] == (two, three, one)
    Breaker.objects.create(
        provider_id=provider.id, credential_id=two.id, state="open", retry_at=now, failures=3
    )
    board.refresh()
    # Due for a probe, it comes after those that are well.
    assert board.usable(provider, now)[0] == (three, one, two)
    earlier = now - timedelta(seconds=1)
    assert board.usable(provider, earlier)[0] == (three, one)


def test_a_provider_without_credentials_has_the_one_none(
    board: BreakerBoard, provider: ProviderEntry
) -> None:
    now = timezone.now()
    assert board.usable(provider, now) == ((None,), "")
    trip(provider.id, [None], by="ada")
    board.refresh()
    assert board.usable(provider, now) == ((), "Taken out of use by ada until it is reset.")


@pytest.mark.parametrize(
    ("credentials", "usable", "why"),
    [
        ([credential_entry(fault="The vault's key is another.")], 0, "The vault's key is another."),
        ([credential_entry(name="spare")], 0, "The credential “spare” is missing."),
        ([credential_entry(fault="No."), credential_entry("sk-1")], 1, ""),
    ],
)
def test_credentials_that_cannot_be_read_are_not_used(
    board: BreakerBoard, credentials: list[CredentialEntry], usable: int, why: str
) -> None:
    provider = provider_entry(credentials=tuple(credentials))
    found, reason = board.usable(provider, timezone.now())
    assert (len(found), reason) == (usable, why)
