"""The process that ends what a killed supervisor left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from palyra_site import guard
from tests.site.stub_children import STUBBORN

NOBODY = 2**22 + 1


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([], set()),
        (["+1\n", "+2\n"], {1, 2}),
        (["+1\n", "-1\n"], set()),
        (["+1\n", "+2\n", "-1\n", "+3\n"], {2, 3}),
        (["-9\n"], set()),
    ],
)
def test_the_groups_left_are_those_not_seen_to_end(lines: list[str], left: set[int]) -> None:
    assert guard.groups_left(lines) == left


@pytest.mark.processes
@pytest.mark.any_database
def test_it_kills_who_does_not_end_and_minds_nobody_missing() -> None:
    command = [sys.executable, "-c", STUBBORN]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as stubborn:
        assert stubborn.stdout is not None
        assert stubborn.stdout.readline() == b"stubborn\n"
        guard.end_groups({stubborn.pid, NOBODY}, grace=0.2)
        assert stubborn.wait(30) == -signal.SIGKILL


@pytest.mark.processes
@pytest.mark.any_database
def test_it_needs_nothing_but_python_and_ends_with_its_input() -> None:
    command = [sys.executable, "-I", "-S", str(Path(guard.__file__))]
    ended = subprocess.run(command, input="+7\n-7\n", text=True, capture_output=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")
