"""`python -m tests` counts and concludes rightly: it is what says whether all is well."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import __main__ as runner
from tests.__main__ import Outcome, Step
from tests.selecting import DATABASE, OTHERS, VARIABLE

# What the runner makes of steps is no matter of databases.
pytestmark = pytest.mark.any_database
REPORT = """<?xml version="1.0" encoding="utf-8"?>
<testsuites><testsuite name="pytest" errors="1" failures="2" skipped="3" tests="10" time="1">
</testsuite></testsuites>"""
FILES = {
    "good": "def test_one():\n    pass\n\n\ndef test_two():\n    pass\n",
    "bad": "def test_one():\n    pass\n\n\ndef test_two():\n    raise ValueError('so it is')\n",
    "broken": "import nothing_of_that_name\n",
    "empty": "",
}
Pytest = Callable[..., Outcome]


@pytest.fixture
def pytest_on(data_dir: Path) -> Pytest:
    """Run pytest as a step on a file of its own, away from this project's settings."""

    def carry_out(content: str, *, may_be_empty: bool = False) -> Outcome:
        (data_dir / "test_it.py").write_text(FILES[content])
        (data_dir / "pytest.ini").write_text("[pytest]\n")
        report = data_dir / "report.xml"
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:django",
            "-p",
            "no:cacheprovider",
        ]
        step = Step(
            name="them",
            command=[*command, f"--rootdir={data_dir}", f"--junitxml={report}", data_dir],
            environment={"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            report=report,
            may_be_empty=may_be_empty,
        )
        return runner.carry_out(step, data_dir, [])

    return carry_out


def outcome(*, passed: int = 1, failed: int = 0, skipped: int = 0) -> Outcome:
    return Outcome(
        step=Step(name="a step", command=[]),
        status=int(failed > 0),
        passed=passed,
        failed=failed,
        skipped=skipped,
        seconds=1.5,
        output="",
    )


def test_a_report_is_read() -> None:
    assert runner.read_report(REPORT) == (4, 3, 3)


@pytest.mark.processes
@pytest.mark.parametrize(
    ("content", "counts"),
    [("good", (2, 0)), ("bad", (1, 1)), ("broken", (0, 1)), ("empty", (0, 1))],
)
def test_what_pytest_says_is_counted(
    pytest_on: Pytest, content: str, counts: tuple[int, int]
) -> None:
    ended = pytest_on(content)
    assert (ended.passed, ended.failed) == counts
    assert ended.ok is (content == "good")


@pytest.mark.processes
def test_a_part_may_have_no_tests_of_a_kind(pytest_on: Pytest) -> None:
    ended = pytest_on("empty", may_be_empty=True)
    assert (ended.passed, ended.failed, ended.ok) == (0, 0, True)


@pytest.mark.processes
def test_what_a_failing_step_printed_is_kept_whole(pytest_on: Pytest) -> None:
    assert "ValueError: so it is" in pytest_on("bad").output


@pytest.mark.processes
@pytest.mark.parametrize(("status", "counts"), [(0, (1, 0)), (3, (0, 1))])
def test_a_check_passes_or_fails_as_one(
    data_dir: Path, status: int, counts: tuple[int, int]
) -> None:
    step = Step(name="a check", command=[sys.executable, "-c", f"raise SystemExit({status})"])
    ended = runner.carry_out(step, data_dir, [])
    assert (ended.passed, ended.failed) == counts


@pytest.mark.processes
def test_a_step_that_hangs_is_killed_and_failed(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 0.2)
    step = Step(name="it hangs", command=[sys.executable, "-c", "import signal; signal.pause()"])
    ended = runner.carry_out(step, data_dir, [])
    assert not ended.ok
    assert "It was killed after 0.2 s." in ended.output


@pytest.mark.processes
def test_a_step_that_is_killed_says_by_what(data_dir: Path) -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    step = Step(name="killed", command=[sys.executable, "-c", program])
    ended = runner.carry_out(step, data_dir, [])
    assert not ended.ok
    assert "It was ended by SIGKILL." in ended.output


@pytest.mark.parametrize(
    ("outcomes", "status", "last"),
    [
        ([outcome(), outcome(passed=7)], 0, "8 passed, 0 failed"),
        ([outcome(), outcome(passed=7, failed=2)], 1, "8 passed, 2 failed"),
        ([outcome(passed=7, skipped=1)], 0, "7 passed, 0 failed, 1 skipped"),
        ([outcome(passed=0)], 1, "0 passed, 0 failed"),
        ([], 1, "0 passed, 0 failed"),
    ],
)
def test_the_last_line_and_the_exit_status(
    outcomes: list[Outcome], status: int, last: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert runner.conclude(outcomes) == status
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_failed_step_is_named_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    runner.conclude([outcome(), outcome(failed=1)])
    assert "failed: a step" in capsys.readouterr().out


@pytest.mark.parametrize("required", [True, False])
def test_without_a_browser_it_says_so_and_fails_only_where_one_is_required(
    required: bool,
    data_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runner, "executable", lambda: None)
    assert runner.browser_tests([], data_dir) == []
    monkeypatch.setenv("PALYRA_REQUIRE_BROWSER", "1" if required else "")
    outcomes = runner.without_a_browser()
    assert [one.ok for one in outcomes] == ([False] if required else [])
    assert "apt-get install chromium" in capsys.readouterr().out


def test_every_test_is_run_on_both_databases_or_once_if_it_is_about_none(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "executable", lambda: "chromium")
    steps = [*runner.tests([], data_dir), *runner.browser_tests([], data_dir)]
    # The whole of it: no path is named.
    given = [
        (
            step.command[-1],
            step.environment["PALYRA_TEST_DATABASE"],
            step.environment.get(VARIABLE),
        )
        for step in steps
        if step.command[-2] == "-m"
    ]
    assert given == [
        *_thrice("not processes and not browser"),
        *_thrice("processes and not browser"),
        ("browser", "sqlite", None),
        ("browser", "postgresql", DATABASE),
    ]
    assert len({step.report for step in steps}) == len({step.name for step in steps}) == len(given)


def _thrice(marks: str) -> list[tuple[str, str, str]]:
    sides = (("sqlite", DATABASE), ("postgresql", DATABASE), ("sqlite", OTHERS))
    return [(marks, *side) for side in sides]


@pytest.mark.processes
def test_what_waits_is_carried_out_beside_two_that_compute(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 60)
    pipes = [data_dir / name for name in ("one", "two")]
    for pipe in pipes:
        os.mkfifo(pipe)
    # Each is opened when it is opened at the other end.
    programs = [f"open({str(pipe)!r}).close()" for pipe in pipes]
    both = "; ".join(f"open({str(pipe)!r}, 'w').close()" for pipe in pipes)
    steps = [
        *(
            Step(name=pipe.name, command=[sys.executable, "-c", program])
            for pipe, program in zip(pipes, programs, strict=True)
        ),
        Step(name="both", command=[sys.executable, "-c", both], waits=True),
    ]
    assert [one.ok for one in runner.run(steps, data_dir)] == [True] * 3


@pytest.mark.processes
def test_what_waits_is_carried_out_one_after_the_other(data_dir: Path) -> None:
    told = data_dir / "told"
    program = (
        f"file = open({str(told)!r}, 'a', buffering=1); "
        "print('begins', file=file); import unittest.mock; print('ends', file=file)"
    )
    command = [sys.executable, "-c", program]
    steps = [Step(name=name, command=command, waits=True) for name in ("one", "two", "three")]
    runner.run(steps, data_dir)
    assert told.read_text().split() == ["begins", "ends"] * 3


def test_the_callers_palyra_is_left_alone(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PALYRA_DATA_DIR", "DATABASE_URL", "REDIS_URL", "PALYRA_VAULT_KEY_FILE"):
        monkeypatch.setenv(name, "theirs")
    for name in ("PALYRA_REQUIRE_BROWSER", "PALYRA_CHROMIUM", "PALYRA_TEST_DATABASE"):
        monkeypatch.setenv(name, "ours")
    given = runner.environment(data_dir)
    assert "theirs" not in given.values()
    assert sum(text == "ours" for text in given.values()) == 3
    assert given["PALYRA_DATA_DIR"].startswith(str(data_dir))


def test_what_is_compiled_is_kept_for_all_steps_and_not_beside_the_sources(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    given = runner.environment(data_dir)
    assert "PYTHONDONTWRITEBYTECODE" not in given
    assert given["PYTHONPYCACHEPREFIX"].startswith(str(data_dir))


def test_the_longest_steps_are_begun_first_and_none_is_left_out(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "executable", lambda: "chromium")
    steps = runner.all_tests([], data_dir)
    everything = [*runner.tests([], data_dir), *runner.browser_tests([], data_dir)]
    assert sorted(step.name for step in steps) == sorted(step.name for step in everything)
    first = {
        waits: next(step.name for step in steps if step.waits is waits) for waits in (False, True)
    }
    assert first == {False: "browser tests on SQLite", True: "processes on PostgreSQL"}
    monkeypatch.setattr(runner, "executable", lambda: None)
    assert len(runner.all_tests([], data_dir)) == 6
