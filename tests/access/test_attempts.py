"""How long too many failures keep one waiting."""

from __future__ import annotations

import pytest

from palyra_site.access.attempts import Limit, in_words, longest, wait

LIMIT = Limit(amount=3, seconds=60)
NOW = 1000.0


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        ([], 0),
        ([999, 998], 0),
        ([999, 998, 990], 50),
        ([990, 998, 999], 50),
        # The oldest no longer counts.
        ([999, 998, 940], 0),
        ([999, 998, 940.5], 0.5),
        # More than the limit: the last three count.
        ([999, 998, 997, 950], 57),
    ],
)
def test_one_waits_until_the_oldest_of_the_last_is_too_old(
    failures: list[float], seconds: float
) -> None:
    assert wait(failures, LIMIT, NOW) == pytest.approx(seconds)


def test_after_the_wait_another_attempt_may_be_made() -> None:
    failures = [999.0, 998.0, 990.0]
    assert wait(failures, LIMIT, NOW + wait(failures, LIMIT, NOW)) == 0


def test_all_limits_are_waited_for() -> None:
    assert longest([]) == 0
    assert longest([3, 40, 0]) == 40


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "in a minute"),
        (60, "in a minute"),
        (60.1, "in 2 minutes"),
        (890, "in 15 minutes"),
    ],
)
def test_the_wait_is_rounded_up(seconds: float, words: str) -> None:
    assert in_words(seconds) == words
