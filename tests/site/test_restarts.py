"""What follows the end of a child."""

from __future__ import annotations

import signal

import pytest

from palyra_site.restarts import LONGEST_DELAY, STEADY_SECONDS, Life, on_end

STARTED = 1000.0


@pytest.mark.parametrize(
    ("short_lives", "lived", "delay", "counted"),
    [
        (0, 0.2, 0, 1),
        (1, 0.2, 1, 2),
        (2, 5.0, 2, 3),
        (3, 0.2, 4, 4),
        (4, 0.2, 8, 5),
        (5, 0.2, 16, 6),
        (6, 0.2, 30, 7),
        (60, 59.9, 30, 61),
        (0, 60.0, 0, 0),
        (7, 60.0, 0, 0),
        (7, 86400.0, 0, 0),
    ],
)
def test_the_delay_grows_with_short_lives_and_a_long_one_forgives_them(
    short_lives: int, lived: float, delay: float, counted: int
) -> None:
    life = Life(role="web", started_at=STARTED, short_lives=short_lives)
    restart = on_end(life, status=1, now=STARTED + lived, stopping=False)
    assert restart is not None
    assert (restart.delay, restart.short_lives) == (delay, counted)


@pytest.mark.parametrize("short_lives", [0, 5])
def test_nothing_is_restarted_while_stopping(short_lives: int) -> None:
    life = Life(role="web", started_at=STARTED, short_lives=short_lives)
    assert on_end(life, status=0, now=STARTED + 1, stopping=True) is None


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (0, "ended with status 0"),
        (3, "ended with status 3"),
        (-signal.SIGKILL, "was killed by SIGKILL"),
        (-signal.SIGSEGV, "was killed by SIGSEGV"),
        (-63, "was killed by signal 63"),
    ],
)
def test_the_line_says_who_how_and_when(status: int, how: str) -> None:
    first = Life(role="worker", started_at=STARTED)
    restart = on_end(first, status=status, now=STARTED + 12.4, stopping=False)
    assert restart is not None
    assert restart.line == f"worker {how} after 12 s; it is started again at once."


def test_the_line_names_the_delay() -> None:
    life = Life(role="scheduler", started_at=STARTED, short_lives=3)
    restart = on_end(life, status=1, now=STARTED + 1, stopping=False)
    assert restart is not None
    assert restart.line.endswith("it is started again in 4 s.")


def test_no_delay_passes_the_longest() -> None:
    short_lives = 0
    for _ in range(200):
        life = Life(role="web", started_at=STARTED, short_lives=short_lives)
        restart = on_end(life, status=1, now=STARTED + STEADY_SECONDS / 2, stopping=False)
        assert restart is not None
        assert restart.delay <= LONGEST_DELAY
        short_lives = restart.short_lives
