"""A run beside the job's other runs: each policy's table, and what holds whatever happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduling.overlap import Occupant, Places, place, promoted

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1, 2, 3))


def occupant(run_id: UUID, state: str = "still under way") -> Occupant:
    return Occupant(id=run_id, slot=NOON + timedelta(minutes=run_id.int % 60), state=state)


def places(overlap: str, *, under_way: int = 0, waiting: int = 0, most: int = 3) -> Places:
    ids = [UUID(int=number) for number in range(1, under_way + waiting + 1)]
    return Places(
        overlap=overlap,
        max_parallel=most,
        lanes={lane: occupant(run_id) for lane, run_id in enumerate(ids[:under_way])},
        waiting=tuple(occupant(run_id) for run_id in ids[under_way:]),
    )


@pytest.mark.parametrize("overlap", ["forbid", "queue_one", "replace", "allow"])
def test_a_job_with_nothing_under_way_begins(overlap: str) -> None:
    assert place(places(overlap)).lane == 0


@pytest.mark.parametrize(
    ("overlap", "under_way", "waiting", "words"),
    [
        (
            "forbid",
            1,
            0,
            "The run of 2026-03-15 12:01:00 UTC was still under way; one runs at a time.",
        ),
        (
            "queue_one",
            1,
            1,
            "The run of 2026-03-15 12:02:00 UTC was waiting for its turn; no more than one waits.",
        ),
        ("allow", 3, 0, "3 runs were under way already; no more than 3 may be."),
        (
            "forbid",
            0,
            1,
            "The run of 2026-03-15 12:01:00 UTC was waiting for its turn; no more than one waits.",
        ),
    ],
)
def test_a_run_that_is_skipped_says_why(
    overlap: str, under_way: int, waiting: int, words: str
) -> None:
    verdict = place(places(overlap, under_way=under_way, waiting=waiting))

    assert (verdict.lane, verdict.waits, verdict.cancels) == (None, False, ())
    assert verdict.obstacle == words


def test_one_may_wait_where_the_job_lets_one() -> None:
    verdict = place(places("queue_one", under_way=1))

    assert (verdict.lane, verdict.waits, verdict.cancels) == (None, True, ())


def test_the_newer_run_takes_the_place_of_all_others() -> None:
    verdict = place(places("replace", under_way=1, waiting=1))

    assert (verdict.lane, verdict.waits, verdict.cancels) == (None, True, (FIRST, SECOND))


def test_runs_beside_each_other_take_the_first_free_place() -> None:
    taken = Places(overlap="allow", max_parallel=3, lanes={0: occupant(FIRST), 2: occupant(THIRD)})

    assert place(taken).lane == 1


@pytest.mark.parametrize("overlap", ["forbid", "queue_one", "replace", "allow"])
def test_a_run_that_makes_up_for_a_missed_time_waits_its_turn(overlap: str) -> None:
    verdict = place(places(overlap, under_way=3, waiting=2), in_line=True, scheduled=False)

    assert (verdict.waits, verdict.obstacle, verdict.cancels) == (True, "", ())


def test_of_scheduled_times_no_more_than_one_waits_behind_those_that_are_made_up_for() -> None:
    caught_up = Occupant(id=SECOND, slot=NOON, state="still waiting to begin", scheduled=False)
    first = Places(
        overlap="forbid", max_parallel=2, lanes={0: occupant(FIRST)}, waiting=(caught_up,)
    )
    second = Places(
        overlap="forbid",
        max_parallel=2,
        lanes={0: occupant(FIRST)},
        waiting=(caught_up, occupant(THIRD)),
    )

    assert place(first, in_line=True).waits
    assert place(second, in_line=True).obstacle
    assert place(second, in_line=True, scheduled=False).waits


def test_places_that_come_free_go_to_those_who_have_waited_longest() -> None:
    taken = Places(
        overlap="allow",
        max_parallel=3,
        lanes={1: occupant(uuid4())},
        waiting=(occupant(FIRST), occupant(SECOND), occupant(THIRD)),
    )

    assert promoted(taken) == ((FIRST, 0), (SECOND, 2))


@given(
    overlap=st.sampled_from(["forbid", "queue_one", "replace", "allow"]),
    most=st.integers(2, 20),
    under_way=st.integers(0, 20),
    waiting=st.integers(0, 5),
    in_line=st.booleans(),
)
def test_no_more_than_may_are_ever_under_way(
    overlap: str, most: int, under_way: int, waiting: int, in_line: bool
) -> None:
    taken = places(overlap, under_way=under_way, waiting=waiting, most=most)
    verdict = place(taken, in_line=in_line, scheduled=not in_line)

    # It begins, or waits, or is skipped: one of these and no other.
    assert [verdict.lane is not None, verdict.waits, bool(verdict.obstacle)].count(True) == 1
    if verdict.lane is not None:
        assert verdict.lane not in taken.lanes
        assert verdict.lane < taken.capacity
        assert not taken.waiting
    assert in_line <= (not verdict.obstacle)
    assert len(taken.lanes) + len(promoted(taken)) <= max(taken.capacity, len(taken.lanes))
