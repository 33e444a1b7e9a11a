"""`python -m tests`: everything that must hold, on both databases, with one plain line for each.

    python -m tests                  the checks and all tests: those that have to do with databases
                                     on SQLite and on PostgreSQL
    python -m tests --checks-only    the checks
    python -m tests tests/site ...   those tests on both databases, without the checks

What a step prints is kept aside, and shown whole if it fails. The exit status is 0 only if
everything passed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from tests import selecting
from tests.browser.chromium import executable

REPOSITORY = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
DATABASES = {"SQLite": "sqlite", "PostgreSQL": "postgresql"}
FIRST = "sqlite"
# What the caller's shell may say of another Palyra.
OTHERS = re.compile(r"(?!PALYRA_(TEST_|REQUIRE_BROWSER|CHROMIUM))PALYRA_|DATABASE_URL|REDIS_URL")
AT_ONCE = 2
# Beside them, for these mostly wait.
WAITING_AT_ONCE = 1
# Long enough for a slow machine; reached only by something that hangs.
PATIENCE_SECONDS = 3600
NO_TESTS = 5
NO_BROWSER = (
    "The browser tests were not run: there is no Chromium. Install it (Debian: apt-get install "
    "chromium), or name one in PALYRA_CHROMIUM."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command. `report` is where pytest writes its results; other commands have none.

    `may_be_empty` is for a part of the tests that has none of the kind; `waits` for what waits more
    than it computes.
    """

    name: str
    command: Sequence[str | Path]
    environment: dict[str, str] = field(default_factory=dict)
    report: Path | None = None
    may_be_empty: bool = False
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a step ended: how much of it passed, failed and was skipped, and what it printed."""

    step: Step
    status: int
    passed: int
    failed: int
    skipped: int
    seconds: float
    output: str

    @property
    def ok(self) -> bool:
        return self.failed == 0

    @property
    def line(self) -> str:
        """One plain line for a person."""
        counts = f"{self.passed} passed, {self.failed} failed" if self.step.report else ""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        word = "ok  " if self.ok else "FAIL"
        return f"{word}  {self.step.name:<28} {self.seconds:6.1f} s  {counts}{skipped}".rstrip()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what was asked for; 0 if all of it passed."""
    parser = argparse.ArgumentParser(prog="python -m tests")
    parser.add_argument("--checks-only", action="store_true", help="no tests, only the checks")
    parser.add_argument("paths", nargs="*", help="run these tests only, and no checks")
    options = parser.parse_args(arguments)
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="palyra-tests-") as directory:
        place = Path(directory)
        steps = [] if options.paths else checks()
        if not options.checks_only:
            steps += all_tests(options.paths, place)
        outcomes += run(steps, place)
        if not options.checks_only:
            outcomes += without_a_browser()
    return conclude(outcomes)


def checks() -> list[Step]:
    """What is looked at without running a test, the slow ones first."""
    return [
        Step(name="mypy", command=[BIN / "mypy"]),
        Step(name="ruff check", command=[BIN / "ruff", "check", "."]),
        Step(name="ruff format", command=[BIN / "ruff", "format", "--check", "."]),
        Step(name="import-linter", command=[BIN / "lint-imports", "--no-cache"]),
        Step(
            name="migrations",
            command=[sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"],
        ),
        Step(
            name="Django's system checks",
            command=[sys.executable, "manage.py", "check", "--fail-level", "WARNING"],
        ),
        Step(name="locked requirements", command=[sys.executable, "-m", "tests.locks"]),
    ]


def all_tests(paths: Sequence[str], place: Path) -> list[Step]:
    """The longest first, so that what is short fills the gaps at the end."""
    on_sqlite, on_postgresql, others, *waiting = tests(paths, place)
    waiting_on_sqlite, waiting_on_postgresql, waiting_others = waiting
    in_browser = browser_tests(paths, place)
    return [
        *(waiting_on_postgresql, waiting_on_sqlite, waiting_others),
        *(*in_browser[:1], on_postgresql, others, on_sqlite, *in_browser[1:]),
    ]


def tests(paths: Sequence[str], place: Path) -> list[Step]:
    """pytest on each database for what has to do with databases, and once for all the others: first
    those tests that compute, then those that start processes."""
    kinds = [
        *((name, database, selecting.DATABASE) for name, database in DATABASES.items()),
        ("either database", FIRST, selecting.OTHERS),
    ]
    return [
        _pytest(
            f"{what} on {name}",
            ["-m", f"{marks} and not browser", *paths],
            place / f"{what}-{database}-{selected}.xml",
            {"PALYRA_TEST_DATABASE": database, selecting.VARIABLE: selected},
            may_be_empty=bool(paths),
            waits=what == "processes",
        )
        for what, marks in (("tests", "not processes"), ("processes", "processes"))
        for name, database, selected in kinds
    ]


def browser_tests(paths: Sequence[str], place: Path) -> list[Step]:
    """pytest on each database for the tests in a browser, if there is one; how pages look is no
    matter of databases, and is looked at on the first."""
    if executable() is None:
        return []
    return [
        _pytest(
            f"browser tests on {name}",
            ["-m", "browser", *paths],
            place / f"browser-{database}.xml",
            {"PALYRA_TEST_DATABASE": database}
            | ({} if database == FIRST else {selecting.VARIABLE: selecting.DATABASE}),
            may_be_empty=bool(paths),
        )
        for name, database in DATABASES.items()
    ]


def _pytest(
    name: str,
    arguments: Sequence[str],
    report: Path,
    environment: dict[str, str],
    *,
    may_be_empty: bool,
    waits: bool = False,
) -> Step:
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", *arguments]
    return Step(
        name=name,
        command=command,
        environment=environment,
        report=report,
        may_be_empty=may_be_empty,
        waits=waits,
    )


def without_a_browser() -> list[Outcome]:
    """Where there is none, a line that says so, and a failure if one is required."""
    if executable() is not None:
        return []
    say(NO_BROWSER)
    if not os.environ.get("PALYRA_REQUIRE_BROWSER"):
        return []
    step = Step(name="browser tests", command=[])
    return [
        Outcome(step=step, status=1, passed=0, failed=1, skipped=0, seconds=0, output=NO_BROWSER)
    ]


def run(steps: Iterable[Step], place: Path) -> list[Outcome]:
    """Carry the steps out, two that compute and one that waits at a time, and say how each ended as
    it ends."""
    outcomes = []
    running: list[subprocess.Popen[bytes]] = []
    with (
        ThreadPoolExecutor(AT_ONCE) as computing,
        ThreadPoolExecutor(WAITING_AT_ONCE) as waiting,
        ending(running),
    ):
        pools = [(waiting if one.waits else computing, one) for one in steps]
        for future in as_completed(
            [pool.submit(carry_out, one, place, running) for pool, one in pools]
        ):
            outcome = future.result()
            say(outcome.line)
            if not outcome.ok:
                say(outcome.output)
            outcomes.append(outcome)
    return outcomes


def carry_out(step: Step, place: Path, running: list[subprocess.Popen[bytes]]) -> Outcome:
    """Run one step to its end, however it ends."""
    started = time.monotonic()
    kept = place / f"{step.name}.txt"
    with kept.open("wb") as file:
        process = subprocess.Popen(
            step.command,
            cwd=REPOSITORY,
            env={**environment(place), **step.environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        running.append(process)
        try:
            status = process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            kill(process)
            status = process.wait()
            file.write(f"\nIt was killed after {PATIENCE_SECONDS} s.\n".encode())
        if status < 0:
            # It had no chance to say so itself.
            file.write(f"\nIt was ended by {signal.Signals(-status).name}.\n".encode())
    passed, failed, skipped = counted(step, status)
    return Outcome(
        step=step,
        status=status,
        passed=passed,
        failed=failed,
        skipped=skipped,
        seconds=time.monotonic() - started,
        output=kept.read_text(encoding="utf-8", errors="replace"),
    )


def environment(place: Path) -> dict[str, str]:
    """The caller's environment without its Palyra, whose data and `.env` are not for tests."""
    kept = {name: text for name, text in os.environ.items() if not OTHERS.match(name)}
    if kept.pop("PYTHONDONTWRITEBYTECODE", None):
        # Written all the same, but elsewhere: compiling it anew takes each process a second, and
        # each step half a minute.
        kept["PYTHONPYCACHEPREFIX"] = str(place / "bytecode")
    return {**kept, "PALYRA_DATA_DIR": str(place / "data"), "PALYRA_ENV_FILE": os.devnull}


def counted(step: Step, status: int) -> tuple[int, int, int]:
    """Passed, failed and skipped; a command without a report is one thing that passed or failed."""
    if step.report is None:
        return (1, 0, 0) if status == 0 else (0, 1, 0)
    if status == NO_TESTS and step.may_be_empty:
        return 0, 0, 0
    try:
        passed, failed, skipped = read_report(step.report.read_text(encoding="utf-8"))
    except (OSError, ElementTree.ParseError):
        return 0, 1, 0
    # A failure outside any test, such as a fault in a conftest, counts as one as well.
    return passed, failed or int(status != 0), skipped


def read_report(text: str) -> tuple[int, int, int]:
    """Passed, failed and skipped tests in pytest's JUnit report."""
    total = failed = skipped = 0
    # pytest wrote it a moment ago, so it is no stranger's XML.
    for suite in ElementTree.fromstring(text).iter("testsuite"):
        total += int(suite.get("tests", 0))
        failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
        skipped += int(suite.get("skipped", 0))
    return max(0, total - failed - skipped), failed, skipped


def conclude(outcomes: Sequence[Outcome]) -> int:
    """Say what failed, and last the counts of everything together."""
    failures = [outcome for outcome in outcomes if not outcome.ok]
    if not any(outcome.passed for outcome in outcomes):
        failures = failures or list(outcomes)
        say("Nothing was run.")
    for outcome in failures:
        say(f"failed: {outcome.step.name}")
    passed = sum(outcome.passed for outcome in outcomes)
    failed = sum(outcome.failed for outcome in outcomes)
    skipped = sum(outcome.skipped for outcome in outcomes)
    say(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    return 1 if failures or not passed else 0


@contextlib.contextmanager
def ending(running: Sequence[subprocess.Popen[bytes]]) -> Iterator[None]:
    """Let nothing that was started outlive us, should we be interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except BaseException:
        for process in running:
            kill(process)
        raise


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a step and what it started in its session."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def say(text: str) -> None:
    """Print at once: whoever watches a pipe wants to see it now."""
    print(text, flush=True)  # noqa: T201 - it is a command


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
