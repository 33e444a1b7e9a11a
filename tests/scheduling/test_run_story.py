"""What is told of a run, in words."""

from __future__ import annotations

import pytest

from scheduling.models import CronRun, RunStatus
from scheduling.run_story import cancelled_words


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (RunStatus.CANCELLED, "The run is cancelled."),
        (RunStatus.RUNNING, "The run is being cancelled: its call is being broken off."),
        (RunStatus.WAITING_FOR_APPROVAL, "The run is being cancelled."),
        (RunStatus.SUCCEEDED, "The run ended before it could be cancelled: succeeded."),
    ],
)
def test_what_came_of_cancelling_is_said_as_it_is(status: str, words: str) -> None:
    assert cancelled_words(CronRun(status=status)) == words
